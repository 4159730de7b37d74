"""What a measurement looks at between two iterations: whether to stop, and signs of life."""

from __future__ import annotations

from typing import Protocol

from deit_core.errors import DeitError


class StoppedError(DeitError):
    """A stop was requested; what was being measured is lost, what is written stays."""


class Watch(Protocol):
    """Called often: between iterations of a warm-up, and between blocks."""

    def tick(self) -> None:
        """Show that the measurement is alive.

        Raises:
            StoppedError: a stop is requested.
        """
