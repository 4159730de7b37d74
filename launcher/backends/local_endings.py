"""What the runner writes down when an attempt of a local job has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from deit_core.errors import RunDirError
from deit_core.records import StatusRecord
from deit_core.run_dir import RunDir
from launcher.backends.local_process import last_complaint
from launcher.backends.local_queue import JobProgress, QueuedJob
from launcher.observe import has_result, read_trial_job
from launcher.policy import SOLO_AFTER, Attempt, is_settled, judge
from launcher.repair import mend_status, surviving_status

Log = Callable[[str], None]


def open_trials(job: QueuedJob, log: Log) -> list[str]:
    """Run directories of a job that still need an attempt from it.

    Left out are those that cannot be read, that are gone, and that have another job by now: their
    folder was deleted and made again, and what the user says of the trial concerns the new job.
    """
    found = []
    for path in job.run_dirs:
        run = RunDir(path)
        try:
            if not run.path.is_dir() or _has_another_job(run, job.tag):
                log(f"job {job.tag}: {path} is gone, or has another job by now")
            elif not is_settled(mend_status(run), has_result=has_result(run)):
                found.append(path)
        except RunDirError as error:
            log(f"job {job.tag}: {error}")
    return found


def _has_another_job(run: RunDir, tag: str) -> bool:
    job = read_trial_job(run)
    return job is not None and job.tag != tag


def conclude(
    progress: JobProgress, exit_code: int | None, complaint: str | None = None
) -> JobProgress:
    """Judge every trial of an attempt whose processes are gone; returns the job, queued again.

    Raises:
        RunDirError: a status cannot be read or written.
    """
    failures, steps = dict(progress.failures), dict(progress.steps)
    for path in progress.running:
        run = RunDir(path)
        if not run.path.is_dir():
            continue  # deleted while it ran: its owner does not want it
        attempt = Attempt(
            status=mend_status(run),
            has_result=has_result(run),
            exit_code=exit_code,
            failures=failures.get(path, 0),
            furthest_step=steps.get(path, 0),
            alone=len(progress.running) == 1,
            complaint=complaint or last_complaint(RunDir(progress.running[0])),
        )
        verdict = judge(attempt)
        failures[path] = verdict.failures
        steps[path] = max(steps.get(path, 0), attempt.status.step)
        _write(run, attempt.status, verdict.status)
    return progress.model_copy(
        update={
            "state": "queued",
            "running": (),
            "gpus": (),
            "failures": failures,
            "steps": steps,
            "solo": progress.solo or max(failures.values(), default=0) >= SOLO_AFTER,
        }
    )


def _write(run: RunDir, before: StatusRecord, after: StatusRecord) -> None:
    """Replace a status, unless somebody has meanwhile started the trial by hand."""
    if after != before and not run.is_locked():
        finished = time.time() if after.state in ("failed", "completed") else None
        run.write_status(after.model_copy(update={"finished_unix_s": finished}))


def note_unstarted(run_dirs: Sequence[str], update: dict[str, str]) -> None:
    """Change the status of trials that wait, such as to say why they will not start."""
    for path in run_dirs:
        run = RunDir(path)
        status = mend_status(run)
        if not is_settled(status, has_result=has_result(run)) and not run.is_locked():
            run.write_status(status.model_copy(update=update))


def fail_dependants(run_dirs: Sequence[str], teacher: Path) -> None:
    """Mark trials that cannot be trained because their teacher failed."""
    why = surviving_status(RunDir(teacher)).reason or "see its log"
    note_unstarted(
        run_dirs,
        {
            "state": "failed",
            "failure": "dependency",
            "reason": f"its teacher {teacher.name} failed: {why}",
        },
    )
