"""What Ray Tune is shown of trials: their evaluations, read from the rows that they write."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from deit_core.errors import RunDirError
from deit_core.run_dir import RunDir

_LOOK_EVERY_S = 1.0


class Curves:
    """Evaluations that have come since the last look; from now on, not those of earlier attempts.

    It is a view: what cannot be read is not shown.
    """

    def __init__(self, run_dirs: Sequence[str]) -> None:
        self._runs = [RunDir(path) for path in run_dirs]
        self._sizes = [0 for _ in run_dirs]
        self._steps = [run.read_status().step for run in self._runs]
        self._look_at = 0.0

    def fresh(self, *, now: bool = False) -> list[dict[str, Any]]:
        """New rows of evaluations, each with its trial's id; `now`: even if just looked at."""
        if time.monotonic() < self._look_at and not now:
            return []
        self._look_at = time.monotonic() + _LOOK_EVERY_S
        return [row for index in range(len(self._runs)) for row in self._fresh_of(index)]

    def _fresh_of(self, index: int) -> list[dict[str, Any]]:
        run = self._runs[index]
        try:
            size = run.metrics_file.stat().st_size
            if size == self._sizes[index]:
                return []
            rows = run.read_metrics()
        except (OSError, RunDirError):
            return []
        self._sizes[index] = size
        new = [
            {**row, "trial": run.path.name}
            for row in rows
            if row.get("kind") == "eval" and row["step"] > self._steps[index]
        ]
        self._steps[index] = max((row["step"] for row in new), default=self._steps[index])
        return new
