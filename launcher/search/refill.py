"""Go on with a search: `python -m launcher.search.refill [--ray-address A] SWEEP_DIR COMMAND…`.

Whoever moves jobs starts this when one has ended, with the trainer that it ran. It may be started
by many at once and killed anywhere: whatever it leaves undone, the next one does. Its exit code is
not 0 where a next one has to.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from deit_core.errors import UserError
from launcher.backends.base import Backend
from launcher.backends.registry import open_backend
from launcher.bench.existing import bench_ended_search
from launcher.reconcile import refill
from launcher.search.grow import OutrunError
from launcher.search.records import SearchDir
from launcher.sweep_dir import SweepDir

_MOST_OUTRUN = 5


def main() -> int:
    """Refill one sweep; the exit code is 2 where the user has to do something."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--ray-address")
    parser.add_argument("folder", type=Path)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    sweep_dir = SweepDir(given.folder.resolve())
    try:
        name = sweep_dir.read_plan().backend or "local"
        backend = open_backend(name, sweep_dir.runs, given.command, ray_address=given.ray_address)
        if not go_on(sweep_dir, backend):
            return 1
    except UserError as error:
        _complain(error)
        return 2
    measure_if_ended(sweep_dir, backend)
    return 0


def measure_if_ended(sweep_dir: SweepDir, backend: Backend) -> None:
    """Order the measurement of a search that has come to its end; what is wrong is only said."""
    try:
        bench_ended_search(sweep_dir, backend)
    except UserError as error:
        _complain(error)


def _complain(error: UserError) -> None:
    sys.stderr.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} error: {error}\n")


def go_on(sweep_dir: SweepDir, backend: Backend, room: int | None = None) -> bool:
    """Refill, and again if somebody was faster; False where somebody was again and again.

    Raises:
        UserError: see `refill`.
    """
    search_dir = SearchDir(sweep_dir)
    if not search_dir.exists():
        return True
    with _folder(search_dir.read_search().cwd):
        for _ in range(_MOST_OUTRUN):
            with contextlib.suppress(OutrunError):
                refill(sweep_dir, backend, room)
                return True
    return False


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
