"""Stop requests: a signal only sets a flag; the loop saves and leaves at a step boundary."""

from __future__ import annotations

import signal
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
"""SIGTERM also announces preemption on clusters that send no user signal."""


class StopRequest:
    """Set by the first stop signal; a second SIGINT ends the process at once."""

    def __init__(self) -> None:
        self.name: str | None = None

    def __bool__(self) -> bool:
        return self.name is not None

    def install(self) -> StopRequest:
        """Handle the stop signals from now on, and those that a starter has held back so far."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._handle)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.name is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.name = signal.Signals(number).name
