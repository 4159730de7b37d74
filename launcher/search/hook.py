"""What moves jobs calls this when one has left: a search may want to go on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from deit_core.errors import RunDirError
from deit_core.source_tree import import_root
from launcher.backends.job_queue import QueuedJob
from launcher.search.records import SearchDir
from launcher.sweep_dir import SweepDir

REFILL = (sys.executable, "-m", "launcher.search.refill")


def goes_on(runs: Path, group: str) -> bool:
    """Whether the sweep of a job is a search that may have more to do.

    Also one that asks for no more: trials whose jobs were lost are gone on with. Not one that the
    user has stopped.

    Raises:
        RunDirError, SchemaError: its files cannot be read.
    """
    if not group:
        return False
    search = SearchDir(SweepDir(runs / group))
    ended = search.read_ended() if search.exists() else None
    return search.exists() and (ended is None or not ended.stopped)


def refill_later(runs: Path, job: QueuedJob) -> None:
    """Start a process that goes on with a search, and wait for nothing.

    It is detached, as it may take longer than whoever starts it; all else is up to the files.

    Args:
        runs: the folder of all sweeps.
        job: one that has ended; the next ones run the same trainer, with the code as it was.

    Raises:
        RunDirError: it cannot be started.
    """
    log_file = SearchDir(SweepDir(runs / job.group)).log_file
    try:
        with open(log_file, "ab") as log:
            # The shell leaves at once, so nobody needs to wait for the process it leaves behind.
            subprocess.run(
                ["/bin/sh", "-c", '"$@" &', "sh", *REFILL, str(runs / job.group), *job.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=job.code or import_root(),  # what Python looks for modules in first
                env=os.environ,
                start_new_session=True,
                check=True,
            )
    except OSError as error:
        raise RunDirError(f"cannot go on with the search: {error.strerror}") from error
