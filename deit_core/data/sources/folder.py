"""A folder of the user's own images: `train/<class>/...` and `val/<class>/...`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

from deit_core.data.sources.base import Labels, Split, digest
from deit_core.data.sources.decode import read_image
from deit_core.data_layout import cannot_list, class_folders, image_files, no_image


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
    names = class_folders(root)
    folder = Path(root) / split
    paths: list[str] = []
    counts: list[int] = []
    for name in names:
        try:
            found = sorted(image_files(folder, name))
        except OSError as error:
            raise cannot_list(error) from None
        if not found:
            raise no_image(folder / name)
        paths += found
        counts.append(len(found))
    labels = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    return FolderSource(folder, paths, labels, class_names=names, in_chans=in_chans)
