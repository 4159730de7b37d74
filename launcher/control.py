"""Cancelling trials of an existing sweep, and trying them again."""

from __future__ import annotations

import shutil
import time
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

from deit_core.errors import RunDirError
from deit_core.records import StatusRecord
from deit_core.run_dir import RunDir
from launcher.backends.base import Backend
from launcher.bench.again import submit_bench_again
from launcher.bench.bench_dir import is_bench, look_at_benches
from launcher.carry_out import Outcome
from launcher.errors import LaunchError
from launcher.live_jobs import jobs_by_owner, observe_sweep, require_answers
from launcher.locks import locked
from launcher.observe import ACTIVE, has_result
from launcher.plan import Wish
from launcher.policy import CANCELLED
from launcher.reconcile import continue_sweep
from launcher.repair import surviving_status
from launcher.request import Request, read_request
from launcher.search.records import SearchDir
from launcher.sweep_dir import SweepDir, one_line_errors

PATIENCE_S = 90.0
"""Seconds to wait for a cancelled job: longer than a backend's own grace time."""
_POLL_S = 0.1


def retry(
    sweep_dir: SweepDir,
    backend: Backend,
    trial_ids: Collection[str] | None,
    causes: Collection[str] = (),
) -> Outcome:
    """Start failed, stopped or pruned trials again, from their last checkpoint.

    Args:
        sweep_dir: the sweep.
        backend: where they run.
        trial_ids: which; None: every failed one.
        causes: of all failed ones, those that failed for one of these (`FailureKind`); all if none.

    Raises:
        RunDirError: a run directory cannot be read or written.
    """
    _reopen(SearchDir(sweep_dir))
    request = read_request(sweep_dir)
    if trial_ids is None:
        trial_ids = [
            name
            for name, one in observe_sweep(sweep_dir, request, backend).items()
            if one.condition == "failed" and (not causes or one.status.failure in causes)
        ]
    chosen = frozenset(trial_ids)
    return continue_sweep(sweep_dir, request, backend, Wish(retry=chosen, only=chosen))


def _reopen(search: SearchDir) -> None:
    """Let a search that gave up ask again; one that the user has stopped stays so."""
    ended = search.read_ended()
    if ended is not None and not ended.stopped:
        search.reopen()


def forget_progress(sweep_dir: SweepDir, backend: Backend, trial_ids: Collection[str]) -> None:
    """Remove checkpoints, metrics and event files of trials, so that they start from nothing.

    Raises:
        LaunchError: one of them has a result, or something works on it.
        RunDirError: its files cannot be read or removed.
    """
    with locked(sweep_dir.lock_file):
        seen = observe_sweep(sweep_dir, read_request(sweep_dir), backend)
        begun = {name: seen[name] for name in trial_ids if name in seen}
        for name, one in begun.items():
            if one.condition not in ("failed", "stopped", "new", "pruned"):
                raise LaunchError(
                    f"{name} is {one.condition}; only what failed or was stopped can start from "
                    f"scratch (`deit-launch cancel {name}` stops it)"
                )
        for one in begun.values():
            if one.path is not None:
                _forget(RunDir(one.path), one.status)


def _forget(run: RunDir, status: StatusRecord) -> None:
    """Leave the trial as it was made; only its attempts go on being counted."""
    with one_line_errors("remove what a trial has done so far"):
        for folder in (run.checkpoint_dir, run.tensorboard_dir()):
            if folder.is_dir():
                shutil.rmtree(folder)
        for file in (run.metrics_file, run.rungs_file):
            file.unlink(missing_ok=True)
    run.write_status(
        StatusRecord(state=status.state, failure=status.failure, attempt=status.attempt)
    )


def cancel(sweep_dir: SweepDir, backend: Backend, trial_ids: Collection[str] | None) -> list[str]:
    """Stop trials that run or wait, letting them save first; returns the ids of those stopped.

    What shared a job with them and was not cancelled is submitted again.

    Args:
        sweep_dir: the sweep.
        backend: one of those that they may run on.
        trial_ids: which; None: all.

    Raises:
        LaunchError: a job did not end, or a scheduler does not answer.
        RunDirError: a run directory cannot be read or written.
    """
    if trial_ids is None and SearchDir(sweep_dir).exists():
        with locked(sweep_dir.lock_file):  # nobody asks for more meanwhile, nor afterwards
            SearchDir(sweep_dir).end(CANCELLED, stopped=True)
    request = read_request(sweep_dir)
    seen = observe_sweep(sweep_dir, request, backend)
    chosen = _with_dependants(request, seen.keys() if trial_ids is None else trial_ids)
    require_answers([one for name, one in seen.items() if name in chosen], backend)
    targets = {
        name: one for name, one in seen.items() if name in chosen and one.condition in ACTIVE
    }
    by_owner = jobs_by_owner(targets.values(), backend)
    paths = {one.path for one in targets.values() if one.path is not None}
    for path in paths:  # before they end, or a search would go on with those that wait
        _mark_cancelled(RunDir(path))
    for jobs in by_owner:
        jobs.owner.cancel(jobs.ids)
    for jobs in by_owner:
        _await_end(jobs.owner, set(jobs.ids))
    for path in paths:
        _mark_cancelled(RunDir(path))
    for jobs in by_owner:
        submit_again(jobs.run_dirs - paths, jobs.owner)
    return [name for name, one in targets.items() if one.path and not RunDir(one.path).is_locked()]


def cancel_bench(sweep_dir: SweepDir, backend: Backend) -> list[str]:
    """Stop measurements that run or wait; returns their names.

    Raises:
        LaunchError: a job did not end, or a scheduler does not answer.
        RunDirError: a bench directory cannot be read or written.
    """
    active = [
        order for order in look_at_benches(sweep_dir, backend) if order.seen.condition in ACTIVE
    ]
    require_answers([order.seen for order in active], backend)
    by_owner = jobs_by_owner([order.seen for order in active], backend)
    for jobs in by_owner:
        jobs.owner.cancel(jobs.ids)
    for jobs in by_owner:
        _await_end(jobs.owner, set(jobs.ids))
    for order in active:
        _mark_cancelled(order.run)
    return [f"bench {order.run.path.name}" for order in active if not order.run.is_locked()]


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
                f"job {min(job_ids)} was asked to stop {PATIENCE_S:.0f} s ago and "
                f"{'still runs' if job_ids & reports.keys() else 'nothing is known of it since'}; "
                f"it will stop when it sees that: `deit-launch status` shows it"
            )
        time.sleep(_POLL_S if job_ids else 0)


def _mark_cancelled(run: RunDir) -> None:
    status = surviving_status(run)
    if has_result(run) or status.state in ("failed", "pruned") or run.is_locked():
        return
    update = {"state": "preempted", "reason": CANCELLED, "failure": None, "eta_s": None}
    run.write_status(status.model_copy(update=update))


def submit_again(paths: Collection[Path], backend: Backend) -> None:
    """Continue trials, each in the sweep that its folder belongs to."""
    by_sweep: dict[Path, set[str]] = defaultdict(set)
    for path in paths:
        if is_bench(path):
            submit_bench_again(RunDir(path), backend)
        elif path.is_dir():  # else it was deleted while it ran: its owner does not want it
            by_sweep[path.parent.parent].add(path.name)
    for folder, ids in by_sweep.items():
        sweep_dir = SweepDir(folder)
        if not sweep_dir.plan_file.exists():
            raise RunDirError(f"{folder} is half deleted: plan.json is missing")
        continue_sweep(sweep_dir, read_request(sweep_dir), backend, Wish(only=frozenset(ids)))
