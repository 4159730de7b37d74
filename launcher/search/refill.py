"""Go on with a search: `python -m launcher.search.refill SWEEP_DIR COMMAND…`.

Whoever moves jobs starts this when one has ended, with the trainer that it ran. It may be started
by many at once and killed anywhere: whatever it leaves undone, the next one does.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
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
    search_dir = SearchDir(sweep_dir)
    if not search_dir.exists():
        return
    with _folder(search_dir.read_search().cwd):
        for _ in range(_MOST_OUTRUN):
            with contextlib.suppress(OutrunError):
                refill(sweep_dir, backend, room)
                return


@contextlib.contextmanager
def _folder(path: str) -> Iterator[None]:
    """Be in the folder where the sweep began: its config may hold relative paths."""
    before = Path.cwd()
    with contextlib.suppress(OSError):
        os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)


if __name__ == "__main__":
    sys.exit(main())
