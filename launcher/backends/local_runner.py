"""The runner: the one process that moves a local queue. `python -m launcher.backends.local_runner`.

It is started on demand, detached from every shell, and leaves when the queue is empty. Nothing is
lost with it: jobs run in sessions of their own, and the next runner finds them by their locks.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deit_core.errors import DeitError
from deit_core.run_dir import RunDir
from launcher.backends import local_process
from launcher.backends.local_endings import conclude, fail_dependants, note_unstarted, open_trials
from launcher.backends.local_queue import JobProgress, LocalQueue, QueuedJob
from launcher.backends.slots import Slots, granted_slots
from launcher.locks import locked
from launcher.observe import DependencyState, dependency_state

GRACE_S = 60.0
"""Seconds between the request to stop and SIGKILL: time to write a checkpoint."""
TICK_S = 0.2
MAX_ERRORS = 50
"""Passes in a row that may fail on a job (a full disk, a damaged file) before it is let go."""


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


class Runner:
    """Starts jobs where slots are free, and follows them to their end."""

    def __init__(
        self,
        queue: LocalQueue,
        slots: Slots,
        *,
        grace_s: float = GRACE_S,
        log: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.queue = queue
        self.slots = slots
        self.grace_s = grace_s
        self.log = log
        self.jobs: dict[str, LiveJob] = {}
        self._cancelled: set[str] = set()
        self._dependencies: dict[str, DependencyState] = {}
        self._full = False

    def tick(self) -> bool:
        """One pass over the queue; whether any job is left."""
        self._load()
        self._cancelled = self.queue.cancelled()
        self._full = False
        self._dependencies = {}
        for tag, live in list(self.jobs.items()):
            if live.progress.state == "running":
                self._guarded(self._follow, tag, live)
        for tag, live in self._waiting():
            self._guarded(self._consider, tag, live)
        return bool(self.jobs)

    def _load(self) -> None:
        """Take up jobs that were added, with what an earlier runner knew of them."""
        for tag in sorted(self.queue.tags() - self.jobs.keys()):
            try:
                self.jobs[tag] = LiveJob(self.queue.read(tag), self.queue.read_progress(tag))
            except DeitError as error:
                self._drop(tag, str(error))

    def _waiting(self) -> list[tuple[str, LiveJob]]:
        """Queued jobs, oldest first."""
        waiting = [item for item in self.jobs.items() if item[1].progress.state == "queued"]
        return sorted(waiting, key=lambda item: (item[1].job.submitted_unix_s, item[0]))

    def _guarded(self, act: Callable[[str, LiveJob], None], tag: str, live: LiveJob) -> None:
        """One job whose files fail must not stop the others."""
        try:
            act(tag, live)
            live.errors = 0
        except (DeitError, OSError) as error:
            live.errors += 1
            if live.errors == 1:
                self.log(f"job {tag}: {error}")
            if live.errors >= MAX_ERRORS:
                self._drop(tag, "given up")

    def _drop(self, tag: str, why: str) -> None:
        self.log(f"job {tag}: {why}")
        self.queue.remove(tag)
        self.jobs.pop(tag, None)

    # running jobs ---------------------------------------------------------------------------

    def _follow(self, tag: str, live: LiveJob) -> None:
        """Stop a running job that was cancelled; settle one whose processes are gone."""
        exit_code = live.process.poll() if live.process else None
        if local_process.is_alive(self.queue, tag):
            if tag in self._cancelled:
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
        if tag in self._cancelled:
            self._drop(tag, "cancelled")
            return
        live.progress = conclude(live.progress, exit_code, said or None)
        live.process = None
        live.kill_at = None
        if open_trials(live.job, self.log):
            self.queue.write_progress(tag, live.progress)
        else:
            self._drop(tag, "done")

    # queued jobs ----------------------------------------------------------------------------

    def _consider(self, tag: str, live: LiveJob) -> None:
        """Start a queued job, leave it waiting, or take it out of the queue."""
        if tag in self._cancelled:
            self._drop(tag, "cancelled before it ran")
            return
        if self._full or self._group_is_full(live.job):
            return
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
            if state != "completed" and any(
                path in other.job.run_dirs for other in self.jobs.values()
            ):
                state = "running"  # queued here, or between two attempts
            self._dependencies[path] = state
        return self._dependencies[path]

    def _release(self, tag: str, job: QueuedJob, teacher: Path, *, failed: bool) -> None:
        """Take a job out of the queue whose teacher failed, or that nobody trains."""
        waiting = open_trials(job, self.log)
        if failed:
            fail_dependants(waiting, teacher)
            self._drop(tag, f"its teacher {teacher.name} failed")
            return
        why = f"not started: its teacher {teacher.name} is neither trained nor queued"
        note_unstarted(waiting, {"reason": why})
        self._drop(tag, why)

    def _running(self) -> list[LiveJob]:
        return [live for live in self.jobs.values() if live.progress.state == "running"]

    def _group_is_full(self, job: QueuedJob) -> bool:
        if job.max_parallel is None:
            return False
        return sum(live.job.group == job.group for live in self._running()) >= job.max_parallel

    def _start(self, tag: str, live: LiveJob) -> None:
        gpus = self._free_slots(live.job)
        if gpus is None:
            self._full = True  # strictly in order: a large job is not starved by small ones
            return
        run_dirs = open_trials(live.job, self.log)
        if live.progress.solo:
            run_dirs = run_dirs[:1]
        if not run_dirs:
            self._drop(tag, "nothing left to train")
            return
        if any(RunDir(path).is_locked() for path in run_dirs):
            return  # somebody trains one of them by hand
        live.progress = live.progress.model_copy(
            update={
                "state": "running",
                "attempt": live.progress.attempt + 1,
                "gpus": gpus,
                "running": tuple(run_dirs),
            }
        )
        self.queue.write_progress(tag, live.progress)
        self.log(f"job {tag}: attempt {live.progress.attempt} starts {len(run_dirs)} trials")
        try:
            live.process = local_process.start(self.queue, live.job, run_dirs, gpus)
        except OSError as error:
            self._settle(tag, live, 127, str(error))

    def _free_slots(self, job: QueuedJob) -> tuple[str, ...] | None:
        """Names of the GPUs a job would get (none for a CPU job); None when it does not fit."""
        running = self._running()
        used = {name for live in running for name in live.progress.gpus}
        free = [name for name in self.slots.gpus if name not in used]
        cpus = self.slots.cpus - sum(live.job.cpus for live in running)
        if job.cpus > cpus or job.gpus > len(free):
            return None
        return tuple(free[: job.gpus])


def run(queue: LocalQueue, runner_lock: int) -> None:
    """Move the queue until it is empty; `runner_lock` is this process's hold on runner.lock."""
    os.ftruncate(runner_lock, 0)
    os.write(runner_lock, str(os.getpid()).encode())
    runner = Runner(queue, granted_slots(), log=_log)
    _log(f"runner {os.getpid()} starts with {runner.slots}")
    while True:
        while runner.tick():
            time.sleep(TICK_S)
        with locked(queue.queue_lock):  # no job can be added between the last look and the end
            if not runner.tick():
                _log(f"runner {os.getpid()} leaves: the queue is empty")
                os.close(runner_lock)
                return


def _log(message: str) -> None:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    sys.stdout.write(f"{stamp} {message}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    run(LocalQueue(Path(sys.argv[1])), int(sys.argv[2]))
