"""The protocol between the launcher and whatever runs its jobs.

A backend is a hint about jobs, never the truth about trials: results and liveness are read from
the run directories, and a backend that knows nothing must say so instead of guessing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

JobState = Literal["queued", "running", "ended"]
"""`ended` is positive knowledge: nothing of the job runs, nor will by itself."""


@dataclass(frozen=True)
class Job:
    """What a backend runs: one process that trains the trials of `run_dirs` side by side."""

    tag: str
    """Chosen by the launcher before it submits; finds a job whose id was never recorded."""
    run_dirs: tuple[Path, ...]
    after: tuple[Path, ...] = ()
    """Run directories (of teachers) that must be completed before this job starts."""
    cpus: int = 1
    gpus: int = 0
    group: str = ""
    """The sweep; `max_parallel` counts within it."""
    max_parallel: int | None = None


@dataclass(frozen=True)
class Capacity:
    """Cores and GPUs that a backend's jobs share."""

    cpus: int
    gpus: int = 0

    def fit(self, cpus: int, gpus: int) -> int:
        """How many jobs of this size run at once."""
        by_cpu = self.cpus // max(1, cpus)
        return min(by_cpu, self.gpus // gpus) if gpus else by_cpu


@dataclass(frozen=True)
class Check:
    """One line of `deit-launch doctor`."""

    name: str
    ok: bool
    detail: str


class Backend(Protocol):
    """Runs jobs somewhere. Every method may be called by several processes at once."""

    name: str

    def submit(self, job: Job) -> str:
        """Queue a job and return its id. Submitting a live tag again changes nothing."""

    def find(self, tag: str) -> str | None:
        """The id of the live job with this tag; None when there is none."""

    def states(self, job_ids: Collection[str]) -> Mapping[str, JobState]:
        """What is known about these jobs; a job about which nothing is known is left out."""

    def cancel(self, job_id: str) -> None:
        """Ask a job to stop: a queued one is dropped, a running one may first checkpoint."""

    def capacity(self) -> Capacity | None:
        """What the jobs share; None where only the scheduler knows."""

    def revive(self) -> None:
        """Restart whatever moves the queue if jobs wait for it and it is gone."""

    def checks(self) -> list[Check]:
        """What `doctor` should say about this backend."""
