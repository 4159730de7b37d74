"""What a backend writes down when an attempt of one of its jobs has ended.

Whoever moves a job calls, in this order: `note_start` (launcher.attempts), the job's processes,
`conclude`. Each may be repeated after a crash in between: an attempt is judged once.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deit_core.attempts import AttemptRecord, Cause, read_attempts
from deit_core.errors import RunDirError
from deit_core.records import FINISHED_STATES, StatusRecord
from deit_core.run_dir import RunDir
from launcher.attempts import last_attempt, note_end
from launcher.backends.progress import JobProgress
from launcher.causes import describe, find_cause
from launcher.evidence import Evidence, gather_evidence
from launcher.micro_batch import SETTING, smaller_micro_batch
from launcher.observe import has_result, read_trial_job
from launcher.policy import MAX_REQUEUES, SOLO_AFTER, Attempt, Verdict, is_settled, judge, tally
from launcher.policy import more_memory as next_mem_factor
from launcher.repair import mend_status, surviving_status

Log = Callable[[str], None]


@dataclass(frozen=True)
class Ending:
    """How an attempt of a job ended, as far as whoever ran it knows."""

    exit_code: int | None
    """Negative: killed by that signal; None: nobody saw it end."""
    complaint: str | None = None
    """Why it could not even be started."""
    cause: Cause | None = None
    """What the scheduler positively knows; None: to be found from the files."""
    scheduler: str | None = None
    """State and reason in the scheduler's words."""
    nodes: tuple[str, ...] = ()
    """The nodes it ran on, where they were not known at its start."""
    max_rss_gib: float | None = None


def open_trials(tag: str, run_dirs: Sequence[str], log: Log) -> list[str]:
    """Run directories of a job that still need an attempt from it.

    Left out are those that cannot be read, that are gone, and that have another job by now: their
    folder was deleted and made again, and what the user says of the trial concerns the new job.
    """
    found = []
    for path in run_dirs:
        run = RunDir(path)
        try:
            if not run.path.is_dir() or _has_another_job(run, tag):
                log(f"job {tag}: {path} is gone, or has another job by now")
            elif not is_settled(mend_status(run), has_result=has_result(run)):
                found.append(path)
        except RunDirError as error:
            log(f"job {tag}: {error}")
    return found


def _has_another_job(run: RunDir, tag: str) -> bool:
    job = read_trial_job(run)
    return job is not None and job.tag != tag


def conclude(
    progress: JobProgress, ending: Ending, tag: str, max_requeues: int = MAX_REQUEUES
) -> JobProgress:
    """Judge every trial of an attempt whose processes are gone; returns the job, queued again.

    Args:
        progress: the job, running.
        ending: what is known of the end.
        tag: the job's.
        max_requeues: see `Resources.max_requeues`.

    Raises:
        RunDirError: a status cannot be read or written.
    """
    concluding = _Concluding(progress, ending, tag, max_requeues, time.time())
    verdicts = {
        path: concluding.judge(RunDir(path))
        for path in progress.running
        if Path(path).is_dir()  # else it was deleted while it ran: its owner does not want it
    }
    failures = progress.failures | {path: each.failures for path, each in verdicts.items()}
    memory = {path: each.memory_failures for path, each in verdicts.items()}
    steps = {path: concluding.furthest_step(path, each) for path, each in verdicts.items()}
    starved = any(each.again and each.status.cause == "host_memory" for each in verdicts.values())
    factor = progress.mem_factor
    return progress.model_copy(
        update={
            "state": "queued",
            "running": (),
            "gpus": (),
            "failures": failures,
            "memory_failures": progress.memory_failures | memory,
            "steps": progress.steps | steps,
            "solo": progress.solo or max(failures.values(), default=0) >= SOLO_AFTER,
            "mem_factor": next_mem_factor(factor) if starved else factor,
        }
    )


@dataclass(frozen=True)
class _Concluding:
    """One attempt of a job, while each of its trials is judged."""

    progress: JobProgress
    ending: Ending
    tag: str
    max_requeues: int
    now_unix_s: float

    @functools.cached_property
    def evidence(self) -> Evidence:
        """What it printed: all trials' output is with the first one's."""
        if self.ending.complaint is not None:
            return Evidence(text=self.ending.complaint, complaint=self.ending.complaint)
        return gather_evidence(RunDir(self.progress.running[0]))

    def furthest_step(self, path: str, verdict: Verdict) -> int:
        """Step that this attempt or one before it has reached."""
        return max(self.progress.steps.get(path, 0), verdict.status.step)

    def judge(self, run: RunDir) -> Verdict:
        """Apply the policy to one trial; writes how the attempt ended, then the trial's status."""
        status, path = mend_status(run), str(run.path)
        record = self._record(run, status)
        verdict = judge(
            Attempt(
                status=status,
                cause=record.cause or "lost",
                reason=record.reason,
                failures=self.progress.failures.get(path, 0),
                memory_failures=self.progress.memory_failures.get(path, 0),
                furthest_step=self.progress.steps.get(path, 0),
                alone=len(self.progress.running) == 1,
            ),
            self.max_requeues,
        )
        if record.again is None:
            note_end(run, record.model_copy(update={"again": verdict.again}))
        after = verdict.status.model_copy(update={"attempt": max(status.attempt, record.number)})
        _write(run, status, _advised(run, after, record.processes))
        return verdict

    def _record(self, run: RunDir, status: StatusRecord) -> AttemptRecord:
        """The attempt with its end; one that has an end was judged before a crash, and keeps it."""
        last = last_attempt(run)
        mine = last if last is not None and last.tag == self.tag else None
        if mine is not None and mine.ended_unix_s is not None:
            return mine
        ending, code = self.ending, self.ending.exit_code
        started = mine or self._unnoted(run, status, last)
        if status.state == "preempted" and status.attempt < started.number:
            # Its processes ended before they wrote anything: this is what the last attempt left.
            status = status.model_copy(update={"state": "pending", "reason": None})
        cause: Cause = "completed"
        if not has_result(run) and status.state != "completed":
            cause = find_cause(status, code, ending.cause, self.evidence)
        return started.model_copy(
            update={
                "ended_unix_s": self.now_unix_s,
                "last_step": status.step,
                "exit_code": code,
                "cause": cause,
                "reason": describe(cause, status, code, self.evidence),
                "scheduler": ending.scheduler,
                "nodes": ending.nodes or started.nodes,
                "max_rss_gib": ending.max_rss_gib,
            }
        )

    def _unnoted(
        self, run: RunDir, status: StatusRecord, last: AttemptRecord | None
    ) -> AttemptRecord:
        """An attempt of which the start is not on record, such as one of an earlier version."""
        return AttemptRecord(
            number=max(status.attempt, last.number + 1 if last else 1),
            tag=self.tag,
            backend="",
            started_unix_s=status.started_unix_s or self.now_unix_s,
            first_step=self.progress.steps.get(str(run.path), 0),
        )


def _advised(run: RunDir, status: StatusRecord, processes: int) -> StatusRecord:
    """Say what would need less memory, where the GPU has too little for good."""
    if status.state != "failed" or status.failure != "gpu_memory":
        return status
    size = smaller_micro_batch(run.read_config().train, processes)
    if size is None or SETTING in (status.reason or ""):
        return status
    return status.model_copy(
        update={"reason": f"{status.reason}; --set {SETTING}={size} needs less (another trial)"}
    )


def _write(run: RunDir, before: StatusRecord, after: StatusRecord) -> None:
    """Replace a status, unless somebody has meanwhile started the trial by hand."""
    if after != before and not run.is_locked():
        ended = after.state in FINISHED_STATES
        finished = (before.finished_unix_s or time.time()) if ended else None
        run.write_status(after.model_copy(update={"finished_unix_s": finished}))


def carried(run_dirs: Sequence[str]) -> JobProgress:
    """What a new job of these trials takes over from the jobs that the launcher itself ended.

    A job that needs more memory, or other nodes, is submitted again; its failures still count. They
    do not once a trial has failed for good, or was cancelled: then the user has asked for another
    try.

    Raises:
        RunDirError: what is known of a trial's attempts cannot be read.
    """
    tallies = {path: tally(read_attempts(RunDir(path))) for path in run_dirs}
    failures = {path: each.failures for path, each in tallies.items()}
    starved = max((each.host_memory for each in tallies.values()), default=0)
    factor = 1.0
    for _ in range(starved):
        factor = next_mem_factor(factor)
    return JobProgress(
        failures=failures,
        memory_failures={path: each.memory_failures for path, each in tallies.items()},
        steps={path: each.furthest_step for path, each in tallies.items()},
        solo=max(failures.values(), default=0) >= SOLO_AFTER,
        mem_factor=factor,
    )


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
            "cause": "dependency",
            "reason": f"its teacher {teacher.name} failed: {why}",
        },
    )
