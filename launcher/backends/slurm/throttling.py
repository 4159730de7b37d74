"""How many jobs of a sweep run at once, over all of its arrays.

SLURM throttles one array (`%N`). So each array of a sweep gets a share of what may run, and where
there are more arrays than shares the later ones wait for earlier ones to end (`afterany`). What
the user holds counts for nothing: else whatever waits for it would wait as long as that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from launcher.backends.slurm import client
from launcher.backends.slurm.arrays import Arrays, QueuedArray
from launcher.backends.slurm.limits import shares
from launcher.errors import LaunchError

_THROTTLE = re.compile(r"\bArrayTaskThrottle=(\d+)")
_HARMLESS = ("No error", "Job is no longer pending execution")


@dataclass(frozen=True)
class Room:
    """What new arrays of a sweep may do beside those that it has."""

    most: int | None
    """Elements that may run at once; None: all."""
    waits: tuple[str, ...] = ()
    """Arrays and elements that must end first."""


def room_of(arrays: Arrays, group: str, most: int | None) -> Room:
    """What is left of `most` by the arrays that a sweep has; if nothing is, its next ones wait.

    Raises:
        LaunchError: SLURM does not answer.
    """
    if most is None:
        return Room(None)
    queued = arrays.queued(group)
    left = most - sum(min(_throttle(one) or len(one.free), len(one.free)) for one in queued)
    return Room(left) if left > 0 else Room(most, tuple(_names(queued)))


def throttle(arrays: Arrays, group: str, most: int | None) -> None:
    """Let at most so many elements of a sweep run at once; what runs already is not stopped.

    Raises:
        LaunchError: SLURM refuses, or does not answer.
    """
    queued = sorted(arrays.queued(group), key=_turn)
    throttles = shares(most, [len(one.entries) for one in queued])
    for place, (one, share) in enumerate(zip(queued, throttles, strict=True)):
        earlier = queued[place - most : place - most + 1] if most and place >= most else []
        wanted = [*arrays.awaited(one.after, one.after_any), *_names(earlier)]
        _update(one, f"ArrayTaskThrottle={share or 0}")
        if any(entry.waits for entry in one.entries):
            _update(one, f"Dependency={'afterany:' if wanted else ''}{':'.join(wanted)}")


def _turn(one: QueuedArray) -> tuple[bool, bool, bool]:
    """Teachers before students, who wait for them, and what waits for trials to end last.

    Then what runs before what waits; by age.
    """
    waits = all(entry.waits for entry in one.entries)
    return bool(one.after_any), bool(one.after), waits


def _names(queued: Iterable[QueuedArray]) -> Sequence[str]:
    """What to wait for, in SLURM's words: whole arrays, or their elements that are not held."""
    found: list[str] = []
    for one in queued:
        whole = len(one.free) == len(one.entries)
        found += [one.slurm_id] if whole else [entry.name for entry in one.free]
    return found


def _throttle(one: QueuedArray) -> int:
    """Elements of an array that SLURM runs at once; 0: all, or nothing is said of it."""
    said = client.ask("scontrol", "show", "job", "--oneliner", one.slurm_id).out
    found = [int(number) for number in _THROTTLE.findall(said)]
    return max(found, default=0)


def _update(one: QueuedArray, change: str) -> None:
    """Change those elements of an array that wait."""
    answer = client.act("scontrol", "update", f"JobId={one.slurm_id}", change)
    # It fails with a line for each group of elements, those that run among them.
    lines = answer.error.split("; ") if answer.error else []
    errors = [line for line in lines if not line.endswith(_HARMLESS)]
    if not answer.ok and errors:
        raise LaunchError(f"SLURM refuses to throttle array {one.slurm_id}: {errors[0]}")
