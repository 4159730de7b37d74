"""Whether what a job waits for is there, and how to wait for what is not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deit_core.run_dir import RunDir
from launcher.backends.base import JobReport
from launcher.backends.endings import fail_dependants, note_unstarted
from launcher.backends.registry import open_backend
from launcher.backends.slurm.array_dir import ArrayJob
from launcher.backends.slurm.leaving import Leave
from launcher.observe import dependency_state, observe, read_trial_job


def wait_for_teachers(job: ArrayJob, run_dirs: Sequence[str], runs: Path) -> Leave | None:
    """Why the job cannot start for want of a teacher, which is written down; None when it can.

    Args:
        job: what is to start.
        run_dirs: of its trials that need an attempt.
        runs: the folder of all sweeps.
    """
    for path in map(Path, job.after):
        state = dependency_state(RunDir(path))
        if state == "failed":
            fail_dependants(run_dirs, path)
            return Leave.DONE
        if state == "completed":
            continue
        waits = Leave.REQUEUE if state == "running" else _wait_for(path, runs)
        if waits is not None:
            return waits
        why = f"not started: its teacher {path.name} is neither trained nor queued"
        note_unstarted(run_dirs, {"reason": why})
        return Leave.DONE
    return None


def wait_for_ends(job: ArrayJob, runs: Path) -> Leave | None:
    """How to wait for the trials that must have ended first; None when they have."""
    if not job.after_any:
        return None
    paths = {path: Path(path) for path in job.after_any if Path(path).is_dir()}
    seen = observe(paths, open_backend("slurm", runs)).values()
    going = [one for one in seen if one.condition in ("queued", "running")]
    if not going:
        return None
    # Jobs that this one can wait for if it is submitted anew; else something trains by hand, say.
    known = all(one.job and one.job.backend == "slurm" and _is_live(one.report) for one in going)
    return Leave.ELSEWHERE if known else Leave.REQUEUE


def _is_live(report: JobReport | None) -> bool:
    return report is not None and report.state != "ended"


def _wait_for(teacher: Path, runs: Path) -> Leave | None:
    """How to wait for a teacher that nothing trains now; None where it has no job."""
    job = read_trial_job(RunDir(teacher))
    owner = None if job is None else open_backend("slurm", runs).peers(job.backend)
    if job is None or owner is None:
        return None
    job_id = job.job_id or next(iter(owner.find([job.tag]).values()), None)
    report = None if job_id is None else owner.states([job_id]).get(job_id)
    if job_id is None or (report is not None and report.state == "ended"):
        return None
    # Its job is another one by now, which a new job of ours can wait for.
    return Leave.ELSEWHERE if owner.name == "slurm" else Leave.REQUEUE
