"""The runner: the one process that moves a local queue. `python -m launcher.backends.local_runner`.

It is started on demand, detached from every shell, and leaves when the queue is empty. Nothing is
lost with it: jobs run in sessions of their own, and the next runner finds them by their locks.
"""

from __future__ import annotations

import errno
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deit_core.errors import RunDirError
from launcher.attempts import Start, note_start
from launcher.backends import local_process
from launcher.backends.endings import Ending
from launcher.backends.job_queue import JobQueue, QueuedJob
from launcher.backends.queue_mover import TICK_S, LiveJob, QueueMover, leave, log_line, take_over

GRACE_S = 60.0
"""Seconds between the request to stop and SIGKILL: time to write a checkpoint."""
PASSING_ERRORS = frozenset(
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EAGAIN", "ENOMEM", "EMFILE", "ENFILE", "EIO", "ESTALE")
)
"""Errors at the start of a job that say nothing about the job."""


@dataclass
class Busy:
    """What the running jobs take."""

    cpus: int = 0
    gpus: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, running: Iterable[LiveJob]) -> Busy:
        """Add them up."""
        busy = cls()
        for live in running:
            busy.add(live)
        return busy

    def add(self, live: LiveJob) -> None:
        """Count one more."""
        self.cpus += live.job.cpus
        self.gpus.update(live.progress.gpus)

    def free_gpus(self, job: QueuedJob) -> tuple[str, ...] | None:
        """Names of the GPUs a job would get (none for a CPU job); None when it does not fit.

        A job counts against the cores and GPUs of whoever submitted it, where it fits once nothing
        else runs; so the first in the queue always gets its turn.
        """
        free = [name for name in job.gpus_granted if name not in self.gpus]
        if self.cpus + job.cpus > job.cpus_granted or job.gpus > len(free):
            return None
        return tuple(free[: job.gpus])


class Runner(QueueMover):
    """Starts jobs where cores and GPUs are free, in sessions of their own."""

    def __init__(
        self,
        queue: JobQueue,
        *,
        grace_s: float = GRACE_S,
        log: Callable[[str], None] = lambda message: None,
    ) -> None:
        super().__init__(queue, log)
        self.grace_s = grace_s
        self._busy = Busy()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        """By tag; not of the jobs that an earlier runner started."""
        self._kill_at: dict[str, float] = {}
        """When to send SIGKILL to a job that was asked to stop."""

    def _has_place(self, live: LiveJob) -> bool:
        return live.progress.state == "running"

    def _make_room(self, placed: Sequence[LiveJob]) -> None:
        self._busy = Busy.of(placed)

    # running jobs ---------------------------------------------------------------------------

    def _follow(self, tag: str, live: LiveJob) -> None:
        """Stop a running job that was cancelled or held; settle one whose processes are gone."""
        process = self._processes.get(tag)
        exit_code = process.poll() if process else None
        if local_process.is_alive(self.queue, tag):
            if tag in self._cancelled | self._held:
                self._stop(tag)
            elif exit_code is not None or local_process.leader_is_gone(self.queue, tag):
                local_process.kill(self.queue, tag)  # orphans of a trainer that has ended
            return
        if process is not None and exit_code is None:
            return  # it has closed its files and ends within this moment
        self._settle(tag, live, Ending(exit_code))
        self._processes.pop(tag, None)
        self._kill_at.pop(tag, None)

    def _stop(self, tag: str) -> None:
        kill_at = self._kill_at.get(tag)
        if kill_at is None:
            if local_process.ask_to_stop(self.queue, tag):
                self._kill_at[tag] = time.monotonic() + self.grace_s
                self.log(f"job {tag}: asked to stop")
        elif time.monotonic() >= kill_at:
            local_process.kill(self.queue, tag)

    # queued jobs ----------------------------------------------------------------------------

    def _start(self, tag: str, live: LiveJob) -> None:
        gpus = self._busy.free_gpus(live.job)
        if gpus is None:
            self._full = True
            return
        run_dirs = self._take_up(tag, live)
        if not run_dirs:
            return
        waiting = live.progress
        update = {
            "state": "running",
            "attempt": waiting.attempt + 1,
            "gpus": gpus,
            "running": run_dirs,
        }
        running = waiting.model_copy(update=update)
        here = (socket.gethostname(),)
        note_start(run_dirs, Start(tag, "local", tag, here, live.job.processes))
        self.queue.write_progress(tag, running)
        live.progress = running  # only now: what could not be written has not begun
        self.log(f"job {tag}: attempt {running.attempt} starts {len(run_dirs)} trials")
        try:
            process = local_process.start(self.queue, live.job, run_dirs, gpus)
        except (OSError, RunDirError) as error:
            if isinstance(error, OSError) and error.errno not in PASSING_ERRORS:
                self._settle(tag, live, Ending(127, str(error)))
                return
            live.progress = waiting  # no attempt of the trial's
            self.queue.write_progress(tag, waiting)
            raise
        if process is not None:
            self._processes[tag] = process
        self._jobs_of[live.job.group] += 1
        self._busy.add(live)


def run(queue: JobQueue, runner_lock: int) -> None:
    """Move the queue until nothing in it can move.

    `runner_lock` is this process's hold on runner.lock.
    """
    take_over(runner_lock)
    runner = Runner(queue, log=log_line)
    while True:
        began = time.monotonic()
        while runner.tick():
            # A long queue takes a while to look at: never spend more than a fifth of a core on it.
            time.sleep(max(TICK_S, 4 * (time.monotonic() - began)))
            began = time.monotonic()
        if leave(runner, runner_lock):
            return


if __name__ == "__main__":
    run(JobQueue(Path(sys.argv[1])), int(sys.argv[2]))
