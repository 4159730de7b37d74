"""The next job of an element that is free: `python -P -m launcher.search.next_job ARRAY_DIR INDEX`.

Run by the element's supervisor, so that one allocation trains one point after another. A process of
its own, as samplers import much that a supervisor does not need.
"""

from __future__ import annotations

import sys
from pathlib import Path

from deit_core.errors import UserError
from launcher.backends.registry import open_backend
from launcher.backends.slurm.array_dir import ArrayDir
from launcher.backends.slurm.element_backend import ElementBackend
from launcher.search.refill import go_on
from launcher.sweep_dir import SweepDir


def main() -> int:
    """Add at most one job to the element; nothing where no more is asked for."""
    array = ArrayDir(Path(sys.argv[1]).resolve())
    runs = array.path.parents[1]
    backend = ElementBackend(runs, array, int(sys.argv[2]))
    backend.peers = open_backend("slurm", runs).peers
    try:
        go_on(SweepDir(runs / array.read().group), backend, room=1)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
