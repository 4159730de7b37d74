"""Image files, each with a label: of a folder of the user's own, or of a published list."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

from deit_core.data.sources.base import Labels, Split, digest
from deit_core.data.sources.decode import read_image
from deit_core.errors import DataError
from deit_core.layouts.image_folder import class_folders, list_files


class FolderSource:
    """The images of one split, decoded when asked for.

    Args:
        folder: the split's folder.
        paths: image files relative to `folder`.
        labels: class of each file, shape (N,).
        class_names: name of each class.
        in_chans: 1 reads grey images, 3 reads colour.
    """

    in_memory = False

    def __init__(
        self,
        folder: Path,
        paths: list[str],
        labels: Labels,
        *,
        class_names: tuple[str, ...],
        in_chans: int,
    ) -> None:
        self._folder = folder
        # One flat array: a list of a million strings would be copied, page by page, into every
        # forked loader process as reference counts are touched.
        self._paths = np.array([os.fsencode(path) for path in paths])
        self._mode = "L" if in_chans == 1 else "RGB"
        self.labels = labels
        self.class_names = class_names

    def __len__(self) -> int:
        return len(self._paths)

    def image(self, index: int) -> Image.Image:
        """See `ImageSource.image`."""
        return read_image(self.describe(index), self._mode)

    def describe(self, index: int) -> str:
        """The path of the image."""
        return os.path.join(self._folder, os.fsdecode(bytes(self._paths[index])))

    def fingerprint(self) -> str:
        """Over the names of all files; their contents are not read."""
        return digest(self.class_names, self.labels.tobytes(), self._paths.tobytes())


def open_image_folder(root: str, split: Split, *, in_chans: int) -> FolderSource:
    """List the images of one split, sorted by class and path.

    Raises:
        DataError: root, train/ or val/ is missing or may not be read, the two name different
            classes, or a class is without images.
    """
    return open_classes(Path(root) / split, class_folders(root), in_chans=in_chans)


def open_classes(folder: Path, names: tuple[str, ...], *, in_chans: int) -> FolderSource:
    """The images of class folders; the place of a class in `names` is its label.

    Raises:
        DataError: a class is without images, or may not be read.
    """
    found = [list_files(folder, name) for name in names]
    labels = np.repeat(np.arange(len(names), dtype=np.int64), [len(files) for files in found])
    paths = [path for files in found for path in files]
    return FolderSource(folder, paths, labels, class_names=names, in_chans=in_chans)


def check_unpacked(source: FolderSource, how_to_get: str) -> None:
    """Whether the images of a published list are there, judged by the first.

    Raises:
        DataError: it is missing.
    """
    if len(source) and not os.path.exists(source.describe(0)):
        raise DataError(f"the image {source.describe(0)} is missing; {how_to_get}")
