"""Starting, watching and stopping the processes of one local job."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import IO

from deit_core.run_dir import RunDir
from launcher.backends.local_queue import LocalQueue, QueuedJob
from launcher.locks import take_lock

SEPARATOR = "===="
"""Starts the line that opens an attempt in a trial's logs."""
POINTER = "output of the whole cohort is in "

# The shell writes its process id and becomes the trainer, so the id is on disk even if the runner
# dies at the moment it starts the job.
_SHIM = 'echo "$$" > "$1"; shift; exec "$@"'


def is_alive(queue: LocalQueue, tag: str) -> bool:
    """Whether any process of the job lives: they share the lock it was started with."""
    handle = take_lock(queue.alive / tag)
    if handle is None:
        return True
    os.close(handle)
    return False


def start(
    queue: LocalQueue, job: QueuedJob, run_dirs: Sequence[str], gpus: Sequence[str]
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
            out, err = (files.enter_context(log) for log in _open_logs(job, run_dirs))
            shim = ["/bin/sh", "-c", _SHIM, "sh", str(pid_file)]
            return subprocess.Popen(
                [*shim, *job.command, *run_dirs],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=job.cwd if os.path.isdir(job.cwd) else queue.path,
                env=_environment(queue, job, gpus),
                pass_fds=(handle,),
                start_new_session=True,
            )
    finally:
        os.close(handle)


def _environment(queue: LocalQueue, job: QueuedJob, gpus: Sequence[str]) -> dict[str, str]:
    """What the submitter had, not what the runner has; and this job's share of the machine."""
    threads = str(job.cpus)
    kept = queue.read_environment(job.environment)
    return {
        **(os.environ if kept is None else kept),
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "CUDA_VISIBLE_DEVICES": ",".join(gpus),
        "PYTHONUNBUFFERED": "1",
        **({} if job.code is None else {"PYTHONPATH": job.code}),
    }


def _open_logs(job: QueuedJob, run_dirs: Sequence[str]) -> tuple[IO[bytes], IO[bytes]]:
    """The first trial's logs, opened for appending; the others' get a line that points there."""
    runs = [RunDir(path) for path in run_dirs]
    leader, *members = runs
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    for run in runs:
        run.job_dir.mkdir(parents=True, exist_ok=True)
        opening = f"{SEPARATOR} attempt {run.read_status().attempt + 1} · {now} · job {job.tag}"
        for log, target in (
            (run.stdout_file, leader.stdout_file),
            (run.stderr_file, leader.stderr_file),
        ):
            where = f" · {POINTER}{os.path.relpath(target, run.job_dir)}" if run in members else ""
            with open(log, "a", encoding="utf-8") as file:
                file.write(f"{opening}{where} {SEPARATOR}\n")
    return open(leader.stdout_file, "ab"), open(leader.stderr_file, "ab")


def last_complaint(run: RunDir) -> str | None:
    """The last `error: …` line in a trial's stderr since its latest attempt began."""
    try:
        lines = run.stderr_file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        if line.startswith(SEPARATOR):
            return None
        if line.startswith("error: "):
            return line.removeprefix("error: ")
    return None


def ask_to_stop(queue: LocalQueue, tag: str) -> bool:
    """SIGTERM to the trainer alone (its loader processes must outlive the checkpoint).

    The process id cannot have been reused: while a process of the group lives (the caller has just
    seen its lock held), the kernel gives its group id to nobody else.
    """
    return _signal(queue, tag, signal.SIGTERM, os.kill)


def kill(queue: LocalQueue, tag: str) -> bool:
    """SIGKILL to every process of the job."""
    return _signal(queue, tag, signal.SIGKILL, os.killpg)


def _signal(
    queue: LocalQueue, tag: str, number: signal.Signals, send: Callable[[int, int], None]
) -> bool:
    pid = queue.pid(tag)
    if pid is None:
        return False
    try:
        send(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def leader_is_gone(queue: LocalQueue, tag: str) -> bool:
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
