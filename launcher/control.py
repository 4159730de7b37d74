"""Cancelling and retrying trials of an existing sweep."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

from deit_core.errors import RunDirError
from deit_core.run_dir import RunDir
from launcher.backends.base import Backend
from launcher.errors import LaunchError
from launcher.observe import ACTIVE, Observation, observe
from launcher.plan import Wish
from launcher.policy import CANCELLED
from launcher.reconcile import Outcome, continue_sweep
from launcher.repair import surviving_status
from launcher.request import Request, read_request
from launcher.sweep_dir import SweepDir
from launcher.trial_dirs import own_paths

PATIENCE_S = 90.0
"""Seconds to wait for a cancelled job: longer than a backend's own grace time."""
_POLL_S = 0.1


def retry(sweep_dir: SweepDir, backend: Backend, trial_ids: Collection[str] | None) -> Outcome:
    """Start failed or stopped trials again, from their last checkpoint.

    Args:
        sweep_dir: the sweep.
        backend: where they run.
        trial_ids: which; None: every failed one.

    Raises:
        RunDirError: a run directory cannot be read or written.
    """
    request = read_request(sweep_dir)
    if trial_ids is None:
        seen = _observe(sweep_dir, request, backend)
        trial_ids = [name for name, one in seen.items() if one.condition == "failed"]
    chosen = frozenset(trial_ids)
    return continue_sweep(sweep_dir, request, backend, Wish(retry=chosen, only=chosen))


def cancel(sweep_dir: SweepDir, backend: Backend, trial_ids: Collection[str] | None) -> list[str]:
    """Stop trials that run or wait, letting them save first; returns the ids of those stopped.

    What shared a job with them and was not cancelled is submitted again.

    Args:
        sweep_dir: the sweep.
        backend: where they run.
        trial_ids: which; None: all.

    Raises:
        LaunchError: a job did not end.
        RunDirError: a run directory cannot be read or written.
    """
    request = read_request(sweep_dir)
    seen = _observe(sweep_dir, request, backend)
    chosen = _with_dependants(request, seen.keys() if trial_ids is None else trial_ids)
    targets = {name: one for name, one in seen.items() if name in chosen}
    targets = {name: one for name, one in targets.items() if one.condition in ACTIVE}
    jobs = {one.job.tag: one.job for one in targets.values() if one.job is not None}
    job_ids = {job.job_id or backend.find(job.tag) for job in jobs.values()} - {None}
    for job_id in job_ids:
        backend.cancel(str(job_id))
    _await_end(backend, {str(job_id) for job_id in job_ids})
    paths = {one.path for one in targets.values() if one.path is not None}
    for path in paths:
        _mark_cancelled(RunDir(path))
    siblings = {Path(path) for job in jobs.values() for path in job.run_dirs} - paths
    _submit_again(siblings, backend)
    return [name for name, one in targets.items() if one.path and not RunDir(one.path).is_locked()]


def _observe(sweep_dir: SweepDir, request: Request, backend: Backend) -> dict[str, Observation]:
    ids = {trial.trial_id for trial in request.expansion.trials}
    return observe(own_paths(sweep_dir, ids), backend)


def _with_dependants(request: Request, chosen: Collection[str]) -> set[str]:
    """The chosen trials, and those that wait for one of them."""
    found = set(chosen)
    for trial in request.expansion.trials:
        if found.intersection(trial.after):
            found.add(trial.trial_id)
    return found


def _await_end(backend: Backend, job_ids: set[str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while job_ids:
        backend.revive()
        reports = backend.states(job_ids)
        ended = {job_id for job_id, report in reports.items() if report.state == "ended"}
        job_ids = job_ids - ended
        if job_ids and time.monotonic() > deadline:
            raise LaunchError(
                f"job {min(job_ids)} was asked to stop {PATIENCE_S:.0f} s ago and still runs; "
                f"look at it with `deit-launch status`"
            )
        time.sleep(_POLL_S if job_ids else 0)


def _mark_cancelled(run: RunDir) -> None:
    status = surviving_status(run)
    if run.summary_file.exists() or status.state in ("failed", "pruned") or run.is_locked():
        return
    update = {"state": "preempted", "reason": CANCELLED, "failure": None, "eta_s": None}
    run.write_status(status.model_copy(update=update))


def _submit_again(paths: Collection[Path], backend: Backend) -> None:
    """Continue trials, each in the sweep that its folder belongs to."""
    by_sweep: dict[Path, set[str]] = defaultdict(set)
    for path in paths:
        if path.is_dir():  # else it was deleted while it ran: its owner does not want it
            by_sweep[path.parent.parent].add(path.name)
    for folder, ids in by_sweep.items():
        sweep_dir = SweepDir(folder)
        if not sweep_dir.plan_file.exists():
            raise RunDirError(f"{folder} is half deleted: plan.json is missing")
        continue_sweep(sweep_dir, read_request(sweep_dir), backend, Wish(only=frozenset(ids)))
