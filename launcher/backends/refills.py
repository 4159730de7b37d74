"""Searches that are to go on, since a job that mattered to them has left the queue.

A refill is a process of its own and may fail or be killed like any other. So what is to be done is
written down before the job is forgotten, and struck off only when a refill has done it.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from deit_core.errors import DeitError, RunDirError
from launcher.backends.job_queue import JobQueue, QueuedJob
from launcher.search.hook import goes_on, searches_of, start_refill
from launcher.search.records import SearchDir
from launcher.sweep_dir import SweepDir

LONGEST_PAUSE_S = 60.0
"""Between two attempts to go on with the same search."""
PATIENCE_S = 300.0
"""So long a queue that is empty otherwise is kept open for a search that cannot go on."""


@dataclass
class _Due:
    """One search that is to go on."""

    job: QueuedJob
    """Whose trainer, code and environment the next jobs have."""
    again: bool = True
    """Whether a job has left since its refill was started."""
    process: subprocess.Popen[bytes] | None = None
    errors: int = 0
    """In a row."""
    failing_since: float | None = None
    pause_until: float = 0.0


class Refills:
    """Starts one refill a search at a time, until one has succeeded since the last job left.

    Args:
        queue: whose jobs leave.
        log: takes a line.
    """

    def __init__(self, queue: JobQueue, log: Callable[[str], None]) -> None:
        self.queue = queue
        self.runs = queue.path.parent
        self.log = log
        self.options: tuple[str, ...] = ()
        """Of every refill."""
        self._due: dict[str, _Due] = {}
        self._latest: dict[str, QueuedJob] = {}
        """A job of each sweep."""

    def know(self, job: QueuedJob) -> None:
        """A job is in the queue: how its sweep's jobs are run."""
        self._latest[job.group] = job

    def job_left(self, job: QueuedJob) -> None:
        """Write down which searches are to go on. Call it before the job is forgotten."""
        try:
            groups = searches_of(self.runs, job.group, job.run_dirs)
        except RunDirError as error:
            self.log(f"{error}; searches that share trials of job {job.tag} are not told")
            groups = [job.group] if job.group else []
        for group in groups:
            model = self._latest.get(group, job)
            due = self._due.setdefault(group, _Due(model))
            due.job, due.again = model, True
            try:
                self.queue.write_refill(group, model)
            except RunDirError as error:  # a full disk; only a runner that dies would forget it
                self.log(f"sweep {group}: {error}")

    def tick(self) -> None:
        """Look after the refills that run, and start those that are due."""
        for group in self.queue.refills() - self._due.keys():  # of an earlier runner
            self._take_up(group)
        for group, due in list(self._due.items()):
            try:
                self._advance(group, due)
            except DeitError as error:
                self._failed(group, due, str(error))

    def wait(self) -> bool:
        """Whether the queue has to be kept open for one of them."""
        now = time.monotonic()
        return any(
            due.process is not None
            or due.failing_since is None
            or now < due.failing_since + PATIENCE_S
            for due in self._due.values()
        )

    def give_up(self) -> None:
        """Forget those that are left: nobody moves the queue any more."""
        for group in list(self._due):
            log_file = SearchDir(SweepDir(self.runs / group)).log_file
            self.log(
                f"sweep {group}: the search could not go on; {log_file} says why, and the same "
                f"`deit-launch sweep` again goes on"
            )
            self._forget(group)

    def _take_up(self, group: str) -> None:
        try:
            self._due[group] = _Due(self.queue.read_refill(group))
        except DeitError as error:
            self.log(f"sweep {group}: {error}; the search goes on when its next job has ended")
            self.queue.remove_refill(group)

    def _advance(self, group: str, due: _Due) -> None:
        if due.process is not None:
            code = due.process.poll()
            if code is None:
                return
            due.process = None
            if code != 0:
                self._failed(group, due, f"going on with the search ended with exit code {code}")
                return
            due.errors, due.failing_since = 0, None
            if not due.again:
                self._forget(group)
                return
        if time.monotonic() < due.pause_until:
            return
        if goes_on(self.runs, group):
            self._start(group, due)
        else:
            self._forget(group)

    def _start(self, group: str, due: _Due) -> None:
        kept = self.queue.read_environment(due.job.environment)
        due.process = start_refill(
            SweepDir(self.runs / group),
            due.job.command,
            code=due.job.code,
            environment=os.environ if kept is None else kept,
            options=self.options,
        )
        due.again = False

    def _failed(self, group: str, due: _Due, why: str) -> None:
        pause_s = min(LONGEST_PAUSE_S, 2.0**due.errors)
        self.log(f"sweep {group}: {why}; it is tried again in {pause_s:.0f} s")
        due.pause_until = time.monotonic() + pause_s
        due.errors = min(due.errors + 1, 16)
        due.failing_since = due.failing_since or time.monotonic()

    def _forget(self, group: str) -> None:
        del self._due[group]
        self.queue.remove_refill(group)
