"""How many jobs the cluster takes from one user, and how a sweep is cut to fit.

MaxArraySize bounds the indices of an array (slurm.conf), MaxSubmitJobs what a user, an account or
a quality of service may have in the queue (sacctmgr). Where jobs are more than may be queued, an
element of the array runs several of them, one after the other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from launcher.backends.slurm.bounds import Bound, read_bounds
from launcher.backends.slurm.client import ask
from launcher.errors import LaunchError
from launcher.resources import Resources

Item = TypeVar("Item")

DEFAULT_MAX_ARRAY_SIZE = 1001
"""SLURM's own default, where the configuration cannot be read."""


@dataclass(frozen=True)
class Limits:
    """What this user may submit."""

    array_size: int = DEFAULT_MAX_ARRAY_SIZE
    """Most elements of one array (MaxArraySize: the largest index is one less)."""
    bounds: tuple[Bound, ...] = ()
    """Of the jobs in the queue; none: no limit."""
    cluster: str = ""

    @property
    def submit(self) -> int | None:
        """Jobs that may be in the queue; None: no limit."""
        return min((bound.most for bound in self.bounds), default=None)

    def room(self, group: str) -> int | None:
        """Elements that may still be queued; None: no limit.

        Where the sweep's own jobs take all of it, there is room for one: they are about to end.

        Raises:
            LaunchError: other jobs take all of it.
        """
        free: list[int] = []
        for bound in self.bounds:
            queued = bound.names_queued()
            left = bound.most - len(queued)
            if left < 1 and not any(name.startswith(f"{group}.") for name in queued):
                raise LaunchError(
                    f"no job can be submitted now: {len(queued):,} are in the queue, and "
                    f"{bound.source} allows {bound.most:,}; try again when some have ended"
                )
            free.append(max(1, left))
        return min(free, default=None)


def read_limits(resources: Resources) -> Limits:
    """Ask the cluster; what it does not say is its default, or no limit."""
    config = ask("scontrol", "show", "config").out
    size = _said(config, "MaxArraySize")
    most_jobs = _said(config, "MaxJobCount")
    cluster = _said(config, "ClusterName") or ""
    enforced = _said(config, "AccountingStorageEnforce")
    bounds = [Bound(int(most_jobs) - 1, "MaxJobCount")] if most_jobs else []
    if enforced is None or "limits" in enforced.lower():
        bounds += read_bounds(resources, cluster)
    return Limits(
        array_size=int(size) if size else DEFAULT_MAX_ARRAY_SIZE,
        bounds=tuple(bounds),
        cluster=cluster,
    )


def _said(config: str, name: str) -> str | None:
    found = re.search(rf"^{name}\s*=\s*(\S+)", config, re.MULTILINE)
    return found.group(1) if found else None


def into_elements(jobs: Sequence[Item], room: int | None) -> list[tuple[Item, ...]]:
    """One job an element, or several where there is not room for so many elements.

    Jobs that are dealt like cards finish more evenly than those that are cut in blocks.
    """
    count = len(jobs) if room is None else min(len(jobs), max(1, room))
    return [tuple(jobs[start::count]) for start in range(count)]


def into_arrays(elements: Sequence[Item], size: int) -> list[list[Item]]:
    """Arrays as few and as even as possible, none with more than `size` elements."""
    count = -(-len(elements) // size)
    bounds = [len(elements) * part // count for part in range(count + 1)]
    return [list(elements[low:high]) for low, high in pairwise(bounds)]


def shares(total: int | None, sizes: Sequence[int]) -> list[int | None]:
    """How many elements of each array may run at once, so that together `total` do.

    Each array gets at least one; where there are more arrays than `total`, the caller must let
    the surplus wait for the others.
    """
    if total is None:
        return [None] * len(sizes)
    given = [1] * len(sizes)
    spare = min(total, sum(sizes)) - len(sizes)
    rest = max(1, sum(sizes) - len(sizes))
    for place, size in enumerate(sizes):  # by size, and the rounding to whoever has room
        given[place] += max(0, spare) * (size - 1) // rest
    for place, size in enumerate(sizes):
        given[place] += min(max(0, min(total, sum(sizes)) - sum(given)), size - given[place])
    return list(given)
