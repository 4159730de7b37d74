"""Batches as the trainer and the evaluation want them: normalised, mixed, on the device."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import Tensor

from deit_core.config import RunConfig
from deit_core.data.augment import TrainAugment
from deit_core.data.erasing import erase_batch
from deit_core.data.fetch import CACHE_LIMIT_BYTES, EvalFetcher, RawBatch, TrainFetcher
from deit_core.data.mixing import draw_mix, mix_images, mix_targets, mixes, rows_of
from deit_core.data.shard import WHOLE, Rows, Shard
from deit_core.data.sources import ImageSource
from deit_core.data.stream import TrainStream
from deit_core.data.workers import default_workers, fetch_all
from deit_core.errors import DataError


@dataclass(frozen=True)
class TrainBatch:
    """One training step's data."""

    images: Tensor
    """Normalised and mixed, shape (B, C, S, S), float32, on the device."""
    targets: Tensor
    """Soft labels, shape (B, classes), float32, on the device."""
    labels: Tensor
    """Each image's own class before mixing, shape (B,), int64, on the device."""
    rows: Rows
    """Position of each image in the batch of all processes, shape (B,)."""
    unreadable: tuple[str, ...]
    """Broken files that were met and replaced by the next readable image."""


@dataclass(frozen=True)
class EvalBatch:
    """Some images of val."""

    images: Tensor
    """Normalised, shape (B, C, S, S), float32, on the device; B may be 0 where no file is whole."""
    labels: Tensor
    """Shape (B,), int64, on the device."""
    indices: Tensor
    """Number of each image in val, shape (B,), int64, on the CPU."""
    unreadable: tuple[str, ...]
    """Broken files that were left out."""


def train_batches(  # noqa: PLR0913 - by name, but for the source
    source: ImageSource,
    config: RunConfig,
    *,
    num_classes: int,
    first_step: int,
    last_step: int,
    device: torch.device,
    shard: Shard = WHOLE,
) -> Generator[TrainBatch, None, None]:
    """The batches of global steps first_step .. last_step - 1.

    A batch is a function of the config and its step alone: it is the same from whichever step one
    starts, and with any number of loader processes.

    Args:
        source: the training split.
        config: resolved.
        num_classes: width of the targets.
        first_step: counts from 0 over the whole run.
        last_step: one after the last.
        device: where the tensors are wanted.
        shard: which process asks; it is given its rows of each batch.

    Raises:
        DataError: more classes than `num_classes`, fewer images than a batch, or none readable.
    """
    if len(source.class_names) > num_classes:
        raise DataError(
            f"the data has {len(source.class_names)} classes, the model {num_classes}; "
            f"set model.num_classes to {len(source.class_names)}, or leave it out"
        )
    stream = TrainStream.of(config, len(source))
    normalise = Normalise(config, device)
    rows = shard.rows(config.train.global_batch_size, paired=mixes(config.augment))
    fetcher = TrainFetcher(source, stream, TrainAugment(config), rows)
    steps = range(first_step, last_step)
    with closing(_fetch(fetcher, steps, source, config, device)) as raw_batches:
        for step, raw in zip(steps, raw_batches, strict=True):
            images = normalise(raw.images)
            erase_batch(
                images,
                stream.sample_refs(step, rows),
                seed=config.seed,
                probability=config.augment.erasing_probability or 0.0,
            )
            yield _mixed(images, raw, rows, config, num_classes=num_classes, step=step)


def _mixed(
    images: Tensor, raw: RawBatch, rows: Rows, config: RunConfig, *, num_classes: int, step: int
) -> TrainBatch:
    batch = (config.train.global_batch_size, images.shape[2], images.shape[3])
    mix = rows_of(draw_mix(config.augment, batch, seed=config.seed, global_step=step), rows)
    labels = raw.labels.to(images.device, non_blocking=True)
    smoothing = config.augment.label_smoothing
    assert smoothing is not None
    targets = mix_targets(labels, mix, num_classes=num_classes, smoothing=smoothing)
    return TrainBatch(mix_images(images, mix), targets, labels, rows, tuple(raw.unreadable))


class EvalLoader:
    """The batches of val in order; iterate as often as needed. The last batch is smaller.

    A set of up to 256 MiB of pixels is decoded once and kept. Of several processes each is given
    every so manieth batch; all are given equally many, the last of which may be empty.

    Args:
        source: the val split.
        config: resolved.
        device: where the tensors are wanted.
        shard: which process asks.

    Raises:
        DataError: from an iteration in which no image could be read; of several processes, none
            can tell alone (`deit_core.train.evaluate` does).
    """

    def __init__(
        self,
        source: ImageSource,
        config: RunConfig,
        *,
        device: torch.device,
        shard: Shard = WHOLE,
    ) -> None:
        self._source = source
        self._config = config
        self._device = device
        self._normalise = Normalise(config, device)
        self._fetcher = EvalFetcher(source, config)
        self._alone = shard.world == 1
        self._numbers = range(shard.rank, len(self._fetcher), shard.world)
        self._rounds = math.ceil(len(self._fetcher) / shard.world)
        self._keep = self._fetcher.nbytes <= CACHE_LIMIT_BYTES
        self._kept: list[RawBatch] = []

    def __len__(self) -> int:
        return self._rounds

    def __iter__(self) -> Iterator[EvalBatch]:
        yield from self._own_batches()
        if len(self._numbers) < self._rounds:
            yield self._finished(self._fetcher.empty())

    def _own_batches(self) -> Iterator[EvalBatch]:
        if len(self._kept) == len(self._numbers):
            yield from map(self._finished, self._kept)
            return
        self._kept.clear()
        readable = 0
        with closing(self._fetch()) as raw_batches:
            for raw in raw_batches:
                readable += len(raw.labels)
                if self._keep:
                    self._kept.append(raw.in_own_memory())
                yield self._finished(raw)
        if self._alone and not readable:
            raise DataError(
                f"none of the {len(self._source)} val images can be read, "
                f"{self._source.describe(0)} among them; check the files under data.root"
            )

    def _fetch(self) -> Generator[RawBatch, None, None]:
        return _fetch(self._fetcher, self._numbers, self._source, self._config, self._device)

    def _finished(self, raw: RawBatch) -> EvalBatch:
        labels = raw.labels.to(self._device, non_blocking=True)
        images = self._normalise(raw.images)
        return EvalBatch(images, labels, raw.indices, tuple(raw.unreadable))


class Normalise:
    """From uint8 pixels to float32 of about zero mean and unit deviation, on the device.

    Raises:
        DataError: the config's mean or std has not one value for each channel.
    """

    def __init__(self, config: RunConfig, device: torch.device) -> None:
        self._device = device
        self._mean = self._per_channel("mean", config)
        self._std = self._per_channel("std", config)

    def _per_channel(self, name: str, config: RunConfig) -> Tensor:
        values = getattr(config.data, name)
        if len(values) != config.model.in_chans:
            raise DataError(
                f"data.{name} has {len(values)} values, but images have {config.model.in_chans} "
                f"channels; give one value per channel, or leave it out"
            )
        return torch.tensor(values, dtype=torch.float32, device=self._device).view(1, -1, 1, 1)

    def __call__(self, images: Tensor) -> Tensor:
        """Normalise images of shape (B, C, S, S)."""
        on_device = images.to(self._device, non_blocking=True)
        return on_device.float().div_(255).sub_(self._mean).div_(self._std)


def _fetch(
    fetcher: TrainFetcher | EvalFetcher,
    numbers: range,
    source: ImageSource,
    config: RunConfig,
    device: torch.device,
) -> Generator[RawBatch, None, None]:
    workers = config.data.workers
    if workers is None:
        assert config.model.img_size is not None
        workers = default_workers(in_memory=source.in_memory, img_size=config.model.img_size)
    return fetch_all(fetcher, numbers, workers=workers, pin_memory=device.type == "cuda")
