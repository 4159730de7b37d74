"""The device, on which one model at a time does its work."""

from __future__ import annotations

from collections.abc import Callable

import torch

from deit_core.bench.device_clock import DeviceClock, clock_of
from deit_core.bench.memory import empty_cache
from deit_core.bench.work import Work


class Stage:
    """Lets works take turns.

    Args:
        clock_for: the clock of a device.
    """

    def __init__(self, clock_for: Callable[[torch.device], DeviceClock] = clock_of) -> None:
        self._clock_for = clock_for
        self._present: Work | None = None
        self._batch_size: int | None = None

    def enter(self, work: Work, batch_size: int) -> DeviceClock:
        """Have this work ready for this batch size; whatever else was here has left.

        Returns:
            the clock of its device.

        Raises:
            RuntimeError: it does not fit (`is_out_of_memory`); the stage is then empty.
        """
        if self._present is not work:
            self.clear()
            torch.set_num_threads(work.threads)
            self._present = work  # already, so that what does not fit is taken off again
            work.to_device()
        if self._batch_size != batch_size:
            self._unload()
            work.load(batch_size)
            self._batch_size = batch_size
        return self._clock_for(work.device)

    def clear(self) -> None:
        """Send whoever is here away."""
        if self._present is None:
            return
        self._unload()
        work, self._present = self._present, None
        work.to_host()

    def _unload(self) -> None:
        assert self._present is not None
        if self._batch_size is not None:
            self._batch_size = None
            self._present.unload()
            empty_cache(self._present.device)
