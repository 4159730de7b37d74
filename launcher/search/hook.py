"""What moves jobs calls this when one has left: a search may want to go on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from deit_core.errors import RunDirError
from deit_core.source_tree import import_root
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


def refill_later(runs: Path, group: str, command: Sequence[str]) -> None:
    """Start a process that goes on with a search, and wait for nothing.

    It is detached, as it may take longer than whoever starts it; all else is up to the files.

    Args:
        runs: the folder of all sweeps.
        group: the sweep's folder.
        command: the trainer of the job that has ended, which the next ones run too.

    Raises:
        RunDirError: it cannot be started.
    """
    log_file = SearchDir(SweepDir(runs / group)).log_file
    try:
        with open(log_file, "ab") as log:
            # The shell leaves at once, so nobody needs to wait for the process it leaves behind.
            subprocess.run(
                ["/bin/sh", "-c", '"$@" &', "sh", *REFILL, str(runs / group), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=import_root(),
                env=os.environ,
                start_new_session=True,
                check=True,
            )
    except OSError as error:
        raise RunDirError(f"cannot go on with the search: {error.strerror}") from error
