"""Where images come from: embedded digits, public data sets, or the user's own.

`open_source` is the way in; it returns one split, already limited to the subset the config asks
for. Which images are train and which are val is fixed by the source, never by the run's seed.
`docs/data.md` says what each source expects on disk.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from deit_core.config import DataConfig
from deit_core.data.sources.arrays import open_digits, open_fashion_mnist
from deit_core.data.sources.base import ImageSource, Split, UnreadableImageError
from deit_core.data.sources.cifar import open_cifar10, open_cifar100
from deit_core.data.sources.folder import open_image_folder
from deit_core.data.sources.huggingface import open_huggingface
from deit_core.data.sources.imagenet import open_imagenet
from deit_core.data.sources.inaturalist import open_inaturalist
from deit_core.data.sources.listed import open_flowers102, open_stanford_cars
from deit_core.data.sources.subset import SubsetSource, balanced_subset
from deit_core.data_layout import INATURALIST_YEARS, check_classes, given_root, source_folder
from deit_core.errors import DataError

__all__ = ["ImageSource", "Split", "UnreadableImageError", "open_source"]


def open_source(data: DataConfig, *, in_chans: int, split: Split) -> ImageSource:
    """Open one split of the config's source.

    Args:
        data: where the images are, and how many of them to keep.
        in_chans: 1 for grey images (mode "L"), 3 for colour (mode "RGB").
        split: which half.

    Raises:
        DataError: the source is missing, malformed, of one class only, or smaller than the subset
            asked for.
    """
    source = _open_whole(data, in_chans=in_chans, split=split)
    check_classes(data, len(source.class_names))
    _check_labels(source, data, split)
    limit = data.train_images if split == "train" else data.val_images
    if limit is None:
        return source
    kept = balanced_subset(source.labels, limit, seed=data.subset_seed, what=f"{split} images")
    return SubsetSource(source, kept)


def _check_labels(source: ImageSource, data: DataConfig, split: Split) -> None:
    if not len(source):
        raise DataError(f"data.source {data.source} in {data.root} has no {split} images; add some")
    valid = (source.labels >= 0) & (source.labels < len(source.class_names))
    if not valid.all():
        first = int(np.argmin(valid))
        raise DataError(
            f"{source.describe(first)} has the label {source.labels[first]}, but there are "
            f"{len(source.class_names)} classes, 0 to {len(source.class_names) - 1}; "
            f"correct or remove such images"
        )


def _open_whole(data: DataConfig, *, in_chans: int, split: Split) -> ImageSource:
    if data.source == "digits":
        return open_digits(split, in_chans=in_chans)
    if data.source == "fashion_mnist":
        return open_fashion_mnist(data.root, split, in_chans=in_chans)
    if data.source == "huggingface":
        return open_huggingface(data, split, in_chans=in_chans)
    if data.source in INATURALIST_YEARS:
        year, root = INATURALIST_YEARS[data.source], given_root(data)
        return open_inaturalist(root, year, split, category=data.category, in_chans=in_chans)
    if data.source in _OF_ROOT:
        return _OF_ROOT[data.source](given_root(data), split, in_chans=in_chans)
    return _OF_FOLDER[data.source](source_folder(data), split, in_chans=in_chans)


_OF_ROOT: dict[str, Callable[..., ImageSource]] = {
    "image_folder": open_image_folder,
    "imagenet": open_imagenet,
}
_OF_FOLDER: dict[str, Callable[..., ImageSource]] = {
    "cifar10": open_cifar10,
    "cifar100": open_cifar100,
    "flowers102": open_flowers102,
    "stanford_cars": open_stanford_cars,
}
"""Published sets, which have a folder where downloads are put."""
