"""Part of a source, balanced over its classes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from deit_core.data.rng import numpy_rng
from deit_core.data.sources.base import ImageSource, Labels, digest
from deit_core.errors import DataError


def balanced_subset(labels: Labels, count: int, *, seed: int, what: str) -> npt.NDArray[np.int64]:
    """Choose `count` images, as equal over the classes as their sizes allow.

    Each class is put in a keyed order; the subset is filled with the first of every class, then the
    second, and so on. So a smaller subset is part of every larger one of the same seed, and two
    classes differ by more than one image only where one of them has no more to give.

    Args:
        labels: class of each image, shape (N,).
        count: how many to keep.
        seed: chooses which.
        what: the images' name in the error message, such as "train images".

    Returns:
        The chosen indices in ascending order, shape (count,).

    Raises:
        DataError: fewer than `count` images.
    """
    if count > len(labels):
        raise DataError(
            f"{count} {what} are asked for, but there are only {len(labels)}; "
            f"ask for at most {len(labels)}"
        )
    shuffled = numpy_rng(seed, "subset").permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    sizes = np.bincount(labels)
    place_in_class = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    class_order = numpy_rng(seed, "subset classes").permutation(len(sizes))
    chosen = np.lexsort((class_order[labels[by_class]], place_in_class))[:count]
    return np.sort(by_class[chosen]).astype(np.int64)


class SubsetSource:
    """The chosen images of another source, renumbered from 0."""

    def __init__(self, source: ImageSource, indices: npt.NDArray[np.int64]) -> None:
        self._source = source
        self._indices = indices
        self.labels: Labels = source.labels[indices]
        self.class_names = source.class_names
        self.in_memory = source.in_memory

    def __len__(self) -> int:
        return len(self._indices)

    def image(self, index: int) -> Image.Image:
        """See `ImageSource.image`."""
        return self._source.image(int(self._indices[index]))

    def describe(self, index: int) -> str:
        """The image's name in the whole source."""
        return self._source.describe(int(self._indices[index]))

    def fingerprint(self) -> str:
        """See `ImageSource.fingerprint`."""
        return digest(self._source.fingerprint().encode(), self._indices.tobytes())
