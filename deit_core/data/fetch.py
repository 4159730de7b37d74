"""Undecoded to decoded: the part of a batch that loader processes make, as uint8.

A fetcher maps the number of a batch to its images. It is a pure function of that number, so it does
not matter which process calls it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from deit_core.config import RunConfig
from deit_core.data.augment import TrainAugment
from deit_core.data.geometry import Pixels, eval_pixels
from deit_core.data.shard import Rows
from deit_core.data.sources import ImageSource, UnreadableImageError
from deit_core.data.stream import TrainStream
from deit_core.errors import DataError

CACHE_LIMIT_BYTES = 256 * 2**20
"""Prepared images of an in-memory source, and whole val sets, are kept up to this size."""


class RawBatch(NamedTuple):
    """A batch before normalisation."""

    images: Tensor
    """Shape (B, C, S, S), uint8."""
    labels: Tensor
    """Shape (B,), int64."""
    indices: Tensor
    """Number of each image in its source, shape (B,), int64."""
    unreadable: tuple[str, ...]
    """Files that were met and are broken."""

    def in_own_memory(self) -> RawBatch:
        """A copy to keep: what loader processes send lies in shared memory, which may be small."""
        copies = {name: getattr(self, name).clone() for name in ("images", "labels", "indices")}
        return self._replace(**copies)


class TrainFetcher:
    """The augmented images of a global step; a broken file gives way to the next readable one."""

    def __init__(
        self,
        source: ImageSource,
        stream: TrainStream,
        augment: TrainAugment,
        rows: Rows | None = None,
    ) -> None:
        self._source = source
        self._stream = stream
        self._rows = rows
        self._augment = augment
        self._prepared: dict[int, Image.Image | Pixels] = {}
        self._keep_prepared = _prepared_bytes(source, augment) <= CACHE_LIMIT_BYTES

    def __getitem__(self, global_step: int) -> RawBatch:
        """Make the batch of one step."""
        pixels: list[Pixels] = []
        indices: list[int] = []
        unreadable: list[str] = []
        for ref in self._stream.sample_refs(global_step, self._rows):
            index, prepared = self._readable(ref.index, unreadable)
            pixels.append(self._augment(prepared, ref))
            indices.append(index)
        return _raw_batch(np.stack(pixels), self._source, indices, unreadable)

    def _readable(self, index: int, unreadable: list[str]) -> tuple[int, Image.Image | Pixels]:
        """The image at `index`, or the first readable one after it, and its index."""
        for offset in range(len(self._source)):
            candidate = (index + offset) % len(self._source)
            try:
                return candidate, self._prepare(candidate)
            except UnreadableImageError as error:
                unreadable.append(error.name)
        raise DataError(
            f"none of the {len(self._source)} training images can be read, "
            f"{unreadable[0]} among them; check the files under data.root"
        )

    def _prepare(self, index: int) -> Image.Image | Pixels:
        prepared = self._prepared.get(index)
        if prepared is None:
            prepared = self._augment.prepare(self._source.image(index))
            if not self._keep_prepared:  # but the last: repeats of an image lie side by side
                self._prepared.clear()
            self._prepared[index] = prepared
        return prepared


class EvalFetcher:
    """Batch k of val, in order; broken files are left out, the last batch is smaller."""

    def __init__(self, source: ImageSource, config: RunConfig) -> None:
        assert config.model.img_size is not None
        assert config.model.in_chans is not None
        self._source = source
        self._batch_size = config.eval.batch_size
        self._shape = (config.model.img_size, config.model.img_size, config.model.in_chans)
        assert config.eval.crop_ratio is not None
        self._crop_ratio = config.eval.crop_ratio

    @property
    def nbytes(self) -> int:
        """Size of all batches together."""
        return len(self._source) * math.prod(self._shape)

    def __len__(self) -> int:
        return math.ceil(len(self._source) / self._batch_size)

    def empty(self) -> RawBatch:
        """A batch without images."""
        return _raw_batch(np.empty((0, *self._shape), dtype=np.uint8), self._source, [], [])

    def __getitem__(self, number: int) -> RawBatch:
        """Make batch `number`."""
        first = number * self._batch_size
        pixels: list[Pixels] = []
        indices: list[int] = []
        unreadable: list[str] = []
        for index in range(first, min(first + self._batch_size, len(self._source))):
            try:
                image = self._source.image(index)
            except UnreadableImageError as error:
                unreadable.append(error.name)
                continue
            pixels.append(eval_pixels(image, self._shape[0], self._crop_ratio))
            indices.append(index)
        stacked = np.stack(pixels) if pixels else np.empty((0, *self._shape), dtype=np.uint8)
        return _raw_batch(stacked, self._source, indices, unreadable)


def _raw_batch(
    pixels: npt.NDArray[np.uint8], source: ImageSource, indices: list[int], unreadable: list[str]
) -> RawBatch:
    """Channels first, as tensors; `pixels` has shape (B, S, S, C)."""
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    numbers = np.array(indices, dtype=np.int64)
    labels = torch.from_numpy(source.labels[numbers].astype(np.int64))
    return RawBatch(images, labels, torch.from_numpy(numbers), tuple(unreadable))


def _prepared_bytes(source: ImageSource, augment: TrainAugment) -> float:
    """What keeping every prepared image would take; infinite where it would not save work."""
    side = augment.prepared_side
    if side is None or not source.in_memory:
        return float("inf")
    return len(source) * side * side * 3
