"""Go on with a search: `python -m launcher.search.refill SWEEP_DIR COMMAND…`.

Whoever moves jobs starts this when one has ended, with the trainer that it ran. It may be started
by many at once and killed anywhere: whatever it leaves undone, the next one does.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

from deit_core.errors import UserError
from launcher.backends.base import Backend
from launcher.backends.registry import open_backend
from launcher.reconcile import refill
from launcher.search.grow import OutrunError
from launcher.search.records import SearchDir
from launcher.sweep_dir import SweepDir

_MOST_OUTRUN = 5


def main() -> int:
    """Refill one sweep; the exit code is 2 where the user has to do something."""
    folder, *command = sys.argv[1:]
    sweep_dir = SweepDir(Path(folder).resolve())
    try:
        name = sweep_dir.read_plan().backend or "local"
        go_on(sweep_dir, open_backend(name, sweep_dir.runs, command))
    except UserError as error:
        sys.stderr.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} error: {error}\n")
        return 2
    return 0


def go_on(sweep_dir: SweepDir, backend: Backend, room: int | None = None) -> None:
    """Refill, and again if somebody was faster. Raises UserError; see `refill`."""
    # The training config may hold relative paths; it is read as it was where the sweep began.
    with contextlib.suppress(OSError):
        os.chdir(SearchDir(sweep_dir).read_search().cwd)
    for _ in range(_MOST_OUTRUN):
        with contextlib.suppress(OutrunError):
            refill(sweep_dir, backend, room)
            return


if __name__ == "__main__":
    sys.exit(main())
