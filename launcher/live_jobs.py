"""The jobs that trials have now, each with the backend that runs it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from launcher.backends.base import Backend
from launcher.errors import LaunchError
from launcher.observe import ACTIVE, Observation, TrialJob, observe, owner_of
from launcher.request import Request
from launcher.sweep_dir import SweepDir
from launcher.trial_dirs import own_paths


@dataclass(frozen=True)
class OwnedJobs:
    """Jobs of one backend."""

    owner: Backend
    jobs: tuple[TrialJob, ...]
    ids: tuple[str, ...]
    """Of those that were submitted."""

    @property
    def run_dirs(self) -> set[Path]:
        """Of all trials of these jobs."""
        return {Path(path) for job in self.jobs for path in job.run_dirs}


def observe_sweep(
    sweep_dir: SweepDir, request: Request, backend: Backend
) -> dict[str, Observation]:
    """Look at every trial of a sweep, by id in plan order. Raises RunDirError."""
    ids = [trial.trial_id for trial in request.expansion.trials]
    paths = own_paths(sweep_dir, set(ids))
    return observe({name: paths[name] for name in ids if name in paths}, backend)


def require_answers(seen: Iterable[Observation], backend: Backend) -> None:
    """Refuse to steer jobs of a backend that cannot be told.

    Args:
        seen: the trials that are meant.
        backend: one of the runs folder's; it knows the others.

    Raises:
        LaunchError: a scheduler does not answer.
    """
    names = {one.job.backend for one in seen if one.job is not None and one.condition in ACTIVE}
    for name in sorted(names):
        owner = owner_of(name, backend)
        if owner is not None:
            owner.require_answer()


def jobs_by_owner(seen: Iterable[Observation], backend: Backend) -> list[OwnedJobs]:
    """The latest jobs of trials, each once, by the backend that they were submitted to.

    Args:
        seen: trials whose jobs have not ended.
        backend: one of the runs folder's; it knows the others.

    Raises:
        LaunchError: a job of a backend that this version does not have.
    """
    by_name: dict[str, dict[str, TrialJob]] = defaultdict(dict)
    for one in seen:
        if one.job is not None:
            by_name[one.job.backend][one.job.tag] = one.job
    found = []
    for name, jobs in by_name.items():
        owner = owner_of(name, backend)
        if owner is None:
            raise LaunchError(
                f"job {next(iter(jobs))} is on backend {name!r}, which this version does not have; "
                f"use the version that submitted it"
            )
        ids = [job.job_id for job in jobs.values() if job.job_id is not None]
        unrecorded = [job.tag for job in jobs.values() if job.job_id is None]
        ids += owner.find(unrecorded).values() if unrecorded else ()
        found.append(OwnedJobs(owner, tuple(jobs.values()), tuple(ids)))
    return found
