"""How long jobs take together, when a given number of them runs at once."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence


def makespan(seconds: Sequence[float], after: Sequence[Sequence[int]], slots: int | None) -> float:
    """Wall time of list scheduling: a free slot takes the first job that may start.

    Args:
        seconds: duration of each job, in the order they are submitted in.
        after: for each job the places in that order of those that must have ended before it, each
            of them before its own.
        slots: jobs that run at once; all of them when None.
    """
    waits = [len(before) for before in after]
    followers: dict[int, list[int]] = defaultdict(list)
    for place, before in enumerate(after):
        for earlier in before:
            followers[earlier].append(place)
    ready = [place for place, count in enumerate(waits) if not count]
    running: list[tuple[float, int]] = []
    free, now = slots or len(seconds), 0.0
    while ready or running:
        while ready and free:
            place = heapq.heappop(ready)
            heapq.heappush(running, (now + seconds[place], place))
            free -= 1
        now, ended = heapq.heappop(running)
        free += 1
        for place in followers[ended]:
            waits[place] -= 1
            if not waits[place]:
                heapq.heappush(ready, place)
    return now
