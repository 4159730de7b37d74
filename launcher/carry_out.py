"""Carrying a plan out: everything that a call of the launcher writes down of trials and jobs.

Before jobs are submitted, each of their trials is told its job's tag (job/job.json); after, its id.
A tag without an id is looked up at the backend: the job is there and is adopted, or it never was
and its trials are free. What is written is synced once before the jobs and once after.
"""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from deit_core.records import StatusRecord
from deit_core.run_dir import RunDir, write_json
from launcher.adapt import memory_factor, with_memory
from launcher.backends.base import Backend, Job
from launcher.early_ends import write_down
from launcher.observe import NOTHING, Observation, TrialJob
from launcher.plan import STARTS, Plan, PlannedJob
from launcher.pruning import tell_pruner
from launcher.repair import LOST_STATUS, mend_status
from launcher.resources import Resources
from launcher.siblings import attempts_beside, bad_nodes
from launcher.snapshot import take_snapshot
from launcher.sweep_dir import SweepDir
from launcher.sync import sync_file_system
from launcher.trial_dirs import trial_record


@dataclass(frozen=True)
class Outcome:
    """What a call did."""

    sweep_dir: SweepDir
    plan: Plan
    paths: Mapping[str, Path]
    """Real run directory of every trial."""
    benches: tuple[Path, ...] = ()
    """Bench directories whose jobs it submitted."""
    adopted: int = 0
    """Jobs that an earlier call had submitted but not recorded."""


def carry_out(
    outcome: Outcome, seen: Mapping[str, Observation], resources: Resources, backend: Backend
) -> Outcome:
    """Write down what follows from a plan, and submit its jobs.

    Args:
        outcome: so far.
        seen: the trials that were there when the plan was made.
        resources: of the jobs.
        backend: where they run.

    Raises:
        UserError: files that cannot be written, a scheduler that refuses or does not answer.
    """
    adopted = adopt(seen.values(), backend)
    _heal(seen.values())
    write_down(seen.values())
    _fail_students_of_failed_teachers(outcome, seen)
    tell_pruner(outcome.plan, outcome.paths, outcome.sweep_dir.trials.resolve())
    _update_files(outcome, seen)
    _submit(outcome, resources, backend)
    backend.revive()
    return replace(outcome, adopted=adopted)


def adopt(observations: Iterable[Observation], backend: Backend) -> int:
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
            clear_failure(run, seen[trial.trial_id].status)


def clear_failure(run: RunDir, status: StatusRecord) -> None:
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
