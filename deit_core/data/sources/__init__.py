"""Where images come from: embedded digits, Fashion-MNIST, or a folder of the user's own.

`open_source` is the way in; it returns one split, already limited to the subset the config asks
for. Which images are train and which are val is fixed by the source, never by the run's seed.
"""

from __future__ import annotations

from typing import assert_never

from deit_core.config import DataConfig
from deit_core.data.sources.arrays import open_digits, open_fashion_mnist
from deit_core.data.sources.base import ImageSource, Split, UnreadableImageError
from deit_core.data.sources.folder import open_image_folder
from deit_core.data.sources.subset import SubsetSource, balanced_subset

__all__ = ["ImageSource", "Split", "UnreadableImageError", "open_source"]


def open_source(data: DataConfig, *, in_chans: int, split: Split) -> ImageSource:
    """Open one split of the config's source.

    Args:
        data: where the images are, and how many of them to keep.
        in_chans: 1 for grey images (mode "L"), 3 for colour (mode "RGB").
        split: which half.

    Raises:
        DataError: the source is missing, malformed, or smaller than the subset asked for.
    """
    source = _open_whole(data, in_chans=in_chans, split=split)
    limit = data.train_images if split == "train" else data.val_images
    if limit is None:
        return source
    kept = balanced_subset(source.labels, limit, seed=data.subset_seed, what=f"{split} images")
    return SubsetSource(source, kept)


def _open_whole(data: DataConfig, *, in_chans: int, split: Split) -> ImageSource:
    if data.source == "digits":
        return open_digits(split, in_chans=in_chans)
    if data.source == "fashion_mnist":
        return open_fashion_mnist(data.root, split, in_chans=in_chans)
    if data.source == "image_folder":
        assert data.root is not None, "config_checks asks for the root of an image folder"
        return open_image_folder(data.root, split, in_chans=in_chans)
    assert_never(data.source)
