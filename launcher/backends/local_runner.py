"""The runner: the one process that moves a local queue. `python -m launcher.backends.local_runner`.

It is started on demand, detached from every shell, and leaves when the queue is empty. Nothing is
lost with it: jobs run in sessions of their own, and the next runner finds them by their locks.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deit_core.errors import DeitError, RunDirError, SchemaError
from deit_core.run_dir import RunDir
from launcher.attempts import Cause, Start, note_start
from launcher.backends import local_process
from launcher.backends.endings import (
    Ending,
    conclude,
    fail_dependants,
    note_unstarted,
    open_trials,
)
from launcher.backends.local_queue import LocalQueue, QueuedJob
from launcher.backends.progress import JobProgress
from launcher.locks import locked
from launcher.observe import DependencyState, dependency_state
from launcher.siblings import attempts_beside, should_stop_sweep

GRACE_S = 60.0
"""Seconds between the request to stop and SIGKILL: time to write a checkpoint."""
TICK_S = 0.2
LONGEST_PAUSE_S = 30.0
"""Between two looks at a job whose files cannot be read or written, as on a full disk."""
PASSING_ERRORS = frozenset(
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EAGAIN", "ENOMEM", "EMFILE", "ENFILE", "EIO", "ESTALE")
)
"""Errors at the start of a job that say nothing about the job."""


@dataclass
class LiveJob:
    """A job that has not ended, as the runner holds it in memory."""

    job: QueuedJob
    progress: JobProgress
    process: subprocess.Popen[bytes] | None = None
    """None for a job that an earlier runner started."""
    kill_at: float | None = None
    """When to send SIGKILL; set once it was asked to stop."""
    errors: int = 0
    """Passes in a row that failed on it."""
    pause_until: float = 0.0


@dataclass
class Busy:
    """What the running jobs take."""

    cpus: int = 0
    gpus: set[str] = field(default_factory=set)
    jobs_of: Counter[str] = field(default_factory=Counter)
    """Number of running jobs of each sweep."""

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
        self.jobs_of[live.job.group] += 1

    def fills_group(self, job: QueuedJob, throttles: Mapping[str, int | None]) -> bool:
        """Whether as many jobs of its sweep run as may."""
        most = throttles.get(job.group, job.max_parallel)
        return most is not None and self.jobs_of[job.group] >= most

    def free_gpus(self, job: QueuedJob) -> tuple[str, ...] | None:
        """Names of the GPUs a job would get (none for a CPU job); None when it does not fit."""
        free = [name for name in job.gpus_granted if name not in self.gpus]
        if self.cpus + job.cpus > job.cpus_granted or job.gpus > len(free):
            return None
        return tuple(free[: job.gpus])


class Runner:
    """Starts jobs where slots are free, and follows them to their end."""

    def __init__(
        self,
        queue: LocalQueue,
        *,
        grace_s: float = GRACE_S,
        log: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.queue = queue
        self.grace_s = grace_s
        self.log = log
        self.jobs: dict[str, LiveJob] = {}
        """Oldest first."""
        self._unreadable: set[str] = set()
        self._cancelled: set[str] = set()
        self._held: set[str] = set()
        self._dependencies: dict[str, DependencyState] = {}
        self._to_train: set[str] = set()
        self._busy = Busy()
        self._full = False

    def tick(self) -> bool:
        """One pass over the queue; whether any job is left but those that wait and are held."""
        self._load()
        self._cancelled = self.queue.cancelled()
        self._held = self.queue.held()
        for tag, live in list(self.jobs.items()):
            if live.progress.state == "running":
                self._guarded(self._follow, tag, live)
        for tag in self._cancelled & self.jobs.keys():
            if self.jobs[tag].progress.state == "queued":
                self._drop(tag, "cancelled before it ran")
        self._start_jobs()
        return bool(self._unreadable) or any(
            live.progress.state == "running" or tag not in self._held
            for tag, live in self.jobs.items()
        )

    def _load(self) -> None:
        """Take up jobs that were added, with what an earlier runner knew of them."""
        unreadable, self._unreadable = self._unreadable, set()
        added = []
        for tag in self.queue.tags() - self.jobs.keys():
            try:
                added.append(LiveJob(self.queue.read(tag), self.queue.read_progress(tag)))
            except DeitError as error:
                if isinstance(error, SchemaError) or self.queue.is_damaged(tag):
                    self._drop(tag, str(error))
                else:  # for want of permission, or of a file server that answers
                    self._unreadable.add(tag)
                    if tag not in unreadable:
                        self.log(f"job {tag}: {error}; it is tried again")
        for live in sorted(added, key=lambda live: (live.job.submitted_unix_s, live.job.tag)):
            self.jobs[live.job.tag] = live

    def _guarded(self, act: Callable[[str, LiveJob], None], tag: str, live: LiveJob) -> None:
        """One job whose files fail must not stop the others.

        What may pass (a full disk) is waited for, ever longer; only what is damaged is let go.
        """
        if time.monotonic() < live.pause_until:
            return
        try:
            act(tag, live)
            live.errors = 0
        except SchemaError as error:
            self._drop(tag, str(error))
        except (DeitError, OSError) as error:
            if live.errors == 0:
                self.log(f"job {tag}: {error}; it is tried again")
            pause_s = min(LONGEST_PAUSE_S, TICK_S * 2.0**live.errors)
            live.pause_until = time.monotonic() + pause_s
            live.errors = min(live.errors + 1, 16)

    def _drop(self, tag: str, why: str) -> None:
        self.log(f"job {tag}: {why}")
        self.queue.remove(tag)
        self.jobs.pop(tag, None)

    # running jobs ---------------------------------------------------------------------------

    def _follow(self, tag: str, live: LiveJob) -> None:
        """Stop a running job that was cancelled or held; settle one whose processes are gone."""
        exit_code = live.process.poll() if live.process else None
        if local_process.is_alive(self.queue, tag):
            if tag in self._cancelled | self._held:
                self._stop(tag, live)
            elif exit_code is not None or local_process.leader_is_gone(self.queue, tag):
                local_process.kill(self.queue, tag)  # orphans of a trainer that has ended
            return
        if live.process is not None and exit_code is None:
            return  # it has closed its files and ends within this moment
        self._settle(tag, live, exit_code)

    def _stop(self, tag: str, live: LiveJob) -> None:
        if live.kill_at is None:
            if local_process.ask_to_stop(self.queue, tag):
                live.kill_at = time.monotonic() + self.grace_s
                self.log(f"job {tag}: asked to stop")
        elif time.monotonic() >= live.kill_at:
            local_process.kill(self.queue, tag)

    def _settle(self, tag: str, live: LiveJob, exit_code: int | None, said: str = "") -> None:
        self.log(f"job {tag}: attempt {live.progress.attempt} ended with {exit_code} {said}")
        stopped, trained = tag in self._cancelled, live.progress.running
        asked: Cause | None = "paused" if tag in self._held else None
        ending = Ending(exit_code, said or None, cause="cancelled" if stopped else asked)
        live.progress = conclude(live.progress, ending, tag, live.job.max_requeues)
        if stopped:
            self._drop(tag, "cancelled")
            return
        live.process = None
        live.kill_at = None
        if open_trials(tag, live.job.run_dirs, self.log):
            self.queue.write_progress(tag, live.progress)
        else:
            self._drop(tag, "done")
        ended = [RunDir(path).read_status() for path in trained if Path(path).is_dir()]
        if any(status.cause == "user_error" for status in ended):
            self._stop_hopeless(live.job)

    def _stop_hopeless(self, failed: QueuedJob) -> None:
        """Take a sweep's waiting jobs out of the queue where its trials fail one after another."""
        waiting = {
            tag: live.job
            for tag, live in self.jobs.items()
            if live.job.group == failed.group
            and live.progress.state == "queued"
            and not any(live.progress.steps.values())  # what has got somewhere can be trained
        }
        if not waiting or not failed.group:
            return
        since = max(job.submitted_unix_s for job in waiting.values())
        why = should_stop_sweep(attempts_beside(failed.run_dirs[0], since), since)
        if why is not None:
            for tag, job in waiting.items():
                note_unstarted(open_trials(tag, job.run_dirs, self.log), {"reason": why})
                self._drop(tag, why)

    # queued jobs ----------------------------------------------------------------------------

    def _start_jobs(self) -> None:
        """Start the queued jobs that may, in order: a large one is not starved by small ones.

        A job counts against the cores and GPUs of whoever submitted it, where it fits once nothing
        else runs; so the first in the queue always gets its turn.
        """
        live_jobs = self.jobs.values()
        self._busy = Busy.of(live for live in live_jobs if live.progress.state == "running")
        throttles = self.queue.throttled()
        self._dependencies = {}
        self._full = False
        self._to_train = {path for live in live_jobs for path in live.job.run_dirs}
        for tag, live in list(self.jobs.items()):
            if live.progress.state != "queued" or tag in self._held:
                continue
            if not self._busy.fills_group(live.job, throttles):
                self._guarded(self._consider, tag, live)
                if self._full:
                    return

    def _consider(self, tag: str, live: LiveJob) -> None:
        """Start a queued job, leave it waiting, or take it out of the queue."""
        standing = [(path, self._dependency(path)) for path in live.job.after]
        for path, state in standing:
            if state in ("failed", "idle"):
                self._release(tag, live.job, Path(path), failed=state == "failed")
                return
        if all(state == "completed" for _, state in standing):
            self._start(tag, live)

    def _dependency(self, path: str) -> DependencyState:
        """How a teacher stands; looked up once a pass, as hundreds of jobs may wait for it."""
        if path not in self._dependencies:
            state = dependency_state(RunDir(path))
            if state != "completed" and path in self._to_train:
                state = "running"  # queued here, or between two attempts
            self._dependencies[path] = state
        return self._dependencies[path]

    def _release(self, tag: str, job: QueuedJob, teacher: Path, *, failed: bool) -> None:
        """Take a job out of the queue whose teacher failed, or that nobody trains."""
        waiting = open_trials(tag, job.run_dirs, self.log)
        if failed:
            fail_dependants(waiting, teacher)
            self._drop(tag, f"its teacher {teacher.name} failed")
            return
        why = f"not started: its teacher {teacher.name} is neither trained nor queued"
        note_unstarted(waiting, {"reason": why})
        self._drop(tag, why)

    def _start(self, tag: str, live: LiveJob) -> None:
        gpus = self._busy.free_gpus(live.job)
        if gpus is None:
            self._full = True
            return
        run_dirs = open_trials(tag, live.job.run_dirs, self.log)
        if live.progress.solo:
            run_dirs = run_dirs[:1]
        if not run_dirs:
            self._drop(tag, "nothing left to train")
            return
        if any(RunDir(path).is_locked() for path in run_dirs):
            return  # somebody trains one of them by hand
        waiting = live.progress
        update = {
            "state": "running",
            "attempt": waiting.attempt + 1,
            "gpus": gpus,
            "running": tuple(run_dirs),
        }
        running = waiting.model_copy(update=update)
        here = (socket.gethostname(),)
        note_start(run_dirs, Start(tag, "local", tag, here, live.job.processes))
        self.queue.write_progress(tag, running)
        live.progress = running  # only now: what could not be written has not begun
        self.log(f"job {tag}: attempt {running.attempt} starts {len(run_dirs)} trials")
        try:
            live.process = local_process.start(self.queue, live.job, run_dirs, gpus)
        except (OSError, RunDirError) as error:
            if isinstance(error, OSError) and error.errno not in PASSING_ERRORS:
                self._settle(tag, live, 127, str(error))
                return
            live.progress = waiting  # no attempt of the trial's
            self.queue.write_progress(tag, waiting)
            raise
        self._busy.add(live)


def run(queue: LocalQueue, runner_lock: int) -> None:
    """Move the queue until nothing in it can move.

    `runner_lock` is this process's hold on runner.lock.
    """
    os.ftruncate(runner_lock, 0)
    os.write(runner_lock, str(os.getpid()).encode())
    runner = Runner(queue, log=_log)
    _log(f"runner {os.getpid()} starts")
    while True:
        began = time.monotonic()
        while runner.tick():
            # A long queue takes a while to look at: never spend more than a fifth of a core on it.
            time.sleep(max(TICK_S, 4 * (time.monotonic() - began)))
            began = time.monotonic()
        with locked(queue.queue_lock):  # no job can be added between the last look and the end
            if not runner.tick():
                held = (
                    f"{len(runner.jobs)} jobs are paused" if runner.jobs else "the queue is empty"
                )
                _log(f"runner {os.getpid()} leaves: {held}")
                if not runner.jobs:
                    queue.forget_submitters()
                os.close(runner_lock)
                return


def _log(message: str) -> None:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    with contextlib.suppress(OSError):  # a full disk; the queue goes on without a log
        sys.stdout.write(f"{stamp} {message}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    run(LocalQueue(Path(sys.argv[1])), int(sys.argv[2]))
