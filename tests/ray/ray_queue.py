"""The queue of a runs folder's Ray jobs, and its driver."""

import contextlib
import os
import signal
from pathlib import Path

from launch_support import until

from launcher.backends.job_queue import JobQueue
from launcher.locks import take_lock


def driver_pid(runs):
    with contextlib.suppress(OSError, ValueError):
        return int(queue_of(runs).runner_lock.read_text())
    return None


def queue_of(runs):
    return JobQueue(runs / ".ray")


def kill_driver(runs):
    """End the driver of a runs folder, if it has one; Ray ends what it runs."""
    lock = queue_of(runs).runner_lock

    def gone():
        pid = driver_pid(runs)
        with contextlib.suppress(OSError):
            if pid and str(runs).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
        handle = take_lock(lock)
        if handle is not None:
            os.close(handle)
        return handle is not None

    until(gone)
