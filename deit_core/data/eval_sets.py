"""Further evaluation sets for ImageNet models: ReaL labels and ImageNet-V2.

ReaL ("Are we done with ImageNet?", arXiv 2006.07159) gives the val images new labels: any number of
valid ones each; a prediction is correct if it is among them, and images without one are left out.
ImageNet-V2 (arXiv 1902.10811) is a new val set of 10,000 images in the folders 0 to 999.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from deit_core.data.sources.base import ImageSource
from deit_core.data.sources.folder import FolderSource
from deit_core.errors import DataError
from deit_core.layouts.image_folder import list_files
from deit_core.layouts.imagenet import IMAGENET_CLASSES, v2_classes, val_number

_NO_LABEL = -1
_REAL_URL = "https://github.com/google-research/reassessed-imagenet"


class RealHits(NamedTuple):
    """Of some predictions; sums over batches and processes give the whole."""

    hits: int
    """Predictions that are among the image's labels."""
    counted: int
    """Images that have a label at all."""


@dataclass(frozen=True)
class RealLabels:
    """The valid labels of each image of a source."""

    labels: npt.NDArray[np.int64]
    """Shape (N, K), filled up with -1."""

    def matches(
        self, predictions: Tensor | npt.NDArray[np.int64], indices: Tensor | npt.NDArray[np.int64]
    ) -> RealHits:
        """How many predictions are right.

        Args:
            predictions: the most likely class of each image, shape (B,).
            indices: numbers of these images in the source, shape (B,).
        """
        valid = self.labels[_array(indices)]
        labelled = valid != _NO_LABEL
        hits = (labelled & (valid == _array(predictions)[:, None])).any(axis=1)
        return RealHits(int(hits.sum()), int(labelled.any(axis=1).sum()))


def _array(values: Tensor | npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    array = values.cpu().numpy() if isinstance(values, Tensor) else values
    return np.asarray(array, dtype=np.int64)


def load_real_labels(path: str, source: ImageSource) -> RealLabels:
    """The ReaL labels of a source's images, which are found by their published file names.

    Args:
        path: `real.json`, a list with the valid labels of each val image, by number.
        source: ImageNet's val images, or part of them, in any layout that keeps the names
            `ILSVRC2012_val_<number>.JPEG`.

    Raises:
        DataError: the file is missing or of another kind, a name has no number or none that the
            file knows, or the labels are of more classes than the source has.
    """
    by_number = _read_real(path)
    chosen = []
    for index in range(len(source)):
        number = val_number(source.describe(index))
        if number is None or not 1 <= number <= len(by_number):
            raise DataError(
                f"eval.real_labels: {source.describe(index)} is none of the {len(by_number)} "
                f"images of {path}; they must be named ILSVRC2012_val_<8 digits>.JPEG"
            )
        chosen.append(by_number[number - 1])
    widths = np.array([len(labels) for labels in chosen])
    if not widths.any():
        raise DataError(f"eval.real_labels: {path} has no label for any of the images of val")
    table = np.full((len(chosen), max(1, widths.max(initial=0))), _NO_LABEL, dtype=np.int64)
    table[np.arange(table.shape[1]) < widths[:, None]] = [x for labels in chosen for x in labels]
    if table.max() >= len(source.class_names):
        raise DataError(
            f"eval.real_labels: {path} names class {table.max()}, but the data has "
            f"{len(source.class_names)} classes; use it with all of ImageNet's 1000"
        )
    return RealLabels(table)


def _read_real(path: str) -> list[list[int]]:
    try:
        content = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise DataError(
            f"eval.real_labels: {path} cannot be read ({error.strerror}); get real.json from "
            f"{_REAL_URL}"
        ) from None
    except ValueError:
        raise _no_real(path) from None
    if not isinstance(content, list) or not all(map(_is_label_list, content)):
        raise _no_real(path)
    return content


def _is_label_list(item: object) -> bool:
    return isinstance(item, list) and all(type(label) is int and label >= 0 for label in item)


def _no_real(path: str) -> DataError:
    return DataError(
        f"eval.real_labels: {path} is no list of lists of labels; get real.json from {_REAL_URL}"
    )


def open_imagenet_v2(path: str, in_chans: int, num_classes: int = IMAGENET_CLASSES) -> FolderSource:
    """ImageNet-V2, whose class folders are named by label: "10" is class 10, not the third.

    Args:
        path: folder of the class folders.
        in_chans: 1 or 3.
        num_classes: of the model that is evaluated.

    Returns:
        The images in order of their class, with `num_classes` class names.

    Raises:
        DataError: the folder is missing, or has other folders or more classes.
    """
    names = v2_classes(path, num_classes)
    files = [list_files(Path(path), name) for name in names]
    return FolderSource(
        Path(path),
        [file for some in files for file in some],
        np.repeat(np.array([int(name) for name in names]), [len(some) for some in files]),
        class_names=tuple(map(str, range(num_classes))),
        in_chans=in_chans,
    )
