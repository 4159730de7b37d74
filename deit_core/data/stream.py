"""The replayable stream: which images a step sees, as a pure function of the step.

Steps count from 0 over the whole run. An epoch is a permutation keyed by (seed, epoch), cut into
batches; the rest that fills no batch is dropped, and another rest the next epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from deit_core.data.rng import numpy_rng
from deit_core.errors import DataError


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
        DataError: one batch needs more images than there are.
    """

    num_images: int
    batch_size: int
    """Images per step over all processes."""
    seed: int

    def __post_init__(self) -> None:
        if self.batch_size > self.num_images:
            raise DataError(
                f"a batch of {self.batch_size} cannot be filled from {self.num_images} training "
                f"images; set train.global_batch_size to at most {self.num_images}"
            )

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch."""
        return self.num_images // self.batch_size

    def sample_refs(
        self, global_step: int, rows: npt.NDArray[np.int64] | None = None
    ) -> list[SampleRef]:
        """The images of one step, or those of some rows of its batch.

        Args:
            global_step: counts from 0 over the whole run.
            rows: which rows of the batch of all processes (`deit_core.data.shard`); all when None.
        """
        epoch, step = divmod(global_step, self.steps_per_epoch)
        order = _permutation(self.num_images, self.seed, epoch)
        start = step * self.batch_size
        batch = order[start : start + self.batch_size]
        chosen = batch if rows is None else batch[rows]
        return [SampleRef(index, epoch) for index in chosen.tolist()]


@lru_cache(maxsize=2)
def _permutation(num_images: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    return numpy_rng(seed, "shuffle", epoch).permutation(num_images)
