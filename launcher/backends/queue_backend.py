"""What backends share whose jobs wait in a queue of ours, moved by one detached process."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from deit_core.errors import DeitError, RunDirError
from deit_core.source_tree import import_root
from launcher.backends.base import Check, Job, JobReport, Peers, no_peers
from launcher.backends.job_queue import Environment, JobQueue, QueuedJob
from launcher.errors import LaunchError
from launcher.locks import locked, take_lock
from launcher.resources import Resources
from launcher.search.hook import goes_on, searches_of

TRAINER = (sys.executable, "-P", "-m", "deit_core")
"""Command line of a job; its run directories are appended. -P: the folder it is called in is no
place to import from, or a checkout there would hide the snapshot."""

_ENDED = JobReport("ended")
MAX_RUNNER_STARTS = 5
"""By one command: a runner that dies that often cannot serve the queue."""
# The shell leaves at once, so the runner is nobody's child and its end needs no one to wait for it.
_DETACH = ("/bin/sh", "-c", '"$@" &', "sh")


class QueueBackend:
    """Keeps a queue in a folder, and sees that its runner lives while there is something to move.

    Args:
        queue: the folder.
        command: the trainer.
    """

    name: str
    runner_module: str
    """What `python -m` runs to move the queue, with its folder and the hold on its lock."""

    def __init__(self, queue: Path, command: Sequence[str] | None = None) -> None:
        self.peers: Peers = no_peers
        self.queue = JobQueue(queue)
        self.command = tuple(TRAINER if command is None else command)
        self._runner_starts = 0

    @functools.cached_property
    def environment(self) -> Environment:
        """What the jobs that are submitted here will find."""
        return Environment.of(os.environ)

    def submit(self, jobs: Sequence[Job]) -> dict[str, str]:
        """Queue jobs and see that a runner serves the queue.

        Raises:
            LaunchError: a job asks for more than there is.
            RunDirError: the queue cannot be written.
        """
        queued = [self._queued(job) for job in jobs]
        with locked(self.queue.queue_lock):
            for job in queued:
                if not self.queue.has(job.tag):
                    self.queue.keep_environment(self.environment)
                    self.queue.add(job)
            self._ensure_runner()
        return {job.tag: job.tag for job in jobs}

    def _queued(self, job: Job) -> QueuedJob:
        return QueuedJob(
            tag=job.tag,
            run_dirs=tuple(str(path) for path in job.run_dirs),
            after=tuple(str(path) for path in job.after),
            after_any=tuple(str(path) for path in job.after_any),
            processes=job.processes,
            nodes=job.resources.nodes,
            cpus=job.cpus,
            gpus=job.gpus,
            mem_gb=job.resources.mem_gb,
            cpus_granted=job.cpus,
            group=job.group,
            max_parallel=job.max_parallel,
            max_requeues=job.resources.max_requeues,
            environment=self.environment.digest,
            command=self.command,
            code=None if job.code is None else str(job.code),
            cwd=os.getcwd(),
            submitted_unix_s=time.time(),
            submitted_by=socket.gethostname(),
        )

    def find(self, tags: Collection[str]) -> Mapping[str, str]:
        """The tags themselves, of jobs that are queued or running."""
        live = self.queue.tags()
        return {tag: tag for tag in tags if tag in live}

    def settle(self, resources: Resources) -> Resources:
        """The same: no variable says what a job gets here."""
        return resources

    def forecast(self, jobs: Sequence[Job]) -> list[str]:
        """Jobs start as soon as the queue has come to them: nothing that the plan does not say."""
        return []

    def states(self, job_ids: Collection[str]) -> Mapping[str, JobReport]:
        """All of them: what is not in this queue has ended."""
        live, held = self.queue.tags(), self.queue.held()
        return {tag: self._report(tag, held) if tag in live else _ENDED for tag in job_ids}

    def _report(self, tag: str, held: Collection[str]) -> JobReport:
        progress = self.queue.read_progress(tag)
        if not self.queue.has(tag):
            return _ENDED  # meanwhile
        return JobReport(progress.state, progress.waits, held=tag in held)

    def describe(self, job_ids: Collection[str]) -> Mapping[str, str]:
        """Nobody keeps accounts of jobs here."""
        return {}

    def log_before_start(self, job_id: str) -> Path | None:
        """A job starts its trials at once."""
        return None

    def require_answer(self) -> None:
        """The queue is a folder."""

    def cancel(self, job_ids: Collection[str]) -> None:
        """Leave requests for the runner, which ends the jobs with SIGTERM, later SIGKILL.

        Without a runner, jobs that wait are dropped here: the next one may never come to them.
        """
        with locked(self.queue.queue_lock):
            live = [job_id for job_id in job_ids if self.queue.has(job_id)]
            for job_id in live:
                self.queue.request_cancel(job_id)
            self._drop_unserved(live)
            if any(self.queue.has(job_id) for job_id in live) or (live and self.queue.to_move()):
                self._ensure_runner()

    def _drop_unserved(self, tags: Collection[str]) -> None:
        """Forget those that wait, if nothing moves the queue; queue.lock is held."""
        handle = take_lock(self.queue.runner_lock) if tags else None
        if handle is None:
            return
        try:
            for tag in tags:
                with contextlib.suppress(DeitError):  # a runner says what is wrong with it
                    if self.queue.read_progress(tag).state == "queued":
                        self._drop(self.queue.read(tag))
            if not self.queue.tags():
                self.queue.forget_submitters()
        finally:
            os.close(handle)

    def _drop(self, job: QueuedJob) -> None:
        """Forget a job, once it is written down which searches are to go on without it."""
        runs = self.queue.path.parent
        for group in searches_of(runs, job.group, job.run_dirs):
            if goes_on(runs, group):
                self.queue.write_refill(group, job)
        self.queue.remove(job.tag)

    def hold(self, job_ids: Collection[str]) -> None:
        """Keep jobs waiting until they are released; one that runs saves first.

        Raises:
            RunDirError: the queue cannot be written.
        """
        with locked(self.queue.queue_lock):
            for tag in job_ids:
                if self.queue.has(tag):
                    self.queue.request_hold(tag)
            if self.queue.to_move():
                self._ensure_runner()

    def release(self, job_ids: Collection[str]) -> None:
        """Let held jobs run again. Raises RunDirError."""
        with locked(self.queue.queue_lock):
            for tag in job_ids:
                self.queue.release(tag)
            if self.queue.to_move():
                self._ensure_runner()

    def throttle(self, group: str, most: int | None) -> None:
        """Let at most so many jobs of a sweep run at once; None: as many as fit.

        Raises:
            RunDirError: the queue cannot be written.
        """
        with locked(self.queue.queue_lock):
            if self.queue.tags():
                self.queue.throttle(group, most)

    def revive(self) -> None:
        """Start a runner if jobs are left and none serves them. Raises RunDirError."""
        if self.queue.to_move():
            with locked(self.queue.queue_lock):
                if self.queue.to_move():
                    self._ensure_runner()

    def queue_check(self) -> Check:
        """Whether the queue is served."""
        jobs, held = self.queue.tags(), self.queue.held()
        alive = self.runner_is_alive()
        stuck = self.queue.to_move() and not alive
        paused = f", {len(held & jobs)} paused" if held & jobs else ""
        runner = f"runner {'alive' if alive else 'not running'}"
        served = f"{len(jobs)} jobs{paused}, {runner}" if jobs else "empty"
        if stuck:
            served += f"; any `deit-launch sweep` restarts it, its log is {self.queue.runner_log}"
        return Check(f"{self.name} queue", not stuck, served)

    def runner_is_alive(self) -> bool:
        """Whether a runner holds its lock."""
        if not self.queue.path.is_dir():
            return False
        with locked(self.queue.queue_lock):
            handle = take_lock(self.queue.runner_lock)
        if handle is None:
            return True
        os.close(handle)
        return False

    def _runner(self) -> tuple[str, ...]:
        return (sys.executable, "-m", self.runner_module)

    def _ensure_runner(self) -> None:
        """Start a runner unless there is one; queue.lock is held.

        The lock is taken here and inherited, so two callers can never start two runners.
        """
        handle = take_lock(self.queue.runner_lock)
        if handle is None:
            return
        self._runner_starts += 1
        if self._runner_starts > MAX_RUNNER_STARTS:
            os.close(handle)
            raise LaunchError(
                f"the {self.name} runner has died {MAX_RUNNER_STARTS} times with jobs left; "
                f"see the end of {self.queue.runner_log}"
            )
        try:
            with open(self.queue.runner_log, "ab") as log:
                subprocess.run(
                    [*_DETACH, *self._runner(), str(self.queue.path), str(handle)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=import_root(),
                    pass_fds=(handle,),
                    start_new_session=True,
                    check=True,
                )
        except OSError as error:
            raise RunDirError(f"cannot start the {self.name} runner: {error.strerror}") from error
        finally:
            os.close(handle)
