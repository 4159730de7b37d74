"""Pausing trials, letting them go on, and throttling a sweep."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from deit_core.run_dir import RunDir
from launcher.backends.base import Backend
from launcher.causes import CAUSE_WORDS
from launcher.live_jobs import OwnedJobs, jobs_by_owner, observe_sweep, require_answers
from launcher.locks import locked
from launcher.observe import ACTIVE, Observation, owner_of
from launcher.repair import surviving_status
from launcher.request import read_request
from launcher.search.records import SearchDir
from launcher.sweep_dir import SweepDir


@dataclass(frozen=True)
class Held:
    """Trials that were paused, or that may go on."""

    asked: tuple[str, ...]
    """Ids of those that were asked for."""
    beside: tuple[str, ...] = ()
    """Ids of the others in their jobs."""
    running: tuple[str, ...] = ()
    """Of all these, those that ran: they save before they wait."""
    search: bool = False
    """Whether a search asks for nothing more now, or may ask again."""


def pause(sweep_dir: SweepDir, backend: Backend, trial_ids: Collection[str] | None) -> Held:
    """Keep trials that wait from running; those that run save, and wait too.

    Whole jobs are held, with all trials that share them. A search all of which is paused asks for
    nothing, also where a trial that runs ends before it is held.

    Args:
        sweep_dir: the sweep.
        backend: one of those that they may run on.
        trial_ids: which; None: all.

    Raises:
        LaunchError: a scheduler does not answer.
        RunDirError: a run directory, or the queue, cannot be read or written.
    """
    search = trial_ids is None and _pause_search(sweep_dir)
    seen = observe_sweep(sweep_dir, read_request(sweep_dir), backend)
    require_answers(_chosen(seen, trial_ids).values(), backend)
    targets = {
        name: one
        for name, one in _chosen(seen, trial_ids).items()
        if one.condition in ACTIVE and one.job is not None and not _is_held(one)
    }
    jobs = jobs_by_owner(targets.values(), backend)
    for each in jobs:
        each.owner.hold(each.ids)
    return replace(_held(targets, jobs, seen), search=search)


def _pause_search(sweep_dir: SweepDir) -> bool:
    """Let a search ask for nothing more; whether there is one that might have."""
    search_dir = SearchDir(sweep_dir)
    if not search_dir.exists():
        return False
    with locked(sweep_dir.lock_file):  # nobody is asking meanwhile
        if search_dir.is_stopped():
            return False
        search_dir.pause()
    return search_dir.read_ended() is None


def resume(sweep_dir: SweepDir, backend: Backend, trial_ids: Collection[str] | None) -> Held:
    """Let paused trials run again, with all trials that share their jobs.

    A search all of which is resumed may ask again; see `launcher.search.refill.go_on`.

    Args:
        sweep_dir: the sweep.
        backend: one of those that they may run on.
        trial_ids: which; None: all.

    Raises:
        LaunchError: a scheduler does not answer.
        RunDirError: a run directory, or the queue, cannot be read or written.
    """
    seen = observe_sweep(sweep_dir, read_request(sweep_dir), backend)
    require_answers(_chosen(seen, trial_ids).values(), backend)
    targets = {name: one for name, one in _chosen(seen, trial_ids).items() if _is_held(one)}
    jobs = jobs_by_owner(targets.values(), backend)
    for each in jobs:  # before they are released: nobody else writes then
        _forget_pause(RunDir(path) for path in each.run_dirs if path.is_dir())
        each.owner.release(each.ids)
    search = trial_ids is None and _resume_search(sweep_dir)
    return replace(_held(targets, jobs, seen), search=search)


def _resume_search(sweep_dir: SweepDir) -> bool:
    """Let a search ask again; whether it was paused and has more to ask."""
    search_dir = SearchDir(sweep_dir)
    return search_dir.resume() and search_dir.read_ended() is None


def throttle(sweep_dir: SweepDir, backend: Backend, most: int | None) -> None:
    """Let at most so many jobs of a sweep run at once: its live ones, and those of later calls.

    Args:
        sweep_dir: the sweep.
        backend: where its next jobs go.
        most: None: as many as fit.

    Raises:
        LaunchError: a scheduler refuses, or does not answer.
        RunDirError: the plan or the queue cannot be read or written.
    """
    with locked(sweep_dir.lock_file):  # so that no job is submitted with what held before
        seen = observe_sweep(sweep_dir, read_request(sweep_dir), backend)
        require_answers(seen.values(), backend)
        plan = sweep_dir.read_plan()
        update = {"resources": {**plan.resources, "max_parallel": most}, "throttled": True}
        sweep_dir.update_plan(plan.model_copy(update=update))
        live = (one.job for one in seen.values() if one.condition in ACTIVE)
        names = {backend.name, *(job.backend for job in live if job is not None)}
        for name in sorted(names):
            owner = owner_of(name, backend)
            if owner is not None:
                owner.throttle(sweep_dir.path.name, most)


def _chosen(
    seen: dict[str, Observation], trial_ids: Collection[str] | None
) -> dict[str, Observation]:
    return {name: one for name, one in seen.items() if trial_ids is None or name in trial_ids}


def _is_held(seen: Observation) -> bool:
    """Whether its job was told to wait; it may still be saving."""
    return seen.condition in ACTIVE and seen.report is not None and seen.report.held


def _held(
    targets: dict[str, Observation], jobs: Iterable[OwnedJobs], seen: dict[str, Observation]
) -> Held:
    taken = {path.name for each in jobs for path in each.run_dirs}
    live = {name for name in taken if name not in seen or seen[name].condition in ACTIVE}
    return Held(
        tuple(targets),
        tuple(sorted(live - targets.keys())),
        tuple(name for name, one in seen.items() if name in taken and one.condition == "running"),
    )


def _forget_pause(runs: Iterable[RunDir]) -> None:
    """A trial that may go on waits like any other."""
    for run in runs:
        status = surviving_status(run)
        if status.reason == CAUSE_WORDS["paused"] and not run.is_locked():
            run.write_status(status.model_copy(update={"reason": None, "cause": None}))
