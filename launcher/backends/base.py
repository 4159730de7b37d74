"""The protocol between the launcher and whatever runs its jobs.

A backend is a hint about jobs, never the truth about trials: results and liveness are read from
the run directories, and a backend that knows nothing must say so instead of guessing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from launcher.resources import Resources

JobState = Literal["queued", "running", "ended"]
"""`ended` is positive knowledge: nothing of the job runs, nor will by itself."""


@dataclass(frozen=True)
class Unstarted:
    """How a job ended that never started its trials."""

    reason: str
    """In words, with the job."""
    failed: bool = False
    """Whether it is the job's own doing, so that the same would happen again."""
    exit_code: int | None = None
    """Negative: killed by that signal."""
    scheduler: str | None = None
    """State and exit code in the scheduler's words, such as `FAILED 3:0`."""


@dataclass(frozen=True)
class JobReport:
    """What a backend knows about one job."""

    state: JobState
    detail: str = ""
    """In the scheduler's own words, such as why a job waits: `PENDING (Priority)`."""
    held: bool = False
    """Whether it waits because the user paused it."""
    unstarted: Unstarted | None = None
    """Of a job that has ended, where it is known that it never began."""


@dataclass(frozen=True)
class Job:
    """What a backend runs: processes that together train the trials of `run_dirs` side by side."""

    tag: str
    """Chosen by the launcher before it submits; finds a job whose id was never recorded."""
    run_dirs: tuple[Path, ...]
    after: tuple[Path, ...] = ()
    """Run directories (of teachers) that must be completed before this job starts."""
    after_any: tuple[Path, ...] = ()
    """Run directories of trials that must have ended before it starts, whichever way."""
    processes: int = 1
    """Ranks that train together, over all nodes."""
    cpus: int = 1
    """Cores of all processes together."""
    gpus: int = 0
    """GPUs of all processes together."""
    resources: Resources = field(default_factory=Resources)
    """What was asked for, for schedulers that place the processes themselves."""
    avoid: tuple[str, ...] = ()
    """Nodes that have failed trials of the sweep; better none of them, if there are others."""
    mem_factor: float = 1.0
    """By how much more memory `resources` says than the sweep file."""
    code: Path | None = None
    """Snapshot of the code that the job runs; None: what is installed."""
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


def no_peers(name: str) -> Backend | None:
    """For a backend that stands alone."""
    return None


@dataclass(frozen=True)
class Check:
    """One line of `deit-launch doctor`."""

    name: str
    ok: bool
    detail: str
    note: bool = False
    """Whether it is worth knowing though nothing is wrong."""

    @property
    def verdict(self) -> str:
        """`ok`, `BAD` or `note`."""
        return "BAD" if not self.ok else "note" if self.note else "ok"


Peers = Callable[[str], "Backend | None"]
"""Finds a backend of a runs folder by its name; None where there is none of that name."""


class Backend(Protocol):
    """Runs jobs somewhere. Every method may be called by several processes at once."""

    name: str
    peers: Peers
    """The runs folder's other backends: trials may have jobs there."""

    def submit(self, jobs: Sequence[Job]) -> Mapping[str, str]:
        """Queue jobs and return their ids by tag. Submitting a live tag again changes nothing."""

    def find(self, tags: Collection[str]) -> Mapping[str, str]:
        """The ids of live jobs by their tags; those of which there is none are left out.

        Raises:
            LaunchError: that cannot be told now.
        """

    def settle(self, resources: Resources) -> Resources:
        """Resources with what this process's environment says where they say nothing.

        They stand in plan.json: what is submitted later, from elsewhere, asks for the same.
        """

    def check(self, resources: Resources) -> Sequence[str]:
        """Refuse, before anything is written, what could never run here.

        Returns:
            Warnings about what may go wrong.

        Raises:
            LaunchError: names what is wrong and what is valid.
        """

    def node(self, resources: Resources) -> Capacity | None:
        """What one node has of those that jobs are placed on; None where that is not known."""

    def forecast(self, jobs: Sequence[Job]) -> list[str]:
        """What would come of submitting these jobs now, such as when they start, in words."""

    def states(self, job_ids: Collection[str]) -> Mapping[str, JobReport]:
        """What is known about these jobs; a job about which nothing is known is left out."""

    def describe(self, job_ids: Collection[str]) -> Mapping[str, str]:
        """How jobs ended, in the words of a scheduler that keeps accounts; others are left out."""

    def log_before_start(self, job_id: str) -> Path | None:
        """Where a job says what it does before it starts its trials, if it does so anywhere."""

    def require_answer(self) -> None:
        """Refuse to change what becomes of jobs where nobody can be told.

        Raises:
            LaunchError: the scheduler does not answer.
        """

    def cancel(self, job_ids: Collection[str]) -> None:
        """Ask jobs to stop: a queued one is dropped, a running one may first checkpoint."""

    def hold(self, job_ids: Collection[str]) -> None:
        """Keep jobs from running until they are released; one that runs saves and waits again."""

    def release(self, job_ids: Collection[str]) -> None:
        """Let held jobs run again."""

    def throttle(self, group: str, most: int | None) -> None:
        """Let at most so many jobs of a sweep run at the same time from now on; None: all."""

    def capacity(self) -> Capacity | None:
        """What the jobs share; None where only the scheduler knows."""

    def revive(self) -> None:
        """Restart whatever moves the queue if jobs wait for it and it is gone."""

    def checks(self, resources: Resources, *, submit: bool = False) -> list[Check]:
        """What `doctor` should say about this backend, for jobs that ask for `resources`.

        Args:
            resources: says which part of a cluster is meant.
            submit: also run a job that looks around, where that can show more.
        """
