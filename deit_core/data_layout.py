"""Where the files of a data set must lie, checked without reading an image. Torch-free.

The launcher asks before it starts anything, the job asks again: the folder may have changed.
"""

from __future__ import annotations

from pathlib import Path

from deit_core.config import DataConfig
from deit_core.errors import DataError
from deit_core.identity import KNOWN_SOURCES
from deit_core.layouts import imagenet, inaturalist
from deit_core.layouts.huggingface import find_hub_data, hub_class_names, hub_errors
from deit_core.layouts.image_folder import Split, class_folders, count_files
from deit_core.layouts.published import PUBLISHED, cars_test_annotations, published_folder

__all__ = ["Split", "check_classes", "count_classes", "count_images", "source_folder"]

DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts the four files."""

DOWNLOADS = Path("~/.cache/deit-sweeps").expanduser()
"""Where `python -m deit_core.data.download` puts a data set, and where it is looked for."""

KNOWN_SIZES: dict[str, dict[Split, int]] = {
    "digits": {"train": 1000, "val": 797},
    "fashion_mnist": {"train": 60_000, "val": 10_000},
    "cifar10": {"train": 50_000, "val": 10_000},
    "cifar100": {"train": 50_000, "val": 10_000},
    "flowers102": {"train": 2040, "val": 6149},
    "stanford_cars": {"train": 8144, "val": 8041},
}
"""Images of the sources that are the same everywhere (arXiv 2012.12877, table 6, for most)."""

INATURALIST_YEARS = {"inaturalist_2018": 2018, "inaturalist_2019": 2019}


def count_classes(data: DataConfig) -> int:
    """The number of classes of a data set that is where the config says.

    Raises:
        DataError: it is not there, its files are not as they must be, or it has one class only.
    """
    found = _count_classes(data)
    check_classes(data, found)
    return found


def check_classes(data: DataConfig, found: int) -> None:
    """Refuse data that nothing can be learnt from.

    Raises:
        DataError: fewer than two classes.
    """
    if found < 2:
        raise DataError(
            f"data.source {data.source} in {data.root} has {found} "
            f"{'class' if found == 1 else 'classes'}; a classifier needs at least two"
        )


def _count_classes(data: DataConfig) -> int:
    if data.source in INATURALIST_YEARS:
        year = INATURALIST_YEARS[data.source]
        return len(inaturalist.read_classes(given_root(data), year, data.category))
    if data.source == "imagenet":
        return len(imagenet.wnids(given_root(data)))
    if data.source == "image_folder":
        return len(class_folders(given_root(data)))
    if data.source == "huggingface":
        return len(hub_class_names(find_hub_data(given_root(data)), data))
    if data.source != "digits":
        source_folder(data)
    return KNOWN_SOURCES[data.source].num_classes


def count_images(data: DataConfig, split: Split, *, enough: int) -> int:
    """The number of images of a split, before any subset; of a folder, `enough` stands for more.

    Counting stops there, so a large folder costs one look at each class.

    Raises:
        DataError: a folder is not as it must be, or a class is without images.
    """
    if data.source in KNOWN_SIZES:
        return KNOWN_SIZES[data.source][split]
    root = given_root(data)
    if data.source in INATURALIST_YEARS:
        return inaturalist.count_images(root, INATURALIST_YEARS[data.source], split)
    if data.source == "imagenet":
        return imagenet.count_images(root, split, enough=enough)
    if data.source == "huggingface":
        hub = find_hub_data(root)
        with hub_errors(root):
            return hub.count(split)
    return count_files(Path(root) / split, class_folders(root), enough=enough)


def given_root(data: DataConfig) -> str:
    """The root of a source that cannot do without."""
    assert data.root is not None, "config_checks asks for the root"
    return data.root


def source_folder(data: DataConfig) -> Path:
    """The folder of a published data set, under `data.root` or where downloads are put.

    Raises:
        DataError: it is not there, or a file is missing.
    """
    if data.source == "fashion_mnist":
        return fashion_mnist_folder(data.root)
    assert data.source in PUBLISHED
    folder = published_folder(data.source, [Path(data.root)] if data.root else [DOWNLOADS])
    if data.source == "stanford_cars":
        cars_test_annotations(folder)
    return folder


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
