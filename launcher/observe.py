"""What is known about trials right now, from layered sources.

The result file outranks everything; then the lock that a training process holds, or its heartbeat
from another machine; then the backend. Missing information never makes a trial startable: only a
trial that nothing can be working on is `new` or `stopped`.
"""

from __future__ import annotations

import socket
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from deit_core.errors import RunDirError
from deit_core.records import FINISHED_STATES, Record, StatusRecord, SummaryRecord
from deit_core.run_dir import RunDir, read_json
from launcher.backends.base import Backend, JobReport, Unstarted
from launcher.errors import LaunchError
from launcher.repair import is_damaged, surviving_status

REMOTE_STALE_S = 900.0
"""A heartbeat from another machine counts as life for this long; locks may not reach across."""
ENDED_STALE_S = 60.0
"""The same where the trial's job has ended for certain: some heartbeats, as one may come late."""

Condition = Literal[
    "new", "queued", "running", "stopped", "completed", "failed", "pruned", "unknown", "damaged"
]
"""`stopped`: it has begun, is not finished, and nothing works on it. `unknown`: it has a job that
the backend says nothing about."""

ACTIVE: frozenset[str] = frozenset({"queued", "running", "unknown"})
"""Conditions in which something works on the trial, or may."""


class TrialJob(Record):
    """job/job.json: the latest job of a trial.

    Written before the job is submitted (`job_id` is null then) and again after.
    """

    tag: str
    backend: str
    job_id: str | None = None
    run_dirs: tuple[str, ...] = ()
    """Run directories of all trials of the job."""
    submitted_unix_s: float


@dataclass(frozen=True)
class Observation:
    """One trial as it stands."""

    path: Path | None
    """Real path of the run directory; None where there is none yet."""
    condition: Condition
    status: StatusRecord = field(default_factory=StatusRecord)
    job: TrialJob | None = None
    problem: str | None = None
    """What is wrong with a damaged directory."""
    report: JobReport | None = None
    """What the backend says of the job, where it says anything."""
    summary: SummaryRecord | None = None
    """The result of a completed trial."""

    @property
    def held(self) -> bool:
        """Whether its job waits because the user paused it."""
        return self.condition == "queued" and self.report is not None and self.report.held


NOTHING = Observation(None, "new")


def has_result(run: RunDir) -> bool:
    """Whether the result is there: the result file, or a measurement that says it is done.

    Raises:
        RunDirError: the status of a measurement cannot be read.
    """
    return run.summary_file.exists() or _is_measured(run)


def _is_measured(run: RunDir) -> bool:
    """Whether this is an order to measure (its records are in the runs it names) that is done."""
    return run.bench_file.exists() and surviving_status(run).state == "completed"


def read_trial_job(run: RunDir) -> TrialJob | None:
    """The trial's latest job; None where it never had one.

    A file that a power cut has emptied counts as none: it was synced before its job was submitted.

    Raises:
        RunDirError: the file cannot be read, or is newer than this program.
    """
    if not run.job_file.exists():
        return None
    try:
        return TrialJob.from_json(read_json(run.job_file), str(run.job_file))
    except RunDirError:
        if is_damaged(run.job_file):
            return None
        raise


@dataclass(frozen=True)
class _Facts:
    """What the files of one run directory say."""

    run: RunDir
    status: StatusRecord
    summary: SummaryRecord | None
    job: TrialJob | None
    measured: bool = False
    """Whether it is no trial but an order to measure, which is done."""

    @property
    def finished(self) -> bool:
        """Whether there is a result."""
        return self.summary is not None or self.measured


def observe(paths: Mapping[str, Path], backend: Backend) -> dict[str, Observation]:
    """Look at run directories (by trial id). Asks the backend once, about all their jobs.

    A directory that cannot be read becomes a `damaged` observation.
    """
    seen: dict[str, Observation] = {}
    facts = _read_all(paths, seen)
    reports = _job_reports((fact.job for fact in facts.values() if not fact.finished), backend)
    # They may have come to their end after they were read.
    ended = [name for name, fact in facts.items() if _has_left(fact, reports)]
    facts |= _read_all({name: paths[name] for name in ended}, seen)
    for trial_id, fact in facts.items():
        if trial_id in seen:
            continue
        report = None if fact.job is None else reports.get(fact.job.tag)
        try:
            condition = _condition(fact, report)
        except RunDirError as error:
            seen[trial_id] = Observation(fact.run.path, "damaged", problem=str(error))
            continue
        status = fact.status
        unstarted = None if report is None else report.unstarted
        if unstarted is not None and condition in ("new", "stopped"):
            status = _as_unstarted(status, unstarted)
            condition = "failed" if unstarted.failed else condition
        seen[trial_id] = Observation(
            fact.run.path, condition, status, fact.job, report=report, summary=fact.summary
        )
    return {trial_id: seen[trial_id] for trial_id in paths}


def _read_all(paths: Mapping[str, Path], damaged: dict[str, Observation]) -> dict[str, _Facts]:
    """Read run directories; those that cannot be read are added to `damaged`."""
    facts: dict[str, _Facts] = {}
    for trial_id, path in paths.items():
        try:
            facts[trial_id] = _read(RunDir(path))
        except RunDirError as error:
            damaged[trial_id] = Observation(path, "damaged", problem=str(error))
    return facts


def _has_left(fact: _Facts, reports: Mapping[str, JobReport]) -> bool:
    """Whether the job of a trial without an end, as it was read, has one."""
    report = None if fact.job is None else reports.get(fact.job.tag)
    open_ = not fact.finished and fact.status.state not in FINISHED_STATES
    return open_ and report is not None and report.state == "ended"


def _read(run: RunDir) -> _Facts:
    status = surviving_status(run)
    summary = _read_result(run)
    begun = status.attempt > 0 or run.metrics_file.exists()
    if begun and not run.exists():
        missing = run.config_file if run.trial_file.exists() else run.trial_file
        raise RunDirError(
            f"{run.path} is half deleted: {missing.name} is missing; "
            f"delete the folder and run the sweep again"
        )
    measured = status.state == "completed" and summary is None and run.bench_file.exists()
    if status.state == "completed" and summary is None and not measured:
        raise RunDirError(
            f"{run.path} is half deleted: {run.summary_file.name} is missing; "
            f"delete the folder and run the sweep again"
        )
    job = None if summary is not None or measured else read_trial_job(run)
    return _Facts(run, status, summary, job, measured)


def _read_result(run: RunDir) -> SummaryRecord | None:
    """The result, where there is one that can be read."""
    try:
        return run.read_summary()
    except RunDirError as error:
        raise RunDirError(f"{error}; delete {run.path} and run the sweep again") from None


def _job_reports(jobs: Iterable[TrialJob | None], backend: Backend) -> Mapping[str, JobReport]:
    """What is known of jobs, by tag; each backend is asked once, about all jobs it has."""
    by_backend: dict[str, dict[str, TrialJob]] = defaultdict(dict)
    for job in jobs:
        if job is not None:
            by_backend[job.backend][job.tag] = job
    reports: dict[str, JobReport] = {}
    for name, tagged in by_backend.items():
        owner = owner_of(name, backend)
        if owner is not None:
            reports |= _reports_of(tagged.values(), owner)
    return reports


def owner_of(name: str, backend: Backend) -> Backend | None:
    """The backend of this name in the same runs folder; None where there is none."""
    return backend if name == backend.name else backend.peers(name)


def _reports_of(jobs: Collection[TrialJob], backend: Backend) -> dict[str, JobReport]:
    ids = {job.tag: job.job_id for job in jobs if job.job_id is not None}
    unrecorded = {job.tag for job in jobs} - ids.keys()
    try:
        found = backend.find(unrecorded) if unrecorded else {}
    except LaunchError:
        found, unrecorded = {}, set()  # nobody can tell now
    # Of which there is no job: the launcher died before it submitted.
    never = {tag: JobReport("ended") for tag in unrecorded - found.keys()}
    ids |= found
    reports = backend.states(set(ids.values()))
    return never | {tag: reports[job_id] for tag, job_id in ids.items() if job_id in reports}


def _condition(fact: _Facts, report: JobReport | None) -> Condition:
    status = fact.status
    if fact.finished:
        return "completed"
    job_state = "ended" if fact.job is None else report.state if report else None
    working = job_state in ("queued", "running")
    if status.state in ("failed", "pruned"):
        again = working and status.failure in ("crashed", "lost")
        return "queued" if again else "failed" if status.state == "failed" else "pruned"
    has_ended = report is not None and report.state == "ended"
    stale_s = ENDED_STALE_S if has_ended else REMOTE_STALE_S
    if fact.run.is_locked() or _alive_elsewhere(status, stale_s):
        return "running"
    if working:
        return "queued"
    if job_state is None:
        return "unknown"
    return "new" if status.state == "pending" and status.attempt == 0 else "stopped"


def _as_unstarted(status: StatusRecord, unstarted: Unstarted) -> StatusRecord:
    """What the trial's own status would say, had anything of its job been there to write it."""
    update: dict[str, str] = {"reason": unstarted.reason}
    if unstarted.failed:
        update |= {"state": "failed", "failure": "user_error", "cause": "user_error"}
    return status.model_copy(update=update)


def _alive_elsewhere(status: StatusRecord, stale_s: float = REMOTE_STALE_S) -> bool:
    if status.state != "running" or status.hostname in (None, socket.gethostname()):
        return False
    return time.time() - (status.heartbeat_unix_s or 0.0) < stale_s


DependencyState = Literal["completed", "failed", "running", "idle"]


def dependency_state(run: RunDir) -> DependencyState:
    """How a trial that others wait for stands, as far as its own files tell.

    Raises:
        RunDirError: its status cannot be read.
    """
    if has_result(run):
        return "completed"
    status = surviving_status(run)
    if run.is_locked() or _alive_elsewhere(status):
        return "running"
    return "failed" if status.state in ("failed", "pruned") else "idle"
