"""Where the files of a data set must lie, checked without reading an image. Torch-free.

The launcher asks before it starts anything, the job asks again: the folder may have changed.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from deit_core.config import DataConfig
from deit_core.errors import DataError
from deit_core.identity import KNOWN_SOURCES

DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts the four files."""

DOWNLOADS = Path("~/.cache/deit-sweeps").expanduser()
"""Where `python -m deit_core.data.download` puts a data set, and where it is looked for."""

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".tif", ".tiff")
"""File names that are taken for images, in any case; other files are passed over."""

Split = Literal["train", "val"]

KNOWN_SIZES: dict[str, dict[Split, int]] = {
    "digits": {"train": 1000, "val": 797},
    "fashion_mnist": {"train": 60_000, "val": 10_000},
}
"""Images of the sources that are the same everywhere."""

_LAYOUT = "an image folder holds train/<class>/*.jpg and val/<class>/*.jpg"
_SHOWN = 3


def count_classes(data: DataConfig) -> int:
    """The number of classes of a data set that is where the config says.

    Raises:
        DataError: it is not there, or its folders are not as they must be.
    """
    if data.source == "image_folder":
        assert data.root is not None, "config_checks asks for the root of an image folder"
        return len(class_folders(data.root))
    if data.source == "fashion_mnist":
        fashion_mnist_folder(data.root)
    return KNOWN_SOURCES[data.source].num_classes


def count_images(data: DataConfig, split: Split, *, enough: int) -> int:
    """The number of images of a split, before any subset; of a folder, `enough` stands for more.

    Counting stops there, so a large folder costs one look at each class.

    Raises:
        DataError: a folder is not as it must be, or a class is without images.
    """
    if data.source in KNOWN_SIZES:
        return KNOWN_SIZES[data.source][split]
    assert data.root is not None, "config_checks asks for the root of an image folder"
    folder = Path(data.root) / split
    count = 0
    for name in class_folders(data.root):
        wanted = max(1, enough - count)
        try:
            found = sum(1 for _ in itertools.islice(image_files(folder, name), wanted))
        except OSError as error:
            raise cannot_list(error) from None
        if not found:
            raise no_image(folder / name)
        count += found
    return min(count, enough)


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


def fashion_mnist_folder(root: str | None) -> Path:
    """The folder of the four Fashion-MNIST files.

    Raises:
        DataError: they are neither under `root` nor, without one, where they are usually put.
    """
    places = [Path(root)] if root else [DEBIAN_FASHION_MNIST, DOWNLOADS]
    for place in places:
        for folder in (place, place / "FashionMNIST" / "raw"):
            if (folder / "train-images-idx3-ubyte.gz").is_file():
                return folder
    raise DataError(
        f"Fashion-MNIST is not in {' or '.join(map(str, places))}; "
        f"run `apt-get install dataset-fashion-mnist`, or "
        f"`python -m deit_core.data.download fashion_mnist`, and leave data.root out"
    )


def class_folders(root: str) -> tuple[str, ...]:
    """Names of the class folders, the same under train/ and val/, sorted.

    Raises:
        DataError: root, train/ or val/ is missing or may not be read, or the two differ.
    """
    try:
        names = {name: _class_names(folder) for name, folder in _split_folders(Path(root)).items()}
    except OSError as error:
        raise cannot_list(error) from None
    _check_same_classes(root, names["train"], names["val"])
    return tuple(names["train"])


def cannot_list(error: OSError) -> DataError:
    """What to tell the user about a folder that cannot be listed."""
    return DataError(
        f"{error.filename} cannot be listed ({error.strerror}); "
        f"make it readable, or give another data.root"
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
