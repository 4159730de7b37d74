"""What moves a queue of jobs: takes them up, starts them in their turn, judges how they end.

Where a job's processes run, and how, is a subclass's to say. Nothing is lost with a mover: all it
knows is in the queue's files and in the run directories, where the next one finds it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from deit_core.attempts import Cause
from deit_core.errors import DeitError, SchemaError
from deit_core.run_dir import RunDir
from launcher.backends.endings import (
    Ending,
    conclude,
    fail_dependants,
    note_unstarted,
    open_trials,
)
from launcher.backends.job_queue import JobQueue, QueuedJob
from launcher.backends.progress import JobProgress
from launcher.backends.refills import Refills
from launcher.locks import locked
from launcher.observe import DependencyState, dependency_state
from launcher.siblings import attempts_beside, should_stop_sweep

TICK_S = 0.2
LONGEST_PAUSE_S = 30.0
"""Between two looks at a job whose files cannot be read or written, as on a full disk."""


@dataclass
class LiveJob:
    """A job that has not ended, as its mover holds it in memory."""

    job: QueuedJob
    progress: JobProgress
    errors: int = 0
    """Passes in a row that failed on it."""
    pause_until: float = 0.0
    waits_for: list[str] = field(init=False)
    """Of the trials that must have ended first, those that have not been seen to."""

    def __post_init__(self) -> None:
        self.waits_for = list(self.job.after_any)


class QueueMover(ABC):
    """Starts jobs where there is room, and follows them to their end."""

    def __init__(self, queue: JobQueue, log: Callable[[str], None]) -> None:
        self.queue = queue
        self.log = log
        self.jobs: dict[str, LiveJob] = {}
        """Oldest first."""
        self._unreadable: set[str] = set()
        self._cancelled: set[str] = set()
        self._held: set[str] = set()
        self._dependencies: dict[str, DependencyState] = {}
        self._to_train: set[str] = set()
        self._jobs_of: Counter[str] = Counter()
        """How many jobs of each sweep have a place now."""
        self._full = False
        self.refills = Refills(queue, log)

    @abstractmethod
    def _has_place(self, live: LiveJob) -> bool:
        """Whether a job counts among those of its sweep that run at the same time."""

    @abstractmethod
    def _follow(self, tag: str, live: LiveJob) -> None:
        """Look after a running job; settles one whose processes are gone."""

    @abstractmethod
    def _start(self, tag: str, live: LiveJob) -> None:
        """Start a job, or say that there is no room by `_full`."""

    @abstractmethod
    def _make_room(self, placed: Sequence[LiveJob]) -> None:
        """Called before jobs are started, with those that have a place."""

    def tick(self) -> bool:
        """One pass over the queue; whether anything is left but jobs that wait and are held."""
        self.catch_up()
        self._start_jobs()
        self.refills.tick()
        return (
            bool(self._unreadable)
            or self.refills.wait()
            or any(
                live.progress.state == "running" or tag not in self._held
                for tag, live in self.jobs.items()
            )
        )

    def catch_up(self) -> None:
        """Take in what is new, follow what runs and drop what was cancelled; nothing is started."""
        self._load()
        self._cancelled = self.queue.cancelled()
        self._held = self.queue.held()
        for tag, live in list(self.jobs.items()):
            if live.progress.state == "running":
                self._guarded(self._follow, tag, live)
        for tag in self._cancelled & self.jobs.keys():
            if self.jobs[tag].progress.state == "queued":
                self._drop(tag, "cancelled before it ran")

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
            self.refills.know(live.job)

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
        live = self.jobs.pop(tag, None)
        if live is not None:
            self.refills.job_left(live.job)  # first: this process may die here
        self.queue.remove(tag)

    # running jobs ---------------------------------------------------------------------------

    def _settle(self, tag: str, live: LiveJob, ending: Ending) -> None:
        """Judge an attempt whose processes are gone, and go on from there."""
        said = ending.complaint or ending.scheduler or ""
        self.log(f"job {tag}: attempt {live.progress.attempt} ended with {ending.exit_code} {said}")
        stopped, trained = tag in self._cancelled, live.progress.running
        asked: Cause | None = "paused" if tag in self._held else ending.cause
        ending = replace(ending, cause="cancelled" if stopped else asked)
        live.progress = conclude(live.progress, ending, tag, live.job.max_requeues)
        if stopped:
            self._drop(tag, "cancelled")
            return
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
        """Start the queued jobs that may, in order: a large one is not starved by small ones."""
        live_jobs = self.jobs.values()
        placed = [live for live in live_jobs if self._has_place(live)]
        self._jobs_of = Counter(live.job.group for live in placed)
        throttles = self.queue.throttled()
        self._dependencies = {}
        self._full = False
        self._to_train = {path for live in live_jobs for path in live.job.run_dirs}
        self._make_room(placed)
        for tag, live in list(self.jobs.items()):
            if live.progress.state != "queued" or tag in self._held or self._has_place(live):
                continue
            if not self._fills_group(live.job, throttles):
                self._guarded(self._consider, tag, live)
                if self._full:
                    return

    def _fills_group(self, job: QueuedJob, throttles: Mapping[str, int | None]) -> bool:
        """Whether as many jobs of its sweep have a place as may."""
        most = throttles.get(job.group, job.max_parallel)
        return most is not None and self._jobs_of[job.group] >= most

    def _consider(self, tag: str, live: LiveJob) -> None:
        """Start a queued job, leave it waiting, or take it out of the queue."""
        standing = [(path, self._dependency(path)) for path in live.job.after]
        for path, state in standing:
            if state in ("failed", "idle"):
                self._release(tag, live.job, Path(path), failed=state == "failed")
                return
        if all(state == "completed" for _, state in standing) and not self._awaits_an_end(live):
            self._start(tag, live)

    def _awaits_an_end(self, live: LiveJob) -> bool:
        """Whether a trial goes on that must have ended first; each that has is asked about once.

        From the last one on, as trials mostly end in their order: thousands may be waited for.
        """
        while live.waits_for:
            if self._dependency(live.waits_for[-1]) == "running":
                return True
            live.waits_for.pop()
        return False

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

    def _take_up(self, tag: str, live: LiveJob) -> tuple[str, ...]:
        """Run directories that an attempt would train now; none where it has to wait.

        A job that has nothing left to train is taken out of the queue.
        """
        run_dirs = open_trials(tag, live.job.run_dirs, self.log)
        if live.progress.solo:
            run_dirs = run_dirs[:1]
        if not run_dirs:
            self._drop(tag, "nothing left to train")
        if any(RunDir(path).is_locked() for path in run_dirs):
            return ()  # somebody trains one of them by hand
        return tuple(run_dirs)


def take_over(runner_lock: int) -> None:
    """Say in runner.lock which process moves the queue; it holds the lock already."""
    os.ftruncate(runner_lock, 0)
    os.write(runner_lock, str(os.getpid()).encode())
    log_line(f"runner {os.getpid()} starts")


def leave(mover: QueueMover, runner_lock: int) -> bool:
    """Give up the queue if nothing in it can move; whether that is so.

    No job can be added between the last look and the end.
    """
    queue = mover.queue
    with locked(queue.queue_lock):
        if mover.tick():
            return False
        held = f"{len(mover.jobs)} jobs are paused" if mover.jobs else "the queue is empty"
        mover.refills.give_up()
        log_line(f"runner {os.getpid()} leaves: {held}")
        if not mover.jobs:
            queue.forget_submitters()
        os.close(runner_lock)
        return True


def log_line(message: str) -> None:
    """Say something in the runner's log, with the time."""
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    with contextlib.suppress(OSError):  # a full disk; the queue goes on without a log
        sys.stdout.write(f"{stamp} {message}\n")
        sys.stdout.flush()
