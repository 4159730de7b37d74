"""Starting, watching and stopping the processes of one local job."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence

from launcher.backends.job_environment import job_environment
from launcher.backends.job_queue import JobQueue, QueuedJob
from launcher.locks import take_lock
from launcher.output import open_output

# The shell writes its process id and becomes the trainer, so the id is on disk even if the runner
# dies at the moment it starts the job.
_SHIM = 'echo "$$" > "$1"; shift; exec "$@"'


def is_alive(queue: JobQueue, tag: str) -> bool:
    """Whether any process of the job lives: they share the lock it was started with."""
    handle = take_lock(queue.alive / tag)
    if handle is None:
        return True
    os.close(handle)
    return False


def start(
    queue: JobQueue, job: QueuedJob, run_dirs: Sequence[str], gpus: Sequence[str]
) -> subprocess.Popen[bytes] | None:
    """Start one attempt in its own session; None when processes of this job are still alive.

    Raises:
        OSError: the trainer or its logs cannot be started.
        RunDirError: the queue's folder cannot be written.
    """
    handle = take_lock(queue.alive / job.tag)
    if handle is None:
        return None
    pid_file = queue.pids / job.tag
    pid_file.parent.mkdir(parents=True, exist_ok=True)
    pid_file.unlink(missing_ok=True)
    try:
        with contextlib.ExitStack() as files:
            out, err = (files.enter_context(log) for log in open_output(run_dirs, 0, job.tag))
            shim = ["/bin/sh", "-c", _SHIM, "sh", str(pid_file)]
            return subprocess.Popen(
                [*shim, *_command(job, run_dirs)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=job.cwd if os.path.isdir(job.cwd) else queue.path,
                env=job_environment(queue, job, gpus, job.cpus),
                pass_fds=(handle,),
                start_new_session=True,
            )
    finally:
        os.close(handle)


def _command(job: QueuedJob, run_dirs: Sequence[str]) -> list[str]:
    """The trainer's command line, alone or in several processes."""
    trainer = [*job.command, *run_dirs]
    if job.processes == 1:
        return trainer
    gang = [sys.executable, "-P", "-m", "launcher.gang", str(job.processes)]
    return [*gang, "--run-dir", run_dirs[0], "--job", job.tag, "--", *trainer]


def ask_to_stop(queue: JobQueue, tag: str) -> bool:
    """SIGTERM to the trainer alone (its loader processes must outlive the checkpoint).

    A gang passes it on to its trainers.

    The process id cannot have been reused: while a process of the group lives (the caller has just
    seen its lock held), the kernel gives its group id to nobody else.
    """
    return _signal(queue, tag, signal.SIGTERM, os.kill)


def kill(queue: JobQueue, tag: str) -> bool:
    """SIGKILL to every process of the job."""
    return _signal(queue, tag, signal.SIGKILL, os.killpg)


def _signal(
    queue: JobQueue, tag: str, number: signal.Signals, send: Callable[[int, int], None]
) -> bool:
    pid = queue.pid(tag)
    if pid is None:
        return False
    try:
        send(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def leader_is_gone(queue: JobQueue, tag: str) -> bool:
    """Whether the trainer itself has ended, so that what lives are orphans of it."""
    pid = queue.pid(tag)
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
