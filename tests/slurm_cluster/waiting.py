"""Waiting for what a cluster takes a while to do."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(
    predicate: Callable[[], object], deadline_s: float, what: str = "", interval_s: float = 0.1
) -> None:
    """Poll until the predicate holds.

    Raises:
        TimeoutError: It did not within `deadline_s` seconds.
    """
    end = time.monotonic() + deadline_s
    while not predicate():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {deadline_s:g} s for {what or predicate}")
        time.sleep(interval_s)
