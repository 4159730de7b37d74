"""Public data sets in the folders that torchvision's downloads make."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deit_core.errors import DataError


@dataclass(frozen=True)
class Published:
    """Where a published data set lies, and how to get it."""

    title: str
    folder: str
    """Name that torchvision gives its folder."""
    files: tuple[str, ...]
    """What must be in there."""
    how_to_get: str


def _by_download(name: str) -> str:
    return f"run `python -m deit_core.data.download {name}`"


_CIFAR_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
PUBLISHED = {
    "cifar10": Published(
        "CIFAR-10",
        "cifar-10-batches-py",
        (*_CIFAR_TRAIN, "test_batch", "batches.meta"),
        _by_download("cifar10"),
    ),
    "cifar100": Published(
        "CIFAR-100", "cifar-100-python", ("train", "test", "meta"), _by_download("cifar100")
    ),
    "flowers102": Published(
        "Flowers-102",
        "flowers-102",
        ("jpg", "imagelabels.mat", "setid.mat"),
        _by_download("flowers102"),
    ),
    "stanford_cars": Published(
        "Stanford Cars",
        "stanford_cars",
        ("cars_train", "cars_test", "devkit/cars_train_annos.mat", "devkit/cars_meta.mat"),
        "its authors' page is gone: get cars_train/, cars_test/, devkit/ and "
        "cars_test_annos_withlabels.mat from a mirror (pytorch/vision issue 7545 names some)",
    ),
}


def published_folder(source: str, places: Sequence[Path]) -> Path:
    """The folder with the files of a published data set: a place itself, or its subfolder.

    Raises:
        DataError: it is in none of the places, or a file in it is missing.
    """
    facts = PUBLISHED[source]
    for place in places:
        for folder in (place / facts.folder, place):
            missing = [name for name in facts.files if not os.path.exists(folder / name)]
            if not missing:
                return folder
            if len(missing) < len(facts.files):
                raise DataError(
                    f"{facts.title} in {folder} is incomplete, {missing[0]} is missing; "
                    f"{facts.how_to_get}"
                )
    raise DataError(
        f"{facts.title} is not in {' or '.join(map(str, places))}; {facts.how_to_get}, "
        f"and give as data.root the folder that holds {facts.folder}/"
    )


def cars_test_annotations(folder: Path) -> Path:
    """The labels of Stanford Cars' test images, which are no part of its devkit.

    Raises:
        DataError: the file is missing.
    """
    name = "cars_test_annos_withlabels.mat"
    for path in (folder / name, folder / "devkit" / name):  # torchvision's place; mirrors' place
        if path.is_file():
            return path
    raise DataError(
        f"Stanford Cars in {folder} is incomplete, {name} is missing; "
        f"{PUBLISHED['stanford_cars'].how_to_get}"
    )
