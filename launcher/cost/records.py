"""What finished jobs took: the one place where earlier runs are read for predictions."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deit_core.config import DataConfig, RunConfig
from deit_core.data_layout import Split
from deit_core.errors import RunDirError, SchemaError
from deit_core.records import EnvRecord, StatusRecord, SummaryRecord
from deit_core.run_dir import RunDir
from launcher.cost.power_law import Measurement
from launcher.cost.workload import Workload, work_per_student, workload_of
from launcher.observe import TrialJob, has_result, read_trial_job
from launcher.sweep_dir import SweepDir, sweep_folders

MOST_TRIALS = 150
"""Finished trials that are read for one plan."""
MOST_SWEEPS = 20
"""Sweeps whose trials are looked at, the newest first."""
_PATIENCE_S = 1.0
"""A slow file server must not hold up a plan for longer than about this."""


@dataclass(frozen=True)
class Device:
    """What one process of a job computes on, and how."""

    kind: str
    """`cpu` or `cuda`."""
    name: str | None
    """As torch or the system calls it; None where it is not known."""
    threads: int
    """Of a process, on a CPU; 0 on a GPU, where they do not matter."""
    precision: str


@dataclass(frozen=True)
class JobRecord:
    """What one finished job took."""

    device: Device
    groups: frozenset[str]
    """Group ids of its trials."""
    step: Measurement
    """One student's step in one process."""
    evaluation: Measurement | None
    """All that is neither a training step nor the start: evaluations and checkpoints."""
    startup_s: float | None
    """From its submission to its first status; None where it was resumed."""
    images_per_s: float
    """That it read and prepared."""
    data: DataConfig
    """See `same_data`."""
    sizes: Mapping[Split, int]


def same_data(data: DataConfig) -> DataConfig:
    """The section without what says nothing of the images, for comparisons."""
    return data.model_copy(update={"workers": None})


@dataclass(frozen=True)
class _Finished:
    """The files of one finished trial."""

    run: RunDir
    group_id: str
    config: RunConfig
    env: EnvRecord
    summary: SummaryRecord
    status: StatusRecord
    job: TrialJob | None


def read_records(runs: Path, first: Iterable[Path]) -> list[JobRecord]:
    """Records of finished jobs, newest sweep first; at most about `MOST_TRIALS` trials.

    Args:
        runs: the folder of all sweeps.
        first: run directories to read before all others.
    """
    finished: dict[Path, _Finished] = {}
    deadline = time.monotonic() + _PATIENCE_S
    for path in (*first, *_newest_trials(runs)):
        if len(finished) >= MOST_TRIALS or time.monotonic() > deadline:
            break
        found = None if path in finished else _read(RunDir(path))
        if found is not None:
            finished[path] = found
    jobs: dict[str, list[_Finished]] = {}
    for path, one in finished.items():
        jobs.setdefault(one.job.tag if one.job else str(path), []).append(one)
    records = (_record(members) for members in jobs.values())
    return [record for record in records if record is not None]


def _newest_trials(runs: Path) -> Iterator[Path]:
    newest = sorted(sweep_folders(runs), key=lambda folder: folder.name, reverse=True)
    for folder in newest[:MOST_SWEEPS]:
        trials = SweepDir(folder).trials.resolve()
        try:
            own = [path for path in trials.iterdir() if not path.is_symlink()]
        except OSError:
            continue  # being made or deleted, or not ours to read
        yield from own


def _read(run: RunDir) -> _Finished | None:
    """A finished trial; None for all others, and for what cannot be read."""
    try:
        if not has_result(run):
            return None
        summary, env = run.read_summary(), run.read_env()
        if summary is None or env is None or summary.train_s <= 0 or summary.steps <= 0:
            return None
        return _Finished(
            run=run,
            group_id=run.read_trial().group_id,
            config=run.read_config(),
            env=env,
            summary=summary,
            status=run.read_status(),
            job=read_trial_job(run),
        )
    except (RunDirError, SchemaError, OSError):
        return None


def _record(members: Sequence[_Finished]) -> JobRecord | None:
    """One record of a job from those of its trials that were read."""
    one = members[0]
    loads = _all_loads(one)
    if loads is None:
        return None
    config, summary = one.config, one.summary
    on_cpu = one.env.device == "cpu"
    threads = one.env.threads if on_cpu else 0
    step_s = summary.train_s / summary.steps
    return JobRecord(
        device=Device(one.env.device, one.env.device_name, threads, config.train.precision),
        groups=frozenset(member.group_id for member in members),
        step=Measurement(work_per_student(loads, summary.world_size), step_s / len(loads)),
        evaluation=_evaluation(one, loads),
        startup_s=_startup_s(one),
        images_per_s=config.train.global_batch_size / step_s,
        data=same_data(config.data),
        sizes={"train": summary.train_images, "val": summary.val_images},
    )


def _all_loads(one: _Finished) -> list[Workload] | None:
    """The work of every trial of a job; of equal ones where the others cannot be told."""
    size = one.summary.cohort_size
    paths = one.job.run_dirs if one.job is not None else ()
    configs = [one.config] * size
    try:
        if size > 1 and len(paths) == size:
            configs = [RunDir(path).read_config() for path in paths]
        trained = _teachers(one.run, configs)
    except RunDirError:
        return None

    def size_of(data: DataConfig, split: Split) -> int:
        return one.summary.train_images if split == "train" else one.summary.val_images

    found = [workload_of(config, trained, size_of) for config in configs]
    loads = [load for load in found if isinstance(load, Workload)]
    return loads if len(loads) == size else None


def _teachers(run: RunDir, configs: Iterable[RunConfig]) -> dict[str, RunConfig]:
    """Configs of the trials that are teachers of these, beside them. Raises RunDirError."""
    trained = {}
    for trial_id in {config.teacher.trial for config in configs if config.teacher}:
        if trial_id is not None:
            beside = RunDir(run.path.parent / trial_id)
            if beside.exists():
                trained[trial_id] = beside.read_config()
    return trained


def _evaluation(one: _Finished, loads: Sequence[Workload]) -> Measurement | None:
    status = one.status
    if status.attempt != 1 or status.started_unix_s is None or status.finished_unix_s is None:
        return None
    seconds = status.finished_unix_s - status.started_unix_s - one.summary.train_s
    work = sum(load.evaluation_flops for load in loads) / one.summary.world_size
    return Measurement(work, seconds) if seconds > 0 and work > 0 else None


def _startup_s(one: _Finished) -> float | None:
    if one.job is None or one.status.attempt != 1 or one.status.started_unix_s is None:
        return None
    return max(0.0, one.status.started_unix_s - one.job.submitted_unix_s)
