"""Time spent training, apart from evaluation and start-up, over all attempts."""

from __future__ import annotations

import time


class TrainClock:
    """Sums the seconds between `start` and `pause`; survives restarts through `total_s`."""

    def __init__(self, total_s: float = 0.0) -> None:
        self.total_s = total_s
        self._since: float | None = None

    def start(self) -> None:
        """Go on counting."""
        self._since = time.perf_counter()

    def pause(self) -> None:
        """Stop counting, for an evaluation or a checkpoint."""
        self.total_s = self.read()
        self._since = None

    def read(self) -> float:
        """Seconds counted so far."""
        running = 0.0 if self._since is None else time.perf_counter() - self._since
        return self.total_s + running
