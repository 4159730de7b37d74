"""Seconds that work takes on a device, synchronised once for all of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import torch

MIN_S = 1e-9
"""What a block took at least: a clock that stands still must not make a speed infinite."""


class DeviceClock(Protocol):
    """Times work on one device."""

    def now_s(self) -> float:
        """Seconds since any moment, on this computer's clock."""

    def synchronise(self) -> None:
        """Wait for the device."""

    def time_s(self, step: Callable[[], None], iterations: int) -> float:
        """Seconds that so many steps take, the device idle before and after."""


class CpuClock:
    """A step has ended when its call returns."""

    def now_s(self) -> float:
        """`time.perf_counter`."""
        return time.perf_counter()

    def synchronise(self) -> None:
        """Nothing runs behind the back of a CPU."""

    def time_s(self, step: Callable[[], None], iterations: int) -> float:
        """Wall seconds."""
        start = time.perf_counter()
        for _ in range(iterations):
            step()
        return max(MIN_S, time.perf_counter() - start)


class CudaClock:
    """Times with CUDA events, which the GPU itself stamps."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def now_s(self) -> float:
        """`time.perf_counter`; call `synchronise` first to include the device's work."""
        return time.perf_counter()

    def synchronise(self) -> None:
        """Wait for all work of the device."""
        torch.cuda.synchronize(self._device)

    def time_s(self, step: Callable[[], None], iterations: int) -> float:
        """Seconds between two events around the steps; one synchronisation at each end."""
        with torch.cuda.device(self._device):
            start, end = _event(), _event()
            self.synchronise()
            start.record()
            for _ in range(iterations):
                step()
            end.record()
            end.synchronize()
            elapsed_ms: float = start.elapsed_time(end)
        return max(MIN_S, elapsed_ms / 1000)


def _event() -> Any:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def clock_of(device: torch.device) -> DeviceClock:
    """The clock that fits the device."""
    return CudaClock(device) if device.type == "cuda" else CpuClock()
