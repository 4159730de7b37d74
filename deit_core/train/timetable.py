"""When a student logs, evaluates and saves, in optimiser steps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timetable:
    """The steps of one run."""

    total_steps: int
    steps_per_epoch: int
    log_every: int
    eval_every: int
    save_every: int
    save_every_s: float

    def log_due(self, step: int) -> bool:
        """Whether a training row follows `step` finished steps."""
        return step % self.log_every == 0

    def eval_due(self, step: int) -> bool:
        """Whether an evaluation follows `step` finished steps; the last one always has one."""
        return step % self.eval_every == 0 or step == self.total_steps

    def save_due(self, step: int) -> bool:
        """Whether a checkpoint follows `step` finished steps, however long ago the last one was."""
        return step % self.save_every == 0 or step == self.total_steps
