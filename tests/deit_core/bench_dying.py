"""A measuring process that dies; a module of its own, as that process imports it."""

from __future__ import annotations

import os


def die(answer: object, targets: object, protocol: object) -> None:
    """End without an answer."""
    os._exit(7)
