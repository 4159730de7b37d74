"""Make a sweep happen: compare its trials, their directories and the backend; submit the rest.

There is no driver. Each call does what is missing and returns, so it may be killed anywhere and
called again, by several users at once:

- Everything here holds one lock of the runs folder, which the kernel releases with the process.
- Before a job is submitted, each of its trials is told the job's tag (job/job.json); after, its
  id. A tag without an id is looked up at the backend: the job is there and is adopted, or it never
  was and its trials are free.
- Whether a trial may start is read from its files first (see `observe`).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deit_core.errors import RunDirError
from deit_core.run_dir import RunDir, write_json
from launcher.backends.base import Backend, Job
from launcher.expand import Trial
from launcher.locks import locked
from launcher.observe import Observation, TrialJob, observe
from launcher.plan import NO_WISH, STARTS, Plan, PlannedJob, Situation, Wish, make_plan
from launcher.preflight import check_inputs
from launcher.request import Request
from launcher.resources import Resources
from launcher.sweep_dir import SweepDir, choose_folder, one_line_errors, runs_lock
from launcher.trial_dirs import create_trials, locate


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
    sweep_dir = choose_folder(runs, request.name, request.digest)
    ids = [trial.trial_id for trial in request.expansion.trials]
    observations = observe(locate(runs, sweep_dir, ids), backend)
    return _plan(request, observations, backend, NO_WISH)


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
    with one_line_errors("make the runs folder"):
        runs.mkdir(parents=True, exist_ok=True)
    with locked(runs_lock(runs)):
        sweep_dir = choose_folder(runs, request.name, request.digest)
        ids = [trial.trial_id for trial in request.expansion.trials]
        found = locate(runs, sweep_dir, ids)
        plan = _plan(request, observe(found, backend), backend, NO_WISH)  # refuse before writing
        check_inputs(item.trial for item in plan.actions if item.action in STARTS)
        paths = create_trials(sweep_dir, request.expansion.trials, found)
        sweep_dir.write_plan(request.record(_created_utc(sweep_dir)), request.text)
        then(sweep_dir)
        return _carry_out(sweep_dir, request, paths, backend, NO_WISH)


def continue_sweep(sweep_dir: SweepDir, request: Request, backend: Backend, wish: Wish) -> Outcome:
    """Start trials of an existing sweep that the user, or the launcher itself, asks for.

    Raises:
        UserError: see `reconcile`.
    """
    with locked(sweep_dir.lock_file):
        found = locate(sweep_dir.runs, sweep_dir, [t.trial_id for t in request.expansion.trials])
        paths = create_trials(sweep_dir, request.expansion.trials, found)
        return _carry_out(sweep_dir, request, paths, backend, wish)


def _carry_out(
    sweep_dir: SweepDir, request: Request, paths: dict[str, Path], backend: Backend, wish: Wish
) -> Outcome:
    observations = observe(paths, backend)
    adopted = _adopt(observations.values(), backend)
    _heal(observations.values())
    plan = _plan(request, observations, backend, wish)
    _fail_students_of_failed_teachers(plan, observations)
    for job in plan.jobs:
        _submit(sweep_dir, job, paths, request.resources, backend)
    backend.revive()
    return Outcome(sweep_dir, plan, paths, adopted)


def _plan(
    request: Request, observations: Mapping[str, Observation], backend: Backend, wish: Wish
) -> Plan:
    for seen in observations.values():
        if seen.condition == "damaged":
            raise RunDirError(seen.problem or f"{seen.path} is damaged")
    situation = Situation(
        observations=observations,
        backend=backend.name,
        capacity=backend.capacity(),
        seconds_by_group=_seconds_by_group(request.expansion.trials, observations),
    )
    return make_plan(request.name, request.expansion, request.resources, situation, wish)


def _seconds_by_group(
    trials: Sequence[Trial], observations: Mapping[str, Observation]
) -> dict[str, float]:
    """Training time of one finished trial of each group that has trials to come."""
    done, open_groups = {}, set()
    for trial in trials:
        seen = observations.get(trial.trial_id)
        if seen is not None and seen.condition == "completed":
            done[trial.group_id] = seen
        else:
            open_groups.add(trial.group_id)
    seconds = {}
    for group_id in open_groups & done.keys():
        path = done[group_id].path
        summary = RunDir(path).read_summary() if path else None
        if summary is not None:
            seconds[group_id] = summary.train_s / max(1, summary.cohort_size)
    return seconds


# writing things down -------------------------------------------------------------------------


def _created_utc(sweep_dir: SweepDir) -> str:
    if sweep_dir.plan_file.exists():
        return sweep_dir.read_plan().created_utc
    return datetime.now(UTC).isoformat(timespec="seconds")


def _adopt(observations: Iterable[Observation], backend: Backend) -> int:
    """Record the id of live jobs whose submitter died before it could; returns how many jobs."""
    tags = set()
    for seen in observations:
        if seen.job is None or seen.job.job_id is not None or seen.path is None:
            continue
        job_id = backend.find(seen.job.tag) if seen.job.backend == backend.name else None
        if job_id is not None:
            record_job([seen.path], seen.job.model_copy(update={"job_id": job_id}))
            tags.add(seen.job.tag)
    return len(tags)


def _heal(observations: Iterable[Observation]) -> None:
    """Complete the status of trials that died between their result and their last status."""
    for seen in observations:
        if seen.condition != "completed" or seen.status.state == "completed" or not seen.path:
            continue
        run = RunDir(seen.path)
        if not run.is_locked():
            update = {"state": "completed", "failure": None, "reason": None, "eta_s": None}
            run.write_status(seen.status.model_copy(update=update))


def _fail_students_of_failed_teachers(plan: Plan, observations: Mapping[str, Observation]) -> None:
    for planned in plan.actions:
        seen = observations[planned.trial.trial_id]
        if planned.action == "failed" and seen.condition in ("new", "stopped") and seen.path:
            update = {"state": "failed", "failure": "dependency", "reason": planned.reason}
            RunDir(seen.path).write_status(seen.status.model_copy(update=update))


def _submit(
    sweep_dir: SweepDir,
    job: PlannedJob,
    paths: Mapping[str, Path],
    resources: Resources,
    backend: Backend,
) -> None:
    """Write the intent, submit, record."""
    run_dirs = tuple(paths[trial.trial_id] for trial in job.trials)
    intent = TrialJob(
        tag=uuid.uuid4().hex[:12],
        backend=backend.name,
        run_dirs=tuple(str(path) for path in run_dirs),
        submitted_unix_s=time.time(),
    )
    for path in run_dirs:
        _clear_failure(RunDir(path))
    record_job(run_dirs, intent)
    job_id = backend.submit(
        Job(
            tag=intent.tag,
            run_dirs=run_dirs,
            after=tuple(paths[trial_id] for trial_id in job.after),
            cpus=job.cpus,
            gpus=job.gpus,
            group=sweep_dir.path.name,
            max_parallel=resources.max_parallel,
        )
    )
    record_job(run_dirs, intent.model_copy(update={"job_id": job_id}))


def _clear_failure(run: RunDir) -> None:
    """Let a trial that failed or was stopped wait for its job, as far as it had come."""
    status = run.read_status()
    if status.state == "failed" or status.reason is not None:
        state = "preempted" if status.attempt else "pending"
        update = {"state": state, "failure": None, "reason": None, "finished_unix_s": None}
        run.write_status(status.model_copy(update=update))


def record_job(run_dirs: Iterable[Path], job: TrialJob) -> None:
    """Write which job trials have. Raises RunDirError."""
    values = job.model_dump(mode="json")
    for path in run_dirs:
        write_json(RunDir(path).job_file, values, durable=False)
