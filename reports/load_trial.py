"""Read what one planned trial left behind; whatever is wrong with it is part of the result."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from deit_core.attempts import AttemptRecord
from deit_core.config import RunConfig, parse_run_config
from deit_core.correct_records import ValCorrectRecord
from deit_core.errors import ConfigError, SchemaError
from deit_core.imported import IMPORTED_FILE, ImportedRecord
from deit_core.records import (
    AnalysisRecord,
    EnvRecord,
    PlannedTrial,
    Record,
    StatusRecord,
    SummaryRecord,
    TrialRecord,
)
from deit_core.run_dir import RunDir
from deit_core.throughput_records import ThroughputRecord
from reports.consistency import check_curve, check_imported, check_summary, check_throughput
from reports.curves import MOST_POINTS, Curve, read_curve
from reports.results import TrialResult
from reports.strict_json import decode, printable
from reports.text import count

RecordT = TypeVar("RecordT", bound=Record)
_MOST_CORRECT_BYTES = 32 * 2**20
"""Of all val_correct.json together, as results.json keeps them."""


class DamagedError(Exception):
    """A file that cannot be used; the message names it and says why."""


class TrialReader:
    """Reads the trials of one sweep, and later again those that have changed.

    Thousands share a few configs and environments: each is validated and kept once.
    """

    def __init__(self, trials: Path, *, remembers: bool = False) -> None:
        self.most_points = MOST_POINTS
        self.reused = 0
        """Trials that were not read again, over all rounds."""
        self._trials = trials
        self._remembers = remembers
        self._configs: dict[str, RunConfig] = {}
        self._shared: dict[tuple[type[Record], bytes], Record] = {}
        self._correct_bytes: dict[str, int] = {}
        self._all_correct_bytes = 0
        self._before: dict[str, tuple[object, TrialResult]] = {}

    def read(self, planned: PlannedTrial) -> TrialResult:
        """One planned trial, whose id is the name of its folder."""
        run = RunDir(self._trials / planned.trial_id)
        if not self._remembers:
            return self._look(run, planned)
        state = (planned, self.most_points, *map(_stamp, _files(run)))
        before = self._before.get(planned.trial_id)
        if before is None or before[0] != state:
            before = self._before[planned.trial_id] = (state, self._look(run, planned))
        else:
            self.reused += 1
        return before[1]

    def _look(self, run: RunDir, planned: PlannedTrial) -> TrialResult:
        try:
            if not run.path.is_dir():
                return TrialResult(planned, "missing", _why_missing(run.path))
            return self._read(run, planned)
        except DamagedError as error:
            return TrialResult(planned, "damaged", str(error))
        except OSError as error:
            return TrialResult(planned, "damaged", f"cannot be read: {error.strerror}")

    def _read(self, run: RunDir, planned: PlannedTrial) -> TrialResult:
        """Read a run directory that is there. Raises DamagedError where it contradicts itself."""
        trial = _needed(TrialRecord, run.trial_file)
        if (trial.trial_id, trial.seed) != (planned.trial_id, planned.seed):
            raise DamagedError(
                f"the run directory holds trial {trial.trial_id} with seed {trial.seed}, not "
                f"{planned.trial_id} with seed {planned.seed}"
            )
        status = _record(StatusRecord, run.status_file)
        imported = _record(ImportedRecord, run.path / IMPORTED_FILE)
        if imported is not None:
            return self._imported(run, planned, status or StatusRecord(), imported)
        summary = _record(SummaryRecord, run.summary_file)
        if summary is not None and status is None:
            raise DamagedError("the run directory is half deleted: status.json is missing")
        status = status or StatusRecord()
        if why := check_summary(planned, status, summary):
            raise DamagedError(why)
        problems: list[str] = []
        curve = self._curve(run, problems)
        problems += check_curve(status, summary, curve, there=run.metrics_file.exists())
        return TrialResult(
            planned=planned,
            state=status.state,
            reason=None if status.state == "completed" else _why_no_result(status),
            status=status,
            summary=summary,
            env=self._share(EnvRecord, run.env_file, problems, drop="git_patch"),
            config=self._config(run),
            throughput=self._share(ThroughputRecord, run.throughput_file, problems),
            analysis=_or_named(lambda: _record(AnalysisRecord, run.analysis_file()), problems),
            attempts=_attempts(run.attempts_file, problems),
            curve=curve,
            correct=_or_named(lambda: self._correct(run.val_correct_file, planned), problems),
            problems=tuple(problems),
        )

    def _imported(
        self, run: RunDir, planned: PlannedTrial, status: StatusRecord, imported: ImportedRecord
    ) -> TrialResult:
        """A run of another program. Raises DamagedError where its result cannot be counted."""
        if why := check_imported(planned, status, imported):
            raise DamagedError(why)
        problems: list[str] = []
        return TrialResult(
            planned=planned,
            state=status.state,
            reason=None if status.state == "completed" else _why_no_result(status),
            status=status,
            curve=self._curve(run, problems),
            imported=imported,
            problems=(*imported.notes, *problems),
        )

    def _curve(self, run: RunDir, problems: list[str]) -> Curve | None:
        try:
            curve, damaged = read_curve(run.metrics_file, self.most_points)
        except OSError as error:
            problems.append(f"metrics.jsonl cannot be read: {error.strerror}")
            return None
        if damaged:
            problems.append(f"metrics.jsonl: {count(damaged, 'damaged line')} left out")
        return curve

    def _config(self, run: RunDir) -> RunConfig:
        """Raises DamagedError."""
        values = _values(run.config_file)
        if values is None:
            raise DamagedError("the run directory is half deleted: config.json is missing")
        without_seed = {k: v for k, v in values.items() if k != "seed"}
        key = json.dumps(without_seed, sort_keys=True)
        if key not in self._configs:
            try:
                self._configs[key] = parse_run_config(values)
            except ConfigError as error:
                raise DamagedError(f"config.json does not fit this version: {error}") from None
        return self._configs[key]

    def _share(
        self, kind: type[RecordT], path: Path, problems: list[str], drop: str | None = None
    ) -> RecordT | None:
        """The record in a file that many trials have alike; None where there is none."""

        def read() -> RecordT | None:
            data = _bytes(path)
            if data is None:
                return None
            if (kind, data) not in self._shared:
                record = _parsed(kind, data, path)
                why = check_throughput(record) if isinstance(record, ThroughputRecord) else None
                if why:
                    raise DamagedError(f"{path.name} is damaged: {why}")
                self._shared[kind, data] = record.model_copy(update={drop: None} if drop else {})
            return cast("RecordT", self._shared[kind, data])

        return _or_named(read, problems)

    def _correct(self, path: Path, planned: PlannedTrial) -> dict[str, Any] | None:
        """val_correct.json as it stands, if it is one. Raises DamagedError."""
        data = _bytes(path)
        if data is None:
            return None
        values = _object(data, path)
        try:
            record = ValCorrectRecord.from_json(values, path.name)
        except SchemaError as error:
            raise DamagedError(str(error)) from None
        if record.trial_id != planned.trial_id:
            raise DamagedError(f"{path.name} is of trial {record.trial_id}")
        self._all_correct_bytes -= self._correct_bytes.pop(planned.trial_id, 0)
        if self._all_correct_bytes + len(data) > _MOST_CORRECT_BYTES:
            raise DamagedError(f"{path.name}: a report keeps 32 MiB of them, which were reached")
        self._all_correct_bytes += len(data)
        self._correct_bytes[planned.trial_id] = len(data)
        return values


def _files(run: RunDir) -> tuple[Path, ...]:
    return (
        run.trial_file, run.config_file, run.status_file, run.summary_file, run.metrics_file,
        run.env_file, run.throughput_file, run.analysis_file(), run.attempts_file,
        run.val_correct_file, run.path / IMPORTED_FILE,
    )  # fmt: skip


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What differs when a file was replaced or has grown."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _bytes(path: Path) -> bytes | None:
    """The file's content; None where there is none. Raises DamagedError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DamagedError(f"{path.name} cannot be read: {error.strerror}") from None


def _object(data: bytes, path: Path) -> dict[str, Any]:
    """Raises DamagedError."""
    try:
        values = decode(data)
    except ValueError as error:
        raise DamagedError(f"{path.name} is damaged: {error}") from None
    if not isinstance(values, dict):
        raise DamagedError(f"{path.name} is damaged: it holds no object")
    return values


def _values(path: Path) -> dict[str, Any] | None:
    """Raises DamagedError."""
    data = _bytes(path)
    return None if data is None else _object(data, path)


def _parsed(kind: type[RecordT], data: bytes, path: Path) -> RecordT:
    """Raises DamagedError."""
    try:
        return kind.from_json(_object(data, path), path.name)
    except SchemaError as error:
        raise DamagedError(str(error)) from None


def _record(kind: type[RecordT], path: Path) -> RecordT | None:
    """A record, or None where there is no file. Raises DamagedError."""
    data = _bytes(path)
    return None if data is None else _parsed(kind, data, path)


def _needed(kind: type[RecordT], path: Path) -> RecordT:
    """Raises DamagedError."""
    record = _record(kind, path)
    if record is None:
        raise DamagedError(f"the run directory is half deleted: {path.name} is missing")
    return record


_ValueT = TypeVar("_ValueT")


def _or_named(read: Callable[[], _ValueT | None], problems: list[str]) -> _ValueT | None:
    """What is read, or None with a word on why not."""
    try:
        return read()
    except DamagedError as error:
        problems.append(f"left out: {error}")
        return None


def _attempts(path: Path, problems: list[str]) -> tuple[AttemptRecord, ...]:
    """The attempts, oldest first; lines that cannot be read are counted and left out."""
    data = _or_named(lambda: _bytes(path), problems) or b""
    found: dict[int, AttemptRecord] = {}
    damaged = 0
    for line in data.splitlines():
        if not line.strip():
            continue
        try:
            record = _parsed(AttemptRecord, line, path)
        except DamagedError:
            damaged += 1
            continue
        found[record.number] = record
    if damaged:
        problems.append(f"{path.name}: {count(damaged, 'damaged line')} left out")
    return tuple(found[number] for number in sorted(found))


def _why_missing(path: Path) -> str:
    if path.is_symlink():
        return f"reused from {printable(os.readlink(path))}, which is gone"
    return "no run directory: not started yet, or deleted"


def _why_no_result(status: StatusRecord) -> str:
    progress = f"at step {status.step}"
    if status.total_steps:
        progress += f" of {status.total_steps}"
    words = {
        "pending": "waits to be started",
        "running": f"was {progress} when this report was written",
        "preempted": f"stopped {progress}, to be resumed",
        "failed": f"{status.failure or 'failed'} {progress}",
        "pruned": f"stopped early by the search {progress}",
    }
    said = " ".join((status.reason or "").split())
    return f"{words[status.state]}: {said}" if said else words[status.state]
