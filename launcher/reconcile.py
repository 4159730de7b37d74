"""Make a sweep happen: compare its trials, their directories and the backend; submit the rest.

There is no driver. Each call does what is missing and returns, so it may be killed anywhere and
called again, by several users at once:

- Everything here holds one lock of the runs folder, which the kernel releases with the process.
- Before jobs are submitted, each of their trials is told its job's tag (job/job.json); after, its
  id. A tag without an id is looked up at the backend: the job is there and is adopted, or it never
  was and its trials are free. What is written is synced once before the jobs and once after.
- Whether a trial may start is read from its files first (see `observe`).
"""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from deit_core.errors import RunDirError, UserError
from deit_core.records import PlanRecord, StatusRecord
from deit_core.run_dir import RunDir, write_json
from launcher.adapt import memory_factor, with_memory
from launcher.backends.base import Backend, Job
from launcher.cost.of_plan import with_cost
from launcher.early_ends import write_down
from launcher.expand import Trial
from launcher.job_size import job_size
from launcher.locks import locked
from launcher.observe import NOTHING, Observation, TrialJob, observe
from launcher.plan import NO_WISH, STARTS, Plan, PlannedJob, Situation, Wish, make_plan
from launcher.preflight import check_inputs
from launcher.pruning import pruner_note, tell_pruner
from launcher.repair import LOST_STATUS, mend_status
from launcher.request import Request, read_request
from launcher.resources import Resources
from launcher.search.grow import (
    Growth,
    cancelled_trials,
    grow,
    progress_note,
    unlimited_slots,
)
from launcher.search.lease import asking
from launcher.search.records import SearchDir
from launcher.siblings import attempts_beside, bad_nodes
from launcher.snapshot import take_snapshot
from launcher.sweep_dir import SweepDir, choose_folder, one_line_errors, runs_lock
from launcher.sync import sync_file_system
from launcher.trial_dirs import create_trials, locate, trial_record


@dataclass(frozen=True)
class Outcome:
    """What a call did."""

    sweep_dir: SweepDir
    plan: Plan
    paths: Mapping[str, Path]
    """Real run directory of every trial."""
    adopted: int = 0
    """Jobs that an earlier call had submitted but not recorded."""


def preview(runs: Path, request: Request, backend: Backend) -> Plan:
    """The plan that `reconcile` would carry out now. Reads, and changes nothing.

    Raises:
        UserError: see `reconcile`.
    """
    sweep_dir, request, _ = _take_up(runs, request, backend)
    growth = _grow(sweep_dir, request, backend)
    return _plan(runs, growth, backend, NO_WISH)


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
) -> Outcome:
    """Create the sweep's folder or take up the one it has, and start every trial that is due.

    Args:
        runs: the folder of all sweeps; made if need be.
        request: the sweep.
        backend: where its jobs run.
        then: called once the folder is there, before anything starts.

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
            if earlier is not None and request.search is not None:
                SearchDir(sweep_dir).reopen()
            growth = _grow(sweep_dir, request, backend)
            plan = _plan(runs, growth, backend, NO_WISH)  # refuses before it writes
            check_inputs(item.trial for item in plan.actions if item.action in STARTS)
            paths = _create(sweep_dir, growth)
            created_utc = earlier.created_utc if earlier else _now_utc()
            record = growth.request.record(created_utc, backend.name)
            sweep_dir.write_plan(record, request.text)
            then(sweep_dir)
            outcome = Outcome(sweep_dir, plan, paths)
            outcome = _carry_out(outcome, growth.seen, request.resources, backend)
            growth.write_end(SearchDir(sweep_dir))
            return outcome


def refill(sweep_dir: SweepDir, backend: Backend, room: int | None = None) -> Outcome | None:
    """Go on with a search whose jobs have ended: take up lost trials, ask for new points.

    What the user cancelled is left alone.

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
        ended = search_dir.read_ended()
        if ended is not None and ended.stopped:
            return None
        request = read_request(sweep_dir)
        request = replace(request, resources=backend.settle(request.resources))
        growth = _grow(sweep_dir, request, backend, room)
        asked = {trial.trial_id for trial in growth.request.expansion.trials}
        wish = Wish(only=frozenset(asked - cancelled_trials(growth.seen)))
        plan = _plan(sweep_dir.runs, growth, backend, wish, room)
        if room is not None:
            plan = plan.first_jobs(room)
        check_inputs(item.trial for item in plan.actions if item.action in STARTS)
        paths = _create(sweep_dir, growth)
        earlier = sweep_dir.read_plan()
        record = growth.request.record(earlier.created_utc, earlier.backend or backend.name)
        sweep_dir.update_plan(record)
        outcome = Outcome(sweep_dir, plan, paths)
        outcome = _carry_out(outcome, growth.seen, request.resources, backend)
        growth.write_end(search_dir)
        return outcome


def _grow(
    sweep_dir: SweepDir, request: Request, backend: Backend, room: int | None = None
) -> Growth:
    """The request with the points that are asked for now, and all trials as they stand."""

    def look(ids: Collection[str]) -> dict[str, Observation]:
        return observe(locate(sweep_dir.runs, sweep_dir, ids), backend)

    def slots_for(trials: Sequence[Trial]) -> int:
        capacity, node = backend.capacity(), backend.node(request.resources)
        size = job_size(request.resources, capacity, trials, node)
        return size.slots or unlimited_slots(request.search)

    return grow(request, SearchDir(sweep_dir), look, slots_for, room)


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
        seen = observe(locate(sweep_dir.runs, sweep_dir, ids), backend)
        plan = _plan(sweep_dir.runs, Growth(request, seen), backend, wish)
        paths = create_trials(sweep_dir, request.expansion.trials, _found(seen))
        return _carry_out(Outcome(sweep_dir, plan, paths), seen, request.resources, backend)


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

    warm = find_warm(request.search, runs, sweep_dir.path)
    return replace(request, search=request.search.model_copy(update={"warm": warm}))


def _carry_out(
    outcome: Outcome, seen: Mapping[str, Observation], resources: Resources, backend: Backend
) -> Outcome:
    """Submit the jobs of a plan. `seen` has the trials that were there when it was made."""
    adopted = _adopt(seen.values(), backend)
    _heal(seen.values())
    write_down(seen.values())
    _fail_students_of_failed_teachers(outcome, seen)
    tell_pruner(outcome.plan, outcome.paths)
    _update_files(outcome, seen)
    _submit(outcome, resources, backend)
    backend.revive()
    return replace(outcome, adopted=adopted)


def _plan(
    runs: Path, growth: Growth, backend: Backend, wish: Wish, room: int | None = None
) -> Plan:
    request, observations = growth.request, growth.seen
    for seen in observations.values():
        if seen.condition == "damaged":
            raise RunDirError(seen.problem or f"{seen.path} is damaged")
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


# writing things down -------------------------------------------------------------------------


def _now_utc() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _adopt(observations: Iterable[Observation], backend: Backend) -> int:
    """Record the id of live jobs whose submitter died before it could; returns how many jobs."""
    unrecorded: dict[str, list[tuple[TrialJob, Path]]] = defaultdict(list)
    for seen in observations:
        job = seen.job
        if job is None or seen.path is None or job.job_id is not None:
            continue
        if job.backend == backend.name:
            unrecorded[job.tag].append((job, seen.path))
    found = backend.find(unrecorded.keys()) if unrecorded else {}
    for tag, job_id in found.items():
        for job, path in unrecorded[tag]:
            record_job(job.model_copy(update={"job_id": job_id}), [path])
    return len(found)


def _heal(observations: Iterable[Observation]) -> None:
    """Complete the status of trials that died between their result and their last status.

    A status that a power cut has emptied is replaced by what is known of the trial.
    """
    for seen in observations:
        lost = seen.status.reason == LOST_STATUS
        unsaid = seen.condition == "completed" and seen.status.state != "completed"
        if seen.path is None or not (lost or unsaid):
            continue
        run = RunDir(seen.path)
        if lost:
            mend_status(run)
        if unsaid and not run.is_locked():
            update = {"state": "completed", "failure": None, "reason": None, "eta_s": None}
            run.write_status(seen.status.model_copy(update=update))


def _fail_students_of_failed_teachers(outcome: Outcome, seen: Mapping[str, Observation]) -> None:
    for planned in outcome.plan.actions:
        trial_id = planned.trial.trial_id
        before = seen.get(trial_id, NOTHING)
        if planned.action == "failed" and before.condition in ("new", "stopped"):
            update = {"state": "failed", "failure": "dependency", "reason": planned.reason}
            RunDir(outcome.paths[trial_id]).write_status(before.status.model_copy(update=update))


def _update_files(outcome: Outcome, seen: Mapping[str, Observation]) -> None:
    """Let the trials that are due, and were there before, have this call's settings."""
    for planned in outcome.plan.actions:
        trial = planned.trial
        if planned.action in STARTS and trial.trial_id in seen:
            run = RunDir(outcome.paths[trial.trial_id])
            run.create(trial_record(trial), trial.config)
            _clear_failure(run, seen[trial.trial_id].status)


def _clear_failure(run: RunDir, status: StatusRecord) -> None:
    """Let a trial that failed or was stopped wait for its job, as far as it had come."""
    if status.state in ("failed", "pruned") or status.reason is not None:
        state = "preempted" if status.attempt else "pending"
        update = {"state": state, "failure": None, "reason": None, "finished_unix_s": None}
        run.write_status(status.model_copy(update=update))


def _submit(outcome: Outcome, resources: Resources, backend: Backend) -> None:
    """Write every intent, submit the jobs, record their ids."""
    if not outcome.plan.jobs:
        return
    code = take_snapshot(outcome.sweep_dir.runs)  # may refuse: before any trial is told of a job
    intents = [_intent(job, outcome.paths, backend) for job in outcome.plan.jobs]
    for intent in intents:
        record_job(intent)
    sync_file_system(outcome.sweep_dir.path)
    jobs = _jobs_of(outcome, intents, resources, code)
    ids = backend.submit(jobs)
    for intent in intents:
        record_job(intent.model_copy(update={"job_id": ids[intent.tag]}))
    sync_file_system(outcome.sweep_dir.path)


def _jobs_of(
    outcome: Outcome, intents: Sequence[TrialJob], resources: Resources, code: Path
) -> list[Job]:
    """The plan's jobs as their backend takes them, each with what its trials need by now."""
    begun = any(planned.action in ("resume", "retry") for planned in outcome.plan.actions)
    beside = attempts_beside(intents[0].run_dirs[0]) if begun else []
    avoid = tuple(sorted(bad_nodes(beside)))
    jobs = []
    for planned, intent in zip(outcome.plan.jobs, intents, strict=True):
        factor = memory_factor(intent.run_dirs) if begun else 1.0
        job = Job(
            tag=intent.tag,
            run_dirs=tuple(Path(path) for path in intent.run_dirs),
            after=tuple(outcome.paths[trial_id] for trial_id in planned.after),
            processes=planned.processes,
            cpus=planned.cpus,
            gpus=planned.gpus,
            resources=with_memory(resources, factor, beside),
            avoid=avoid,
            mem_factor=factor,
            code=code,
            group=outcome.sweep_dir.path.name,
            max_parallel=resources.max_parallel,
        )
        jobs.append(job)
    return jobs


def _intent(job: PlannedJob, paths: Mapping[str, Path], backend: Backend) -> TrialJob:
    return TrialJob(
        tag=uuid.uuid4().hex[:12],
        backend=backend.name,
        run_dirs=tuple(str(paths[trial.trial_id]) for trial in job.trials),
        submitted_unix_s=time.time(),
    )


def record_job(job: TrialJob, run_dirs: Iterable[str | Path] | None = None) -> None:
    """Write to trials which job they have: to all of the job's, or to those given.

    Raises:
        RunDirError: no permission, or no space left.
    """
    values = job.model_dump(mode="json")
    for path in job.run_dirs if run_dirs is None else run_dirs:
        write_json(RunDir(path).job_file, values, durable=False)
