"""Training losses, collected on the device and read only when a row is due."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from deit_core.errors import DivergedError


@dataclass
class Mean:
    """A running mean in double precision, exact across restarts."""

    total: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        """Count one value."""
        self.total += value
        self.count += 1

    def take(self) -> float | None:
        """The mean since the last take, or None if nothing was added."""
        mean = self.total / self.count if self.count else None
        self.total, self.count = 0.0, 0
        return mean


@dataclass
class LossMeter:
    """Mean loss since the last log row and since the last evaluation.

    Reading a scalar stalls a GPU, so losses wait in `_pending` until `settle`.
    """

    since_log: Mean = field(default_factory=Mean)
    since_eval: Mean = field(default_factory=Mean)
    _pending: list[tuple[int, Tensor]] = field(default_factory=list)

    def add(self, step: int, loss: Tensor) -> None:
        """Take the loss of `step` without reading it."""
        self._pending.append((step, loss))

    def settle(self, mean: Callable[[Tensor], Tensor]) -> None:
        """Read the pending losses.

        Args:
            mean: over the processes of the job, of a tensor that each has.

        Raises:
            DivergedError: one is NaN or infinite; names the first such step.
        """
        pending, self._pending = self._pending, []
        if not pending:
            return
        values = mean(torch.stack([loss for _, loss in pending])).tolist()
        for (step, _), value in zip(pending, values, strict=True):
            if not math.isfinite(value):
                raise DivergedError(f"the training loss became {value} at step {step}")
            self.since_log.add(value)
            self.since_eval.add(value)

    def state(self) -> list[float]:
        """Plain numbers for a checkpoint; call after `settle`."""
        log, evaluation = self.since_log, self.since_eval
        return [log.total, log.count, evaluation.total, evaluation.count]

    def load(self, state: list[float]) -> None:
        """Restore `state`."""
        self.since_log = Mean(state[0], int(state[1]))
        self.since_eval = Mean(state[2], int(state[3]))
