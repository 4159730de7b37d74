"""iNaturalist 2018 and 2019, from the competition's own files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from deit_core.data.sources.base import Split
from deit_core.data.sources.folder import FolderSource, check_unpacked
from deit_core.layouts import inaturalist


def open_inaturalist(
    root: str, year: int, split: Split, *, category: str, in_chans: int
) -> FolderSource:
    """List one split in the order of its JSON file.

    Images lie where they are published (`train_val2018/Aves/2860/...`), or where the reference
    looks for them, without the group of species (`train_val2018/2860/...`).

    Args:
        root: folder of train<year>.json, val<year>.json, categories.json and the images.
        year: 2018 or 2019.
        split: which half.
        category: the level of the taxonomy that makes the classes.
        in_chans: 1 or 3.

    Raises:
        DataError: a file is missing or malformed, or the images are not unpacked.
    """
    files, labels, names = inaturalist.read_images(root, year, split, category)
    if files and not os.path.exists(os.path.join(root, files[0])):
        shorter = inaturalist.without_group(files[0])
        if os.path.exists(os.path.join(root, shorter)):
            files = [inaturalist.without_group(file) for file in files]
    source = FolderSource(
        Path(root), files, np.array(labels, dtype=np.int64), class_names=names, in_chans=in_chans
    )
    check_unpacked(source, inaturalist.HOW_TO_GET)
    return source
