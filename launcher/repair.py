"""What a power cut leaves: files that are there, and are empty. Those that can be are made again.

Files are replaced whole, but not each of them is fsynced (see `sync`): after a power cut some file
systems keep the new name and lose what was in it.
"""

from __future__ import annotations

import json
from pathlib import Path

from deit_core.errors import RunDirError
from deit_core.records import StatusRecord
from deit_core.run_dir import RunDir

LOST_STATUS = "its status.json was damaged, as by a power cut; what it said is lost"


def is_damaged(path: Path) -> bool:
    """Whether a file is there that can be read, and holds no JSON."""
    try:
        json.loads(path.read_bytes())
    except OSError:
        return False
    except ValueError:
        return True
    return False


def surviving_status(run: RunDir) -> StatusRecord:
    """A trial's status; where its file is damaged, what the other files tell.

    Raises:
        RunDirError: the file cannot be read, or a newer version wrote it.
    """
    try:
        return run.read_status()
    except RunDirError:
        if not is_damaged(run.status_file):
            raise
    begun = run.metrics_file.exists() or run.checkpoint_dir.exists()
    if not begun:
        return StatusRecord(reason=LOST_STATUS)
    return StatusRecord(state="preempted", attempt=1, reason=LOST_STATUS)


def mend_status(run: RunDir) -> StatusRecord:
    """Replace a damaged status.json unless a process trains here; returns the status.

    Raises:
        RunDirError: it cannot be read or written.
    """
    status = surviving_status(run)
    if status.reason == LOST_STATUS and is_damaged(run.status_file) and not run.is_locked():
        run.write_status(status)
    return status
