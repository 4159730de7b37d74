"""How long devices worked: on what, how many of them, and whose share it was. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from deit_core.attempts import AttemptRecord
from reports.results import TrialResult

Unit = Literal["GPU-hours", "core-hours"]

Job = tuple[str, float]
"""The start of a job: its tag, and when; the trials of a cohort have it in common."""


@dataclass(frozen=True)
class Devices:
    """What a trial occupies while it trains."""

    unit: Unit
    count: int
    """GPUs, one for each process; or CPU threads of all processes."""


def devices_of(trial: TrialResult, processes: int | None = None) -> Devices | None:
    """The devices of a trial; None where its env.json does not say.

    Args:
        trial: the trial.
        processes: of one attempt; those of its last one when None.
    """
    if trial.env is None:
        return None
    if processes is None:
        processes = trial.attempts[-1].processes if trial.attempts else 1
        if trial.summary is not None:
            processes = trial.summary.world_size
    if trial.env.device == "cpu":
        return Devices("core-hours", processes * trial.env.threads)
    return Devices("GPU-hours", processes)


def job_of(attempt: AttemptRecord) -> Job:
    """Which start of which job an attempt was part of."""
    return attempt.tag, attempt.started_unix_s


def members_of_jobs(trials: Iterable[TrialResult]) -> Mapping[Job, int]:
    """How many trials each job trained side by side."""
    return Counter(job_of(attempt) for trial in trials for attempt in trial.attempts)


def cohort_size(trial: TrialResult, members: Mapping[Job, int]) -> int:
    """Trials that share the devices of its last attempt, itself included."""
    if trial.summary is not None:
        return max(trial.summary.cohort_size, 1)
    return members.get(job_of(trial.attempts[-1]), 1) if trial.attempts else 1


def seconds_per_step(trial: TrialResult) -> float | None:
    """Training time of one step; of all its cohort's, where it trains in one."""
    if trial.summary is not None and trial.summary.steps:
        return trial.summary.train_s / trial.summary.steps
    speed = trial.status.train_images_per_s if trial.status else None
    if not speed or trial.config is None:
        return None
    return trial.config.train.global_batch_size / speed


def hours_per_step(trial: TrialResult, members: Mapping[Job, int]) -> tuple[Unit, float] | None:
    """Devices x training time of one step, in hours: a cohort shares it equally."""
    devices, seconds = devices_of(trial), seconds_per_step(trial)
    if devices is None or seconds is None:
        return None
    return devices.unit, devices.count * seconds / cohort_size(trial, members) / 3600
