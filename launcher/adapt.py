"""What a job asks for after what has gone wrong before."""

from __future__ import annotations

from collections.abc import Sequence

from deit_core.attempts import AttemptRecord
from deit_core.errors import RunDirError
from launcher.backends.endings import carried
from launcher.resources import Resources


def memory_factor(run_dirs: Sequence[str]) -> float:
    """By how much more host memory than the sweep file says these trials need."""
    try:
        return carried(run_dirs).mem_factor
    except RunDirError:
        return 1.0


def with_memory(resources: Resources, factor: float, beside: Sequence[AttemptRecord]) -> Resources:
    """The resources of a job that is submitted now.

    Args:
        resources: what the sweep file says.
        factor: see `memory_factor`.
        beside: attempts at all trials of the sweep.
    """
    base = resources.mem_gb or _used_gb(resources, beside)
    if factor == 1 or base is None:
        return resources
    return resources.model_copy(update={"mem_gb": round(base * factor, 1)})


def _used_gb(resources: Resources, beside: Sequence[AttemptRecord]) -> float | None:
    """Memory a node's processes had when they ran out of it, where nothing else is known."""
    sizes = [a.max_rss_gib for a in beside if a.cause == "host_memory" and a.max_rss_gib]
    return max(sizes) * resources.processes_per_node if sizes else None
