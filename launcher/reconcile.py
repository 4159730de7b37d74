"""Make a sweep happen: compare its trials, their directories and the backend; submit the rest.

There is no driver. Each call does what is missing and returns, so it may be killed anywhere and
called again, by several users at once:

- Everything here holds one lock of the runs folder, which the kernel releases with the process.
- Whether a trial may start is read from its files first (see `observe`).
- What is written in which order is in `carry_out`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from deit_core.errors import RunDirError, UserError
from deit_core.records import PlanRecord
from launcher.backends.base import Backend
from launcher.bench.plan import Ask
from launcher.bench.stage import NOTHING_TRAINED, measure, wish_of, with_bench
from launcher.carry_out import Outcome, carry_out
from launcher.cost.of_plan import with_cost
from launcher.expand import Trial
from launcher.job_size import job_size
from launcher.locks import locked
from launcher.observe import Observation, observe
from launcher.plan import STARTS, Plan, Situation, Wish, make_plan
from launcher.preflight import check_inputs
from launcher.pruning import pruner_note
from launcher.request import Request, read_request
from launcher.search.grow import (
    Growth,
    grow,
    left_alone,
    progress_note,
    unlimited_slots,
)
from launcher.search.lease import asking
from launcher.search.records import SearchDir
from launcher.sweep_dir import SweepDir, choose_folder, one_line_errors, runs_lock
from launcher.trial_dirs import create_trials, locate


def preview(runs: Path, request: Request, backend: Backend) -> Plan:
    """The plan that `reconcile` would carry out now. Reads, and changes nothing.

    Raises:
        UserError: see `reconcile`.
    """
    sweep_dir, request, _ = _take_up(runs, request, backend)
    growth = _grow(sweep_dir, request, backend)
    _refuse_damaged(growth.seen)
    return _whole_plan(sweep_dir, growth, backend)


def why_refused(plan: Plan) -> str | None:
    """Why `reconcile` would refuse a plan on this machine: files that its trials are to read."""
    try:
        check_inputs(item.trial for item in plan.actions if item.action in STARTS)
    except UserError as error:
        return str(error)
    return None


def reconcile(
    runs: Path,
    request: Request,
    backend: Backend,
    *,
    then: Callable[[SweepDir], None] = lambda sweep_dir: None,
    train: bool = True,
) -> Outcome:
    """Create the sweep's folder or take up the one it has, and start every trial that is due.

    Args:
        runs: the folder of all sweeps; made if need be.
        request: the sweep.
        backend: where its jobs run.
        then: called once the folder is there, before anything starts.
        train: whether anything starts; else the trials are only made.

    Raises:
        RunDirError: a folder that is half deleted or not writable.
        SchemaError: a folder that a newer version wrote.
        LaunchError: a job that does not fit the machine.
        DataError, TeacherError, SweepError: files that a trial reads are not there.
    """
    if not runs.is_dir():
        backend.check(backend.settle(request.resources))  # refuses before anything is written
    with one_line_errors("make the runs folder"):
        runs.mkdir(parents=True, exist_ok=True)
    with locked(runs_lock(runs)):
        sweep_dir, request, earlier = _take_up(runs, request, backend)
        with asking(sweep_dir, request.search):
            growth = _grow(sweep_dir, request, backend)
            _refuse_damaged(growth.seen)
            whole = _whole_plan if train else _unstarted_plan
            plan = whole(sweep_dir, growth, backend)  # refuses before it writes
            check_inputs(item.trial for item in plan.actions if item.action in STARTS)
            if earlier is not None and request.search is not None:
                SearchDir(sweep_dir).reopen()
                SearchDir(sweep_dir).resume()
            paths = _create(sweep_dir, growth)
            created_utc = earlier.created_utc if earlier else _now_utc()
            record = growth.request.record(created_utc, backend.name)
            sweep_dir.write_plan(record, request.text)
            then(sweep_dir)
            outcome = Outcome(sweep_dir, plan, paths)
            outcome = carry_out(outcome, growth.seen, request.resources, backend)
            growth.write_end(SearchDir(sweep_dir))
            return measure(outcome, backend)


def refill(sweep_dir: SweepDir, backend: Backend, room: int | None = None) -> Outcome | None:
    """Go on with a search whose jobs have ended: take up lost trials, ask for new points.

    What the user cancelled is left alone, and so is what cannot be read.

    Args:
        sweep_dir: a sweep.
        backend: where its jobs run.
        room: jobs that may be added; None: as many as run at once.

    Returns:
        What was done; None where the sweep is no search, or asks for no more.

    Raises:
        UserError: see `reconcile`.
    """
    search_dir = SearchDir(sweep_dir)
    if not search_dir.exists():
        return None
    with locked(sweep_dir.lock_file), asking(sweep_dir, search_dir.read_search()):
        if search_dir.is_stopped():
            return None
        request = read_request(sweep_dir)
        request = replace(request, resources=backend.settle(request.resources))
        growth = _grow(sweep_dir, request, backend, room, unasked=True)
        if growth.hopeless:
            growth.write_end(search_dir)
            return None
        wish = Wish(only=_to_go_on_with(growth), unasked=True)
        plan = _plan(sweep_dir.runs, growth, backend, wish, room)
        if room is not None:
            plan = plan.first_jobs(room)
        check_inputs(item.trial for item in plan.actions if item.action in STARTS)
        paths = _create(sweep_dir, growth)
        earlier = sweep_dir.read_plan()
        record = growth.request.record(earlier.created_utc, earlier.backend or backend.name)
        sweep_dir.update_plan(record)
        outcome = Outcome(sweep_dir, plan, paths)
        outcome = carry_out(outcome, growth.seen, request.resources, backend)
        growth.write_end(search_dir)
        return outcome


def _to_go_on_with(growth: Growth) -> frozenset[str]:
    """Trials of a search that are started unasked, where they are not running."""
    left = left_alone(growth.seen)
    return frozenset(
        trial.trial_id
        for trial in growth.request.expansion.trials
        if trial.trial_id not in left and left.isdisjoint(trial.after)
    )


def _grow(
    sweep_dir: SweepDir,
    request: Request,
    backend: Backend,
    room: int | None = None,
    *,
    unasked: bool = False,
) -> Growth:
    """The request with the points that are asked for now, and all trials as they stand."""

    def look(ids: Collection[str]) -> dict[str, Observation]:
        return observe(locate(sweep_dir.runs, sweep_dir, ids, request.sharing), backend)

    def slots_for(trials: Sequence[Trial]) -> int:
        capacity, node = backend.capacity(), backend.node(request.resources)
        size = job_size(request.resources, capacity, trials, node)
        return size.slots or unlimited_slots(request.search)

    return grow(request, SearchDir(sweep_dir), look, slots_for, room, unasked=unasked)


def _create(sweep_dir: SweepDir, growth: Growth) -> dict[str, Path]:
    """Write down what was asked for, and make the run directories that are missing."""
    growth.write(SearchDir(sweep_dir))
    return create_trials(sweep_dir, growth.request.expansion.trials, _found(growth.seen))


def _found(seen: Mapping[str, Observation]) -> dict[str, Path]:
    return {name: one.path for name, one in seen.items() if one.path is not None}


def continue_sweep(sweep_dir: SweepDir, request: Request, backend: Backend, wish: Wish) -> Outcome:
    """Start trials of an existing sweep that the user, or the launcher itself, asks for.

    Raises:
        UserError: see `reconcile`.
    """
    request = replace(request, resources=backend.settle(request.resources))
    with locked(sweep_dir.lock_file):
        ids = [trial.trial_id for trial in request.expansion.trials]
        seen = observe(locate(sweep_dir.runs, sweep_dir, ids, request.sharing), backend)
        _refuse_damaged(seen)
        plan = _plan(sweep_dir.runs, Growth(request, seen), backend, wish)
        paths = create_trials(sweep_dir, request.expansion.trials, _found(seen))
        return carry_out(Outcome(sweep_dir, plan, paths), seen, request.resources, backend)


def _take_up(
    runs: Path, request: Request, backend: Backend
) -> tuple[SweepDir, Request, PlanRecord | None]:
    """The sweep's folder, what is asked for with what it keeps, and the plan it has.

    What the environment adds to `resources` is put down, for those who submit the rest elsewhere.
    """
    request = replace(request, resources=backend.settle(request.resources))
    sweep_dir = choose_folder(runs, request.name, request.digest)
    request = _warmed(request, runs, sweep_dir)
    if not sweep_dir.plan_file.exists():
        return sweep_dir, request, None
    earlier = sweep_dir.read_plan()
    request = request.with_trials_of(read_request(sweep_dir))
    return sweep_dir, request.throttled_as(earlier), earlier


def _warmed(request: Request, runs: Path, sweep_dir: SweepDir) -> Request:
    """A search with what it can learn from other sweeps, if it is to."""
    if request.search is None or not request.search.search.warm_start:
        return request
    from launcher.search.warm import find_warm

    warm, notes = find_warm(request.search, runs, SearchDir(sweep_dir))
    expansion = replace(request.expansion, notes=(*request.expansion.notes, *notes))
    search = request.search.model_copy(update={"warm": warm})
    return replace(request, search=search, expansion=expansion)


def _refuse_damaged(observations: Mapping[str, Observation]) -> None:
    """Trials whose folder cannot be read are for the user to mend. Raises RunDirError."""
    for seen in observations.values():
        if seen.condition == "damaged":
            raise RunDirError(seen.problem or f"{seen.path} is damaged")


def _whole_plan(sweep_dir: SweepDir, growth: Growth, backend: Backend) -> Plan:
    """What a user's call does to the trials, and to the measurement of their models."""
    request = growth.request
    later = request.search is not None and growth.ended is None
    ask = None if request.bench is None else Ask(request.bench, later=later)
    plan = _plan(sweep_dir.runs, growth, backend, wish_of(ask))
    return plan if ask is None else with_bench(plan, sweep_dir, growth.seen, backend, ask)


def _unstarted_plan(sweep_dir: SweepDir, growth: Growth, backend: Backend) -> Plan:
    return _plan(sweep_dir.runs, growth, backend, NOTHING_TRAINED)


def _plan(
    runs: Path, growth: Growth, backend: Backend, wish: Wish, room: int | None = None
) -> Plan:
    request, observations = growth.request, growth.seen
    situation = Situation(
        observations=observations,
        backend=backend.name,
        capacity=backend.capacity(),
        node=backend.node(request.resources),
        room=room,
    )
    plan = make_plan(request.name, request.expansion, request.resources, situation, wish)
    if request.pruner is not None:
        notes = (*plan.notes, pruner_note(request.pruner))
        plan = replace(plan, pruner=request.pruner, notes=notes)
    if plan.jobs:  # else it does not matter whether a scheduler answers
        plan = replace(plan, notes=(*plan.notes, *backend.check(request.resources)))
    if request.search is not None:
        plan = replace(plan, notes=(*plan.notes, progress_note(growth)))
    return with_cost(plan, runs, request.expansion, request.resources, observations)


def _now_utc() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
