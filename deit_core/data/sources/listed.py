"""Published sets whose labels are in MATLAB files: Flowers-102 and Stanford Cars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deit_core.data.sources.base import Split
from deit_core.data.sources.folder import FolderSource, check_unpacked
from deit_core.data.sources.matlab import read_mat
from deit_core.errors import DataError
from deit_core.layouts.published import PUBLISHED, cars_test_annotations

_FLOWERS_PARTS: dict[Split, tuple[str, ...]] = {"train": ("trnid", "valid"), "val": ("tstid",)}
"""The published train and validation images together are what DeiT is fine-tuned on (2,040)."""

FLOWERS_CLASSES = tuple(map(str, range(1, 103)))
"""The published files number the classes and do not name them."""


def open_flowers102(folder: Path, split: Split, *, in_chans: int) -> FolderSource:
    """Oxford Flowers-102: 2,040 train (its train and validation) and 6,149 val (its test) images.

    Args:
        folder: with jpg/, imagelabels.mat and setid.mat.
        split: which half.
        in_chans: 1 or 3.

    Raises:
        DataError: a file is damaged, or the images are not unpacked.
    """
    labels_file, parts_file = folder / "imagelabels.mat", folder / "setid.mat"
    labels, parts = _read_mat(labels_file, "flowers102"), _read_mat(parts_file, "flowers102")
    try:
        numbers = np.concatenate([_integers(parts[key]) for key in _FLOWERS_PARTS[split]])
        chosen = _integers(labels["labels"])[numbers - 1] - 1
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise _malformed(parts_file, "flowers102", error) from None
    source = FolderSource(
        folder / "jpg",
        [f"image_{number:05d}.jpg" for number in numbers.tolist()],
        chosen,
        class_names=FLOWERS_CLASSES,
        in_chans=in_chans,
    )
    check_unpacked(source, PUBLISHED["flowers102"].how_to_get)
    return source


def open_stanford_cars(folder: Path, split: Split, *, in_chans: int) -> FolderSource:
    """Stanford Cars: 8,144 train and 8,041 val (its test) images of 196 models.

    Args:
        folder: with cars_train/, cars_test/, devkit/ and cars_test_annos_withlabels.mat.
        split: which half.
        in_chans: 1 or 3.

    Raises:
        DataError: a file is missing or damaged, or the images are not unpacked.
    """
    devkit = folder / "devkit"
    path = devkit / "cars_train_annos.mat" if split == "train" else cars_test_annotations(folder)
    annotations = _read_mat(path, "stanford_cars")
    names = _read_mat(devkit / "cars_meta.mat", "stanford_cars")
    try:
        items = np.atleast_1d(annotations["annotations"])
        files = [str(name) for name in items["fname"]]
        labels = _integers(items["class"]) - 1
        class_names = tuple(map(str, np.atleast_1d(names["class_names"])))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise _malformed(path, "stanford_cars", error) from None
    images = folder / ("cars_train" if split == "train" else "cars_test")
    source = FolderSource(images, files, labels, class_names=class_names, in_chans=in_chans)
    check_unpacked(source, PUBLISHED["stanford_cars"].how_to_get)
    return source


def _read_mat(path: Path, source: str) -> dict[str, Any]:
    try:
        return read_mat(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _malformed(path, source, error) from None


def _integers(values: Any) -> npt.NDArray[np.int64]:
    return np.atleast_1d(values).astype(np.int64)


def _malformed(path: Path, source: str, error: Exception) -> DataError:
    facts = PUBLISHED[source]
    return DataError(
        f"{path} is not {facts.title}'s as published ({' '.join(str(error).split())}); "
        f"{facts.how_to_get}"
    )
