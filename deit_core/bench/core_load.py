"""How busy others kept the cores that this process may use."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_STAT = Path("/proc/stat")


@dataclass(frozen=True)
class _Reading:
    wall_s: float
    busy_s: float
    own_s: float


class CoreLoad:
    """Counts from its construction."""

    def __init__(self) -> None:
        self._start = _read()

    def others(self) -> float | None:
        """Cores that other processes kept busy, on average; None where the system does not say."""
        now, start = _read(), self._start
        if now is None or start is None or now.wall_s - start.wall_s < 0.1:
            return None
        others_s = (now.busy_s - start.busy_s) - (now.own_s - start.own_s)
        return max(0.0, others_s / (now.wall_s - start.wall_s))


def _read() -> _Reading | None:
    """Times of the cores in this process's affinity, from proc(5)."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    wanted = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    try:
        lines = [line.split() for line in _STAT.read_text(encoding="utf-8").splitlines()]
        # user nice system idle iowait irq softirq steal: all but idle and iowait
        ticks = sum(
            sum(map(int, (*line[1:4], *line[6:9]))) for line in lines if line and line[0] in wanted
        )
    except (OSError, ValueError):
        return None
    own = os.times()
    return _Reading(time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), sum(own[:4]))
