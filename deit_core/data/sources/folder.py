"""A folder of the user's own images: `train/<class>/...` and `val/<class>/...`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from deit_core.data.sources.base import Labels, Split
from deit_core.data.sources.decode import read_image
from deit_core.errors import DataError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".tif", ".tiff")
"""File names that are taken for images, in any case; other files are passed over."""

_LAYOUT = "an image folder holds train/<class>/*.jpg and val/<class>/*.jpg"
_SHOWN = 3


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


def open_image_folder(root: str, split: Split, *, in_chans: int) -> FolderSource:
    """List the images of one split, sorted by class and path.

    Raises:
        DataError: root, train/ or val/ is missing or may not be read, the two name different
            classes, or a class is without images.
    """
    folders = _split_folders(Path(root))
    try:
        names = {name: _class_names(folder) for name, folder in folders.items()}
        _check_same_classes(root, names["train"], names["val"])
        paths: list[str] = []
        counts: list[int] = []
        for name in names[split]:
            found = sorted(_image_files(folders[split], name))
            if not found:
                raise DataError(
                    f"the class folder {folders[split] / name} holds no image "
                    f"({', '.join(IMAGE_SUFFIXES)}); add images, or remove the class"
                )
            paths += found
            counts.append(len(found))
    except OSError as error:
        raise DataError(
            f"{error.filename} cannot be listed ({error.strerror}); "
            f"make it readable, or give another data.root"
        ) from None
    labels = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    return FolderSource(
        folders[split], paths, labels, class_names=tuple(names[split]), in_chans=in_chans
    )


def _split_folders(root: Path) -> dict[str, Path]:
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise DataError(f"data.root {root} {what}; {_LAYOUT}")
    folders = {name: root / name for name in ("train", "val")}
    missing = [f"{name}/" for name, folder in folders.items() if not folder.is_dir()]
    if missing:
        raise DataError(f"data.root {root} has no {' and no '.join(missing)}; {_LAYOUT}")
    return folders


def _class_names(folder: Path) -> list[str]:
    """Names of the class folders, sorted; hidden ones are nobody's class."""
    with os.scandir(folder) as entries:
        names = sorted(
            entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()
        )
    if not names:
        raise DataError(f"{folder} holds no class folder; {_LAYOUT}")
    return names


def _check_same_classes(root: str, train: list[str], val: list[str]) -> None:
    differences = [
        f"{_shortened(sorted(set(one) - set(other)))} only in {where}/"
        for where, one, other in (("train", train, val), ("val", val, train))
        if set(one) - set(other)
    ]
    if differences:
        raise DataError(
            f"the class folders of {root} differ between train/ and val/: "
            f"{', '.join(differences)}; both need the same classes"
        )


def _shortened(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _image_files(folder: Path, relative: str) -> Iterator[str]:
    """Image files anywhere under a folder, relative to the split's folder."""
    with os.scandir(folder / relative) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = f"{relative}/{entry.name}"
            if entry.name.lower().endswith(IMAGE_SUFFIXES):
                yield path
            elif entry.is_dir():
                yield from _image_files(folder, path)
