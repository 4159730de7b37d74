"""The replayable stream: which images a step sees, as a pure function of the step.

Steps count from 0 over the whole run. An epoch is a permutation of the images, each repeated
`repeats` times in a row (repeated augmentation), cut to about as many as there are images and then
into whole batches. The rest that fills no batch is dropped, and another rest the next epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from deit_core.config import RunConfig
from deit_core.data.rng import numpy_rng
from deit_core.errors import DataError

Order = Literal["keyed", "reference"]

REFERENCE_BLOCK = 256
"""The reference's repeated augmentation cuts an epoch to a multiple of this many images
(facebookresearch/deit, samplers.py)."""


@dataclass(frozen=True, slots=True)
class SampleRef:
    """One look at one image: all that its augmentation is keyed by, besides the seed."""

    index: int
    """Number of the image in its source."""
    epoch: int
    """Counts from 0."""
    view: int = 0
    """Which look at the same image in the same epoch."""


@dataclass(frozen=True)
class TrainStream:
    """The order in which training images are seen.

    Raises:
        DataError: one batch needs more images than an epoch has.
    """

    num_images: int
    batch_size: int
    """Images per step over all processes."""
    seed: int
    repeats: int = 1
    """Looks at each image of an epoch, side by side in the order."""
    order: Order = "keyed"
    """`keyed` by the seed; `reference`: the reference's, which is the same for every seed."""

    @classmethod
    def of(cls, config: RunConfig, num_images: int) -> TrainStream:
        """The stream of a run over so many training images."""
        return cls(
            num_images=num_images,
            batch_size=config.train.global_batch_size,
            seed=config.seed,
            repeats=config.augment.repeats,
            order=config.data.order,
        )

    def __post_init__(self) -> None:
        if self.batch_size > self.images_per_epoch:
            given = f"{self.num_images} training images"
            if self.images_per_epoch < self.num_images:
                given += f", of which data.order: reference takes {self.images_per_epoch} an epoch"
            raise DataError(
                f"a batch of {self.batch_size} cannot be filled from {given}; "
                f"set train.global_batch_size to at most {self.images_per_epoch}"
            )

    @property
    def images_per_epoch(self) -> int:
        """Looks at images in an epoch, before it is cut into whole batches."""
        if self.order == "reference" and self.repeats > 1:
            return _in_blocks(self.num_images)
        return self.num_images

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch."""
        return self.images_per_epoch // self.batch_size

    def sample_refs(
        self, global_step: int, rows: npt.NDArray[np.int64] | None = None
    ) -> list[SampleRef]:
        """The images of one step, or those of some rows of its batch.

        Args:
            global_step: counts from 0 over the whole run.
            rows: which rows of the batch of all processes (`deit_core.data.shard`); all when None.
        """
        epoch, step = divmod(global_step, self.steps_per_epoch)
        positions = np.arange(self.batch_size) if rows is None else rows
        places, views = np.divmod(positions + step * self.batch_size, self.repeats)
        indices = self._permutation(epoch)[places]
        return [
            SampleRef(index, epoch, view)
            for index, view in zip(indices.tolist(), views.tolist(), strict=True)
        ]

    def _permutation(self, epoch: int) -> npt.NDArray[np.int64]:
        if self.order == "reference":
            return _reference_permutation(self.num_images, epoch)
        return _keyed_permutation(self.num_images, self.seed, epoch)


def repeated_augmentation_indices(
    num_images: int, *, world: int, rank: int, epoch: int, repeats: int = 3, shuffle: bool = True
) -> npt.NDArray[np.int64]:
    """What the reference's repeated-augmentation sampler gives one process in one epoch.

    For whoever compares with a run of the reference, or feeds its loader; training itself uses
    `TrainStream`, whose batches in order `reference` are those of all processes together.

    The copies of an image lie side by side in the order of all processes and are dealt out in turn,
    so they go to different processes where there are enough. With fewer than 256 images the
    reference gives none (or fails an assertion); here each process gets its share of one epoch, as
    in timm's RepeatAugSampler.

    Args:
        num_images: size of the data set.
        world: number of processes.
        rank: of the process, from 0.
        epoch: seeds the permutation, alone.
        repeats: copies of each image.
        shuffle: false: the images in their own order.

    Returns:
        shape (n,), with n = num_images // 256 * 256 // world.

    Raises:
        DataError: no images, or a rank that is none of the world's.
    """
    if num_images < 1 or not 0 <= rank < world:
        raise DataError(
            f"{num_images} images for process {rank} of {world} are given; "
            f"valid: at least one image, and a rank from 0 to world - 1"
        )
    share = _in_blocks(num_images) // world
    if num_images < REFERENCE_BLOCK:
        share = -(-num_images // world)
    positions = np.arange(share) * world + rank
    places = positions % (num_images * repeats) // repeats
    return _reference_permutation(num_images, epoch)[places] if shuffle else places


def _in_blocks(num_images: int) -> int:
    """Images rounded down to whole blocks; all of a set that is smaller than one."""
    if num_images < REFERENCE_BLOCK:
        return num_images
    return num_images // REFERENCE_BLOCK * REFERENCE_BLOCK


@lru_cache(maxsize=2)
def _keyed_permutation(num_images: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    return numpy_rng(seed, "shuffle", epoch).permutation(num_images)


@lru_cache(maxsize=2)
def _reference_permutation(num_images: int, epoch: int) -> npt.NDArray[np.int64]:
    """Torch's permutation seeded with the epoch, as in torch's DistributedSampler at seed 0."""
    generator = torch.Generator().manual_seed(epoch)
    permutation: npt.NDArray[np.int64] = torch.randperm(num_images, generator=generator).numpy()
    return permutation
