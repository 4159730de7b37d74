"""ImageNet (ILSVRC 2012): class folders, or val images in one folder with the development kit."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

from deit_core.errors import DataError
from deit_core.layouts.image_folder import (
    Split,
    cannot_list,
    class_folders,
    class_names,
    count_files,
    split_folders,
)

DEVKIT = "ILSVRC2012_devkit_t12"
"""Folder of the development kit; the published file is the same name with .tar.gz."""

META_BIN = "meta.bin"
"""What torchvision's ImageNet makes of the development kit."""

HOW_TO_GET = (
    "get ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz from "
    "image-net.org (with an account) and unpack them: train/<wnid>/*.JPEG, and val/<wnid>/*.JPEG "
    "or val/*.JPEG beside the devkit"
)

IMAGENET_CLASSES = 1000

_V2_URL = "https://github.com/modestyachts/ImageNetV2"
_VAL_NAME = re.compile(r"ILSVRC2012_val_(\d{8})\.jpe?g", re.IGNORECASE)


def val_number(name: str) -> int | None:
    """17 for a file `ILSVRC2012_val_00000017.JPEG` in any folder; None for another name."""
    found = _VAL_NAME.fullmatch(os.path.basename(name))
    return int(found[1]) if found else None


def has_flat_val(root: str) -> bool:
    """Whether the val images lie in one folder, not in class folders.

    Raises:
        DataError: root, train/ or val/ is missing or may not be read.
    """
    try:
        val = split_folders(root)[1]
    except DataError as error:
        raise DataError(f"{str(error).partition(';')[0]}; {HOW_TO_GET}") from None
    return next(_flat_val_files(val), None) is not None


def flat_val_files(root: str) -> list[str]:
    """Names of the images in a flat val/, in order of their number. Raises DataError."""
    return sorted(_flat_val_files(Path(root) / "val"))


def _flat_val_files(val: Path) -> Iterator[str]:
    try:
        with os.scandir(val) as entries:
            yield from (entry.name for entry in entries if val_number(entry.name) is not None)
    except OSError as error:
        raise cannot_list(error) from None


def wnids(root: str) -> tuple[str, ...]:
    """The class folders, sorted: the label order of torchvision and the reference.

    Raises:
        DataError: folders are missing, or val is flat and there is no development kit.
    """
    if not has_flat_val(root):
        return class_folders(root)
    devkit(root)
    return tuple(class_names(Path(root) / "train"))


def devkit(root: str) -> Path:
    """The development kit beside a flat val/: its folder, its archive, or torchvision's extract.

    Raises:
        DataError: there is none.
    """
    for name in (DEVKIT, f"{DEVKIT}.tar.gz", META_BIN):
        path = Path(root) / name
        if path.exists():
            return path
    raise DataError(
        f"{root}/val holds images without class folders, and {root} no {DEVKIT}/, "
        f"{DEVKIT}.tar.gz or {META_BIN} to say their classes; put the development kit there"
    )


def count_images(root: str, split: Split, *, enough: int) -> int:
    """The number of images of a split, or `enough` where there are more. Raises DataError."""
    names = wnids(root)
    if split == "val" and has_flat_val(root):
        return sum(1 for _ in itertools.islice(_flat_val_files(Path(root) / "val"), enough))
    return count_files(Path(root) / split, names, enough=enough)


def v2_classes(path: str, num_classes: int) -> list[str]:
    """The class folders of ImageNet-V2, in order of the labels they are named by.

    Args:
        path: folder of the class folders "0" to "999".
        num_classes: of the model that is evaluated.

    Raises:
        DataError: the folder is missing, or has other folders or more classes.
    """
    if not os.path.isdir(path):
        raise DataError(f"eval.imagenet_v2: {path} is no folder; get one from {_V2_URL}")
    names = class_names(Path(path))
    wrong = [name for name in names if not (name.isascii() and name.isdigit())]
    if wrong:
        raise DataError(
            f"eval.imagenet_v2: {path} has the folder {wrong[0]}; valid: 0 to 999, the number of "
            f"the class; get one from {_V2_URL}"
        )
    names.sort(key=int)
    if int(names[-1]) >= num_classes:
        raise DataError(
            f"eval.imagenet_v2: {path} has class {names[-1]}, but the model {num_classes} classes; "
            f"use it with all of ImageNet's {IMAGENET_CLASSES}"
        )
    return names
