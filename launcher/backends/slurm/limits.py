"""How many jobs the cluster takes from one user, and how a sweep is cut to fit.

MaxArraySize bounds the indices of an array (slurm.conf), MaxSubmitJobs what a user, an account or
a quality of service may have in the queue (sacctmgr). Where jobs are more than may be queued, an
element of the array runs several of them, one after the other.
"""

from __future__ import annotations

import getpass
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from launcher.backends.slurm.client import ask

Item = TypeVar("Item")

DEFAULT_MAX_ARRAY_SIZE = 1001
"""SLURM's own default, where the configuration cannot be read."""


@dataclass(frozen=True)
class Limits:
    """What this user may submit."""

    array_size: int = DEFAULT_MAX_ARRAY_SIZE
    """Most elements of one array (MaxArraySize: the largest index is one less)."""
    submit: int | None = None
    """Jobs that may be in the queue; an array counts with all its elements. None: no limit."""
    cluster: str = ""


def read_limits(*, qos: str | None, account: str | None) -> Limits:
    """Ask the cluster; what it does not say is its default, or no limit."""
    config = ask("scontrol", "show", "config").out
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", config, re.MULTILINE)
    name = re.search(r"^ClusterName\s*=\s*(\S+)", config, re.MULTILINE)
    most_jobs = re.search(r"^MaxJobCount\s*=\s*(\d+)", config, re.MULTILINE)
    bounds = [*_qos_limits(qos), *_association_limits(account)]
    if most_jobs:
        bounds.append(int(most_jobs.group(1)) - 1)
    return Limits(
        array_size=int(found.group(1)) if found else DEFAULT_MAX_ARRAY_SIZE,
        submit=min(bounds, default=None),
        cluster=name.group(1) if name else "",
    )


def _qos_limits(qos: str | None) -> list[int]:
    if qos is None:
        return []
    fields = "MaxSubmitPU,MaxSubmitPA,GrpSubmit"
    return _numbers("show", "qos", "where", f"name={qos}", f"format={fields}")


def _association_limits(account: str | None) -> list[int]:
    where = [f"user={getpass.getuser()}", *([f"account={account}"] if account else [])]
    return _numbers("show", "associations", "where", *where, "format=MaxSubmit,GrpSubmit")


def _numbers(*query: str) -> list[int]:
    answer = ask("sacctmgr", "--noheader", "--parsable2", *query, patience_s=20.0)
    cells = answer.out.replace("\n", "|").split("|") if answer.ok else []
    return [int(cell) for cell in cells if cell.strip().isdigit()]


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
