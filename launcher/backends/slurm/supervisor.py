"""Runs in an element of an array, on its first node: trains the element's jobs, come what may.

`python -P -m launcher.backends.slurm.supervisor ARRAY_DIR`. It starts the ranks with srun, judges
what came of an attempt from the files of its trials, and then goes on, lets SLURM queue the element
again, or ends. Nothing is lost with it: whoever starts next, this element on other nodes or another
call of `deit-launch sweep`, reads the same files.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from deit_core.attempts import Cause
from deit_core.errors import DeitError
from deit_core.run_dir import RunDir
from launcher.attempts import Start, last_attempt, note_start
from launcher.backends.endings import (
    Ending,
    carried,
    conclude,
    note_unstarted,
    open_trials,
)
from launcher.backends.progress import JobProgress
from launcher.backends.slurm import accounting
from launcher.backends.slurm.array_dir import ArrayDir, ArrayJob, ArrayRecord
from launcher.backends.slurm.element_log import log, log_to
from launcher.backends.slurm.here import Deadline, Here, seconds_left
from launcher.backends.slurm.leaving import Exit, Leave
from launcher.backends.slurm.more_jobs import MoreJobs
from launcher.backends.slurm.step import Request, Step
from launcher.backends.slurm.teachers import wait_for_ends, wait_for_teachers
from launcher.backends.slurm.told import Told
from launcher.output import SEPARATOR
from launcher.siblings import attempts_beside, bad_nodes
from launcher.text import count

_LOCK_PAUSE_S = 2.0
_LONGEST_PAUSE_S = 30.0
_MOST_REFUSALS = 3
"""By srun, over about a minute, before the element is queued again. A node that was lost and back
before the controller missed it holds the place of the ranks it had for ever."""
_CAUSES_BY_STATE: dict[str, Cause] = {
    "NODE_FAIL": "node_failure",
    "BOOT_FAIL": "node_failure",
    "PREEMPTED": "preempted",
    "REQUEUED": "preempted",
    "TIMEOUT": "timeout",
    "DEADLINE": "timeout",
    "OUT_OF_MEMORY": "host_memory",
}
"""What the accounting says of an incarnation of this job that nobody saw end."""


class Supervisor:
    """Trains the jobs of one element."""

    def __init__(self, array: ArrayDir, record: ArrayRecord, here: Here) -> None:
        self.array = array
        self.record = record
        self.here = here
        self.deadline = Deadline(seconds_left(here.name))
        self.lead_s = min(record.signal_lead_s, self.deadline.left_s() / 4)
        """How long before its end this job should save."""
        self.told = Told()
        self.exit = Exit(array, record, here, self.deadline, self.told, self._is_replaced)
        self.token = secrets.token_hex(8)
        self.more = MoreJobs(array, record, here.index)
        self._refused = 0
        """How often SLURM could not start the ranks."""
        self._failed_at: float | None = None
        """When the attempt began that failed last."""

    def run(self) -> None:
        """Work through the element's jobs."""
        self.told.install()
        self.array.take_over(self.here.index, self.token)
        held: set[str] = set()
        while jobs := self._open_jobs(held):
            for job in jobs:
                leave = self._serve(job)
                log(f"job {job.tag}: {leave.value}")
                if leave is Leave.REPLACED:
                    return
                if leave is Leave.REQUEUE:
                    self.exit.requeue(held=False)
                    return
                if leave is Leave.HELD:
                    held.add(job.tag)
                    continue
                self.array.mark("ended", job.tag)
                if leave is Leave.ELSEWHERE:
                    self.exit.submit_again(job)
        if held:
            self.exit.requeue(held=True)

    def _open_jobs(self, held: set[str]) -> list[ArrayJob]:
        """What is left to do for this element; of a search, a job that it takes up now."""
        jobs = self._unfinished(held)
        if jobs or held or self._is_replaced() or not self.more.may_take():
            return jobs
        if not self._is_short_of_time():
            self.more.take()
            return self._unfinished(held)
        if self.more.has_work() and not self.exit.requeue(held=False):
            self.more.hand_over()
        return []

    def _unfinished(self, held: set[str]) -> list[ArrayJob]:
        jobs = self.array.with_more(self.record).elements[self.here.index]
        closed = self.array.marked("ended") | held
        return [job for job in jobs if job.tag not in closed]

    # one job -----------------------------------------------------------------------------------

    def _serve(self, job: ArrayJob) -> Leave:
        progress = self._take_up(job)
        while True:
            told = self._told(job)
            if told is not None:
                return told
            run_dirs = open_trials(job.tag, job.run_dirs, log)
            if not run_dirs:
                return Leave.DONE
            if not any(progress.steps.values()) and self._is_hopeless(run_dirs):
                return Leave.DONE
            if progress.mem_factor > self.record.mem_factor or self._is_unfit(job):
                return Leave.ELSEWHERE
            waits = wait_for_teachers(job, run_dirs, self.more.runs)
            waits = waits or wait_for_ends(job, self.more.runs)
            if waits is not None:
                return waits
            if self._is_short_of_time():
                return Leave.REQUEUE
            progress, leave = self._attempt(job, progress, run_dirs)
            if leave is Leave.REQUEUE and not open_trials(job.tag, job.run_dirs, log):
                return Leave.DONE
            if leave is not None:
                return leave

    def _told(self, job: ArrayJob) -> Leave | None:
        """Why not to go on, by what others have written down; None when nothing was."""
        if self._is_replaced():
            return Leave.REPLACED
        if self.array.is_marked("cancel", job.tag):
            return Leave.DONE
        return Leave.HELD if self.array.is_marked("hold", job.tag) else None

    def _take_up(self, job: ArrayJob) -> JobProgress:
        """The job as it stands; an attempt that nobody saw end is judged now."""
        progress = self.array.read_progress(job.tag) or carried(job.run_dirs)
        if progress.state == "running" and self._await_others(progress.running):
            state = accounting.last_state(self.here.name)
            word = (state or "").partition(" ")[0]
            cause = _CAUSES_BY_STATE.get(word)
            if cause is None and self.here.restarts > 0:
                cause = "preempted"  # SLURM itself has started it again, and does not say why
            ending = Ending(
                exit_code=None,
                cause=cause,
                scheduler=state,
                max_rss_gib=accounting.largest_memory_gib(self.here.name),
            )
            progress = self._conclude(job, progress, ending)
        return progress

    def _conclude(self, job: ArrayJob, progress: JobProgress, ending: Ending) -> JobProgress:
        progress = conclude(progress, ending, job.tag, self.record.resources.max_requeues)
        self.array.write_progress(job.tag, progress)
        return progress

    def _is_hopeless(self, run_dirs: Sequence[str]) -> bool:
        """Whether jobs of this sweep failed one after another, so that these would as well."""
        why = self.more.hopeless(Path(run_dirs[0]).parent)
        if why is not None:
            note_unstarted(run_dirs, {"reason": why})
        return why is not None

    def _is_replaced(self) -> bool:
        """Whether this process lives on a node that the controller has lost sight of.

        SLURM then starts the element elsewhere, under the same name; whatever is said to SLURM by
        that name concerns the other one.
        """
        return self.array.owner(self.here.index) not in (self.token, None)

    def _is_unfit(self, job: ArrayJob) -> bool:
        """Whether a node of this job is one that has failed trials of this sweep before."""
        if self.here.restarts == 0:
            return False
        return not bad_nodes(attempts_beside(job.run_dirs[0])).isdisjoint(self.here.nodes)

    def _is_short_of_time(self) -> bool:
        """Whether an attempt that starts now would be stopped before it could do anything."""
        return self.told.to_end or self.deadline.left_s() < 1.5 * self.lead_s

    # one attempt -------------------------------------------------------------------------------

    def _attempt(
        self, job: ArrayJob, progress: JobProgress, run_dirs: Sequence[str]
    ) -> tuple[JobProgress, Leave | None]:
        """Train once; also says why to leave, if so."""
        self._pause(progress)
        chosen = run_dirs[:1] if progress.solo else run_dirs
        if not self._await_others(chosen):
            return progress, Leave.REPLACED if self._is_replaced() else Leave.REQUEUE
        running = self._begin(job, progress, chosen)
        step = Step(self.record, self.here)
        self._failed_at = time.monotonic()
        before = _printed(chosen[0])
        code = step.run(chosen, lambda: self._asked(job))
        log(f"attempt ended with {code}")
        if not self._are_gone(chosen):
            return running, Leave.REPLACED
        if code != 0 and _printed(chosen[0]) == before and step.request is None:
            return self._not_started(job, progress, running, code)
        if code == 0:
            self._failed_at = None
        # Asked again: SLURM's signal reaches the ranks before the request behind it is seen here.
        cause = self._cause(self._asked(job) or step.request, chosen)
        rss = accounting.largest_memory_gib(self.here.name) if code not in (0, 85) else None
        ending = Ending(exit_code=code, cause=cause, nodes=self.here.nodes, max_rss_gib=rss)
        progress = self._conclude(job, running, ending)
        return progress, _LEAVES.get(cause) if cause is not None else None

    def _begin(self, job: ArrayJob, progress: JobProgress, run_dirs: Sequence[str]) -> JobProgress:
        """Write down that an attempt begins, first in its trials: each end belongs to a start."""
        nodes = self.here.nodes
        self.more.note_attempt(run_dirs)
        note_start(run_dirs, Start(job.tag, "slurm", self.here.name, nodes, self.record.processes))
        update = {"state": "running", "attempt": progress.attempt + 1, "running": tuple(run_dirs)}
        running = progress.model_copy(update=update)
        self.array.write_progress(job.tag, running)
        log_to(run_dirs[0])
        number = _attempt_number(run_dirs[0])
        where = f"job {self.here.name} on {', '.join(nodes)}"
        log(
            f"{SEPARATOR} attempt {number} · {where} · {count(len(run_dirs), 'trial')} {SEPARATOR}",
            "",
        )
        return running

    def _not_started(
        self, job: ArrayJob, before: JobProgress, running: JobProgress, code: int
    ) -> tuple[JobProgress, Leave | None]:
        """SLURM could not start the ranks, which says nothing about the trials, at first."""
        self._refused += 1
        if self._refused < _MOST_REFUSALS:
            self.array.write_progress(job.tag, before)
            time.sleep(min(_LONGEST_PAUSE_S, 2.0**self._refused))
            return before, None
        why = f"SLURM could not start the ranks on {', '.join(self.here.nodes)}"
        ending = Ending(exit_code=code, complaint=why, nodes=self.here.nodes)
        return self._conclude(job, running, ending), Leave.REQUEUE

    def _asked(self, job: ArrayJob) -> Request | None:
        if self._is_replaced():
            return None
        if self.array.is_marked("cancel", job.tag):
            return "cancel"
        if self.array.is_marked("hold", job.tag):
            return "hold"
        return "signal" if self.told.to_end else None

    def _cause(self, request: Request | None, run_dirs: Sequence[str]) -> Cause | None:
        """Why the ranks have left after saving, if they have."""
        if not any(map(_has_saved_and_left, run_dirs)):
            return None
        if request == "cancel":
            return "cancelled"
        if request == "hold":
            return "paused"
        # SLURM may warn up to a minute early.
        near = self.deadline.left_s() < self.lead_s + 90
        return "timeout" if near else "preempted"

    def _await_others(self, run_dirs: Sequence[str]) -> bool:
        """Wait until nobody else trains these: ranks that a lost node left behind, or a user."""
        said = False
        while any(RunDir(path).is_locked() for path in run_dirs):
            if self._is_short_of_time() or self._is_replaced():
                return False
            if not said:
                log(f"waiting: another process trains {run_dirs}")
                said = True
            time.sleep(_LOCK_PAUSE_S)
        return not self._is_replaced()

    def _are_gone(self, run_dirs: Sequence[str]) -> bool:
        """Wait for the end of ranks that outlive srun; False when they are another's to judge.

        srun leaves, even with exit code 0, when the controller gives up the node of its ranks.
        """
        while any(RunDir(path).is_locked() for path in run_dirs) and not self._is_replaced():
            time.sleep(_LOCK_PAUSE_S)
        return not self._is_replaced()

    def _pause(self, progress: JobProgress) -> None:
        """Between attempts that fail at once, ever longer."""
        worst = max(progress.failures.values(), default=0)
        began, self._failed_at = self._failed_at, None
        if worst and began is not None and time.monotonic() - began < _LONGEST_PAUSE_S:
            time.sleep(min(_LONGEST_PAUSE_S, 2.0**worst))


_LEAVES: dict[Cause, Leave] = {
    "cancelled": Leave.DONE,
    "paused": Leave.HELD,
    "preempted": Leave.REQUEUE,
    "timeout": Leave.REQUEUE,
}


def _attempt_number(run_dir: str) -> int:
    last = last_attempt(RunDir(run_dir))
    return last.number if last else 0


def _has_saved_and_left(run_dir: str) -> bool:
    """Whether the latest attempt itself says so; what is said of an earlier one does not count."""
    status = RunDir(run_dir).read_status()
    return status.state == "preempted" and status.attempt >= _attempt_number(run_dir)


def _printed(run_dir: str) -> int:
    """Bytes in a trial's log; the first that its first rank does is to write a line there."""
    try:
        return RunDir(run_dir).stdout_file.stat().st_size
    except OSError:
        return 0


def main() -> int:
    """Serve the element that this process runs in."""
    array = ArrayDir(Path(sys.argv[1]))
    try:
        here = Here.of(os.environ)
        if array.slurm_id() is None:
            array.note_id(here.array_id)  # the submitter died before it could
        log(f"{here.name} on {', '.join(here.nodes)}, restart {here.restarts}")
        Supervisor(array, array.read(), here).run()
    except DeitError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
