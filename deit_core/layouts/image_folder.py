"""A folder with `train/<class>/...` and `val/<class>/...`."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from deit_core.errors import DataError

Split = Literal["train", "val"]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".tif", ".tiff")
"""File names that are taken for images, in any case; other files are passed over."""

_LAYOUT = "an image folder holds train/<class>/*.jpg and val/<class>/*.jpg"
_SHOWN = 3


def class_folders(root: str) -> tuple[str, ...]:
    """Names of the class folders, the same under train/ and val/, sorted.

    Raises:
        DataError: root, train/ or val/ is missing or may not be read, or the two differ.
    """
    train, val = split_folders(root)
    names = class_names(train)
    _check_same_classes(root, names, class_names(val))
    return tuple(names)


def split_folders(root: str) -> tuple[Path, Path]:
    """The folders train/ and val/ of root.

    Raises:
        DataError: root or one of the two is missing, or root may not be read.
    """
    folders = [Path(root) / name for name in ("train", "val")]
    try:
        if not Path(root).is_dir():
            what = "is not a folder" if Path(root).exists() else "does not exist"
            raise DataError(f"data.root {root} {what}; {_LAYOUT}")
        missing = [f"{folder.name}/" for folder in folders if not folder.is_dir()]
    except OSError as error:
        raise cannot_list(error) from None
    if missing:
        raise DataError(f"data.root {root} has no {' and no '.join(missing)}; {_LAYOUT}")
    return folders[0], folders[1]


def class_names(folder: Path) -> list[str]:
    """Names of the class folders in one split, sorted; hidden ones are nobody's class.

    Raises:
        DataError: there are none, or the folder may not be read.
    """
    try:
        with os.scandir(folder) as entries:
            names = sorted(
                entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()
            )
    except OSError as error:
        raise cannot_list(error) from None
    if not names:
        raise DataError(f"{folder} holds no class folder; {_LAYOUT}")
    return names


def count_files(folder: Path, classes: tuple[str, ...], *, enough: int) -> int:
    """The number of images of a split; counting stops at `enough`, with one look at each class.

    Raises:
        DataError: a class is without images, or may not be read.
    """
    count = 0
    for name in classes:
        wanted = max(1, enough - count)
        try:
            found = sum(1 for _ in itertools.islice(image_files(folder, name), wanted))
        except OSError as error:
            raise cannot_list(error) from None
        if not found:
            raise no_image(folder / name)
        count += found
    return min(count, enough)


def list_files(folder: Path, name: str) -> list[str]:
    """All images of a class relative to `folder`, sorted.

    Raises:
        DataError: there are none, or they may not be listed.
    """
    try:
        found = sorted(image_files(folder, name))
    except OSError as error:
        raise cannot_list(error) from None
    if not found:
        raise no_image(folder / name)
    return found


def image_files(folder: Path, relative: str) -> Iterator[str]:
    """Image files anywhere under `folder / relative`, relative to `folder`. Raises OSError."""
    with os.scandir(folder / relative) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = f"{relative}/{entry.name}"
            if entry.name.lower().endswith(IMAGE_SUFFIXES):
                yield path
            elif entry.is_dir():
                yield from image_files(folder, path)


def no_image(folder: Path) -> DataError:
    """What to tell the user about an empty class."""
    return DataError(
        f"the class folder {folder} holds no image "
        f"({', '.join(IMAGE_SUFFIXES)}); add images, or remove the class"
    )


def cannot_list(error: OSError) -> DataError:
    """What to tell the user about a folder that cannot be listed."""
    return DataError(
        f"{error.filename} cannot be listed ({error.strerror}); "
        f"make it readable, or give another data.root"
    )


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
