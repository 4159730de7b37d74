"""One iteration of each quantity, on a model that can leave the device for another's turn.

Shape suffixes: B batch, C image channels, S image side, L classes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from deit_core.bench.memory import empty_cache
from deit_core.data.loader import TrainBatch
from deit_core.distill.teacher import Teacher
from deit_core.train.learner import AutocastFactory, Learner

Loader = Callable[[int, int], Generator[TrainBatch, None, None]]
"""(batch size, first step) -> batches without end, as training gets them."""


class Work(Protocol):
    """A model that does one quantity's iterations.

    In turn: `to_device`, `load`, any number of `step`s, `unload`, `to_host`.
    """

    device: torch.device
    threads: int
    lead_in: int
    """Untimed iterations before each block, for what lay in caches or queues."""

    def to_device(self) -> None:
        """Bring the models back."""

    def to_host(self) -> None:
        """Leave the device to other models."""

    def load(self, batch_size: int) -> None:
        """Get ready for batches of a size."""

    def step(self) -> None:
        """One iteration; on a GPU it may return before the work is done."""

    def unload(self) -> None:
        """Let go of what `load` made."""


class InferenceWork:
    """Forward passes in eval mode on one batch that stays on the device.

    Args:
        model: on the device; put into eval mode here.
        image_shape: C, S, S.
        autocast: makes a context for forward passes.
        threads: CPU threads.
    """

    lead_in = 1

    def __init__(
        self,
        model: nn.Module,
        image_shape: tuple[int, int, int],
        autocast: AutocastFactory,
        threads: int,
    ) -> None:
        self.model = model.eval()
        self.device = next(model.parameters()).device
        self.threads = threads
        self._image_shape = image_shape
        self._autocast = autocast
        self._images_BCSS: Tensor | None = None

    def to_device(self) -> None:
        """Bring the model back."""
        _move([self.model], self.device)

    def to_host(self) -> None:
        """Park the model in main memory."""
        _park([self.model], self.device)

    def load(self, batch_size: int) -> None:
        """Make the images."""
        self._images_BCSS = torch.randn(batch_size, *self._image_shape, device=self.device)

    def step(self) -> None:
        """One forward pass."""
        with torch.inference_mode(), self._autocast():
            self.model(self._images_BCSS)

    def unload(self) -> None:
        """Drop the images."""
        self._images_BCSS = None


class TrainingWork:
    """Optimiser steps, with the teacher's forward pass, on one batch that stays on the device.

    Args:
        learner: what training itself uses; a batch is one forward pass here, never cut in parts.
        teacher: answers for every batch, where the learner's task asks for it.
        shape: C, S, L.
        autocast: makes a context for forward passes.
        threads: CPU threads.
    """

    lead_in = 1

    def __init__(
        self,
        learner: Learner,
        teacher: Teacher | None,
        shape: tuple[int, int, int],
        autocast: AutocastFactory,
        threads: int,
    ) -> None:
        self._learner = dataclasses.replace(learner, micro_batch_size=None)
        self._teacher = teacher if learner.task.needs_teacher else None
        self.device = next(learner.model.parameters()).device
        self.threads = threads
        self._shape = shape
        self._autocast = autocast
        self._batch: TrainBatch | None = None
        self._number = 0

    @property
    def student(self) -> nn.Module:
        """The model that learns."""
        return self._learner.model

    def to_device(self) -> None:
        """Bring student, EMA, optimiser state and teacher back."""
        _move(self._modules(), self.device)
        _move_optimizer(self._learner.optimizer, self.device)

    def to_host(self) -> None:
        """Park them in main memory."""
        self._learner.optimizer.zero_grad(set_to_none=True)
        _move_optimizer(self._learner.optimizer, torch.device("cpu"))
        _park(self._modules(), self.device)

    def load(self, batch_size: int) -> None:
        """Make images and soft labels."""
        self._resize(batch_size)
        channels, side, classes = self._shape
        images_BCSS = torch.randn(batch_size, channels, side, side, device=self.device)
        targets_BL = torch.rand(batch_size, classes, device=self.device).softmax(-1)
        rows_B = np.arange(batch_size)
        self._batch = TrainBatch(images_BCSS, targets_BL, targets_BL.argmax(-1), rows_B, ())

    def _resize(self, batch_size: int) -> None:
        """Have masks drawn for this batch, of which training has just one size."""
        self._learner = dataclasses.replace(self._learner, global_batch_size=batch_size)

    def step(self) -> None:
        """One optimiser step on the resident batch."""
        assert self._batch is not None
        self._train(self._batch)

    def _train(self, batch: TrainBatch) -> None:
        logits = None
        if self._teacher is not None:
            with self._autocast():
                logits = self._teacher(batch.images)
        self._learner.step(self._number, batch, logits, self._autocast)
        self._number += 1

    def unload(self) -> None:
        """Drop the batch, and the gradients."""
        self._batch = None
        self._learner.optimizer.zero_grad(set_to_none=True)

    def _modules(self) -> list[nn.Module]:
        ema, teacher = self._learner.ema, self._teacher
        parts = [self._learner.model, ema and ema.model, teacher and teacher.model]
        return [part for part in parts if isinstance(part, nn.Module)]


class LoadedTrainingWork(TrainingWork):
    """The same, fed by the data loader.

    A loader works ahead while its model waits for its turn, so it is opened anew for each turn, and
    what its processes had time to prepare is used up untimed. Call `feed_from` first.
    """

    _loader: Loader | None = None
    _batches: Generator[TrainBatch, None, None] | None = None

    def feed_from(self, loader: Loader, workers: int) -> None:
        """Say where batches come from, and how many processes make them."""
        self._loader = loader
        self.lead_in = 1 + 2 * workers  # torch's loader holds two batches for each process

    def load(self, batch_size: int) -> None:
        """Open the loader."""
        assert self._loader is not None
        self._resize(batch_size)
        self._batches = self._loader(batch_size, self._number)

    def step(self) -> None:
        """One optimiser step on the next batch."""
        assert self._batches is not None
        self._train(next(self._batches))

    def unload(self) -> None:
        """Close the loader."""
        super().unload()
        if self._batches is not None:
            self._batches.close()
            self._batches = None


def _park(modules: list[nn.Module], device: torch.device) -> None:
    if device.type != "cpu":
        _move(modules, torch.device("cpu"))
        empty_cache(device)


def _move(modules: list[nn.Module], device: torch.device) -> None:
    """Move weights and buffers; the tensors stay the same objects, as an EMA holds them by hand."""
    for module in modules:
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.data = tensor.data.to(device)


def _move_optimizer(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """The fused optimisers keep even their step count on the device."""
    for state in optimizer.state.values():
        for value in state.values():
            if isinstance(value, Tensor):
                value.data = value.data.to(device)
