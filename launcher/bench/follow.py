"""Waiting for a measurement. Watching only reads (and wakes a runner that was killed)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from deit_core.run_dir import RunDir
from launcher.backends.base import Backend
from launcher.bench.progress import BenchProgress, look_at, progress_of

_PAUSE_S = 0.5


def follow_benches(
    runs: Sequence[RunDir], backend: Backend, say: Callable[[str], None]
) -> list[BenchProgress]:
    """Say what changes until nothing works on these orders any more; returns how they ended.

    Raises:
        RunDirError: a bench directory cannot be read.
    """
    said: dict[str, str] = {}
    while True:
        backend.revive()
        found = [progress_of(look_at(run, backend)) for run in runs]
        for one in found:
            line = str(one)
            if said.get(one.path) != line:
                said[one.path] = line
                say(line)
        if not any(one.active for one in found):
            return found
        time.sleep(_PAUSE_S)
