"""Whether SLURM has told the batch script itself to end."""

from __future__ import annotations

import signal
from types import FrameType


class Told:
    """Outlives the signals that are meant for the ranks: somebody must write down their end."""

    def __init__(self) -> None:
        self.to_end = False

    def install(self) -> None:
        """Take the stop signals from now on."""
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.to_end = True

    def forget(self) -> None:
        """Wait for the next signal."""
        self.to_end = False
