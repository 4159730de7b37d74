"""The next jobs of a search on SLURM: `python -P -m launcher.search.next_job ARRAY_DIR [INDEX]`.

Run by an element's supervisor: the element with this index is free and takes up a job. Where fewer
elements than may run are left, others are submitted. Without an index the element is about to
leave, and another is submitted in its place.
"""

from __future__ import annotations

import sys
from pathlib import Path

from deit_core.errors import UserError
from launcher.backends.registry import open_backend
from launcher.backends.slurm.array_dir import ArrayDir
from launcher.backends.slurm.backend import SlurmBackend
from launcher.backends.slurm.element_backend import ElementBackend
from launcher.request import read_request
from launcher.search.grow import unlimited_slots
from launcher.search.refill import go_on, measure_if_ended
from launcher.sweep_dir import SweepDir


def main() -> int:
    """Add at most one job to the element, and submit what is missing beside it."""
    array = ArrayDir(Path(sys.argv[1]).resolve())
    runs = array.path.parents[1]
    index = int(sys.argv[2]) if len(sys.argv) > 2 else None
    try:
        record = array.read()
        sweep_dir = SweepDir(runs / record.group)
        cluster = SlurmBackend(runs, command=record.command)
        cluster.peers = open_backend("slurm", runs, record.command).peers
        if index is not None:
            element = ElementBackend(runs, array, index)
            element.peers = cluster.peers
            go_on(sweep_dir, element, room=1)
        missing = _missing(sweep_dir, cluster) + (index is None)
        if missing > 0:
            go_on(sweep_dir, cluster, room=missing)
        measure_if_ended(sweep_dir, cluster)  # on a node of its own, not in this element
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


def _missing(sweep_dir: SweepDir, cluster: SlurmBackend) -> int:
    """How many more elements may run: some were cancelled or lost, or more are allowed by now.

    One that is between two jobs counts, although no job of it does.
    """
    request = read_request(sweep_dir)
    slots = request.resources.max_parallel or unlimited_slots(request.search)
    return slots - cluster.arrays.count_elements(sweep_dir.path.name)


if __name__ == "__main__":
    sys.exit(main())
