"""A bench directory's job: measure what bench.json asks for, write it into the run directories."""

from __future__ import annotations

import logging
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deit_core.bench.conditions import device_name
from deit_core.bench.merge import merge
from deit_core.bench.processes import measure_in_processes
from deit_core.bench.raw import RawRecord
from deit_core.bench.watch import StoppedError
from deit_core.config import TrainConfig, parse_run_config
from deit_core.errors import LostProcessError, RunDirError, UserError
from deit_core.records import FailureKind
from deit_core.run_dir import RunDir, read_json
from deit_core.throughput_records import (
    BenchProtocol,
    BenchRecord,
    BenchTarget,
    ThroughputRecord,
)
from deit_core.train.build import begin_attempt
from deit_core.train.env import choose_device, describe_environment, set_threads
from deit_core.train.job import EXIT_CRASHED, EXIT_OK, EXIT_PREEMPTED, EXIT_USER_ERROR, guarded
from deit_core.train.signals import StopRequest
from deit_core.train.sinks import StatusFile

_log = logging.getLogger(__name__)


class _JobWatch:
    """Keeps the heart of the job beating, and looks for stop signals."""

    def __init__(self, status: StatusFile, stop: StopRequest) -> None:
        self._status = status
        self._stop = stop

    def tick(self) -> None:
        """Write a heartbeat where one is due; raise StoppedError where a stop is requested."""
        if self._stop:
            raise StoppedError
        if self._status.due():
            self._status.update()


@dataclass
class _Tally:
    """How far the job is."""

    total: int
    done: int = 0
    with_errors: int = 0
    measured: int = 0
    """Of those done: how many have any speed."""
    crashed: bool = False


def run_bench(path: Path) -> int:
    """Measure the models that bench.json names and that have no such record yet.

    Each record is written when its group is measured. Run again, the job goes on with the rest.

    Returns:
        the exit code: 0 also where some models could not be measured, as their records say.

    Raises:
        UserError: the directory or its bench.json is not valid; its status says so too.
    """
    stop = StopRequest().install()
    run = RunDir(path)
    run.read_trial()
    if os.environ.get("RANK", "0") != "0":
        return EXIT_OK  # speed is that of one device: one process measures it
    with run.lock():
        return guarded([run], lambda: _measure(run, stop))


def _measure(run: RunDir, stop: StopRequest) -> int:
    order = BenchRecord.from_json(read_json(run.bench_file), str(run.bench_file))
    _begin(run)
    status = StatusFile(run, run.read_status())
    todo = [target for target in order.targets if not _is_measured(target, order.protocol)]
    tally = _Tally(len(order.targets), done=len(order.targets) - len(todo))
    tally.measured = tally.done
    status.update(force=True, step=tally.done, total_steps=tally.total)
    started = time.monotonic()
    already = tally.done
    try:
        for group in _groups(todo, order.protocol.interleaved):
            _measure_group(group, order.protocol, _JobWatch(status, stop), tally)
            per_model = (time.monotonic() - started) / (tally.done - already)
            eta_s = per_model * (tally.total - tally.done)
            status.update(force=True, step=tally.done, eta_s=eta_s)
    except StoppedError:
        reason = f"stopped by {stop.name} after {tally.done} of {tally.total} models"
        status.update(force=True, state="preempted", reason=reason, eta_s=None)
        return EXIT_PREEMPTED
    return _finish(status, tally)


def _begin(run: RunDir) -> None:
    train = TrainConfig()
    begin_attempt(run, describe_environment(choose_device(train), set_threads(train)))


def _groups(targets: Sequence[BenchTarget], largest: int) -> Iterator[Sequence[BenchTarget]]:
    """Groups of about equal size."""
    count = math.ceil(len(targets) / max(1, largest))
    for number in range(count):
        yield targets[number::count]


def _measure_group(
    group: Sequence[BenchTarget], protocol: BenchProtocol, watch: _JobWatch, tally: _Tally
) -> None:
    try:
        found = measure_in_processes(group, protocol, watch)
    except LostProcessError as error:
        found = [[RawRecord(target.key) for target in group]]
        for raw in found[0]:
            raw.note("measurement", error)
    for target, *raws in zip(group, *found, strict=True):
        record = merge(raws, protocol, interleaved_with=len(group) - 1)
        _write(target, record)
        tally.done += 1
        tally.measured += bool(record.speeds)
        tally.with_errors += record.error is not None
        tally.crashed |= any(raw.crashed for raw in raws)
        sys.stdout.write(f"{target.label}: {_in_words(record)}\n")
        sys.stdout.flush()


def _in_words(record: ThroughputRecord) -> str:
    parts = [
        f"{speed.quantity.replace('_', ' ')} {_number(speed.fixed.images_per_s)} images/s "
        f"at batch size {speed.fixed.batch_size}"
        for speed in record.speeds
        if speed.fixed is not None and speed.fixed.images_per_s is not None
    ]
    return "; ".join([*parts, *([f"error: {record.error}"] if record.error else [])])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _finish(status: StatusFile, tally: _Tally) -> int:
    nothing = tally.total > 0 and tally.measured == 0
    reason = None
    if tally.with_errors:
        of_all = f"{tally.with_errors} of {tally.total} models"
        reason = f"{of_all} could not be measured in full; their throughput.json says why"
    failure: FailureKind = "crashed" if tally.crashed else "user_error"
    status.update(
        force=True,
        state="failed" if nothing else "completed",
        failure=failure if nothing else None,
        reason=reason,
        finished_unix_s=time.time(),
        eta_s=None,
    )
    if not nothing:
        return EXIT_OK
    return EXIT_CRASHED if tally.crashed else EXIT_USER_ERROR


# records in the run directories -------------------------------------------------------------------


def _is_measured(target: BenchTarget, protocol: BenchProtocol) -> bool:
    """Whether there is a record that a measurement would only repeat; run directories share it."""
    records = {path: _read(path) for path in target.run_dirs}
    known = next(
        (one for one in records.values() if one and _stands_for(one, target, protocol)), None
    )
    if known is None:
        return False
    lacking = [path for path, record in records.items() if record != known]
    _write(target.model_copy(update={"run_dirs": tuple(lacking)}), known)
    sys.stdout.write(f"{target.label}: already measured\n")
    return True


def _read(path: str) -> ThroughputRecord | None:
    try:
        return RunDir(path).read_throughput()
    except RunDirError as error:
        _log.warning("%s; it is measured again", error)
        return None


def _stands_for(record: ThroughputRecord, target: BenchTarget, protocol: BenchProtocol) -> bool:
    if (record.key, record.protocol) != (target.key, protocol) or record.error is not None:
        return False
    if record.conditions is None:
        return False
    try:
        device = choose_device(parse_run_config(target.config).train)
    except UserError:
        return False
    return record.conditions.device_name == device_name(device)


def _write(target: BenchTarget, record: ThroughputRecord) -> None:
    """Into every run directory that is still there.

    Raises:
        RunDirError: no permission, or no space left.
    """
    for path in target.run_dirs:
        run = RunDir(path)
        if run.exists():
            run.write_throughput(record)
        else:
            _log.warning("%s is no run directory any more: its speed is not written", path)
