"""What every image source offers."""

from __future__ import annotations

import hashlib
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from deit_core.errors import DataError
from deit_core.layouts.image_folder import Split

__all__ = ["ImageSource", "Labels", "Split", "UnreadableImageError", "digest"]

Labels = npt.NDArray[np.int64]


class UnreadableImageError(DataError):
    """One image file is broken; training replaces it, evaluation leaves it out."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.name} cannot be read as an image ({self.reason}); replace or remove it"


class ImageSource(Protocol):
    """A numbered, labelled set of images of one split."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class; a label is an index into it."""

    @property
    def labels(self) -> Labels:
        """Class of each image, shape (N,)."""

    @property
    def in_memory(self) -> bool:
        """Whether `image` is cheap, without a file or a decoder behind it."""

    def __len__(self) -> int: ...

    def image(self, index: int) -> Image.Image:
        """The image, in mode "L" for one channel and "RGB" for three.

        Raises:
            UnreadableImageError: the file behind it is broken.
        """

    def describe(self, index: int) -> str:
        """A name to show to the user: a path, or something like `digits[17]`."""

    def fingerprint(self) -> str:
        """Changes when images or classes are added, removed or renamed."""


def digest(*parts: bytes | tuple[str, ...]) -> str:
    """A short hash over arrays and names, for fingerprints."""
    hashed = hashlib.blake2b(digest_size=8)
    for part in parts:
        hashed.update(part if isinstance(part, bytes) else "\0".join(part).encode())
        hashed.update(b"\0\0")
    return hashed.hexdigest()
