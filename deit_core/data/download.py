"""Get a public data set: `python -m deit_core.data.download cifar10`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deit_core.data_layout import DOWNLOADS
from deit_core.errors import DataError, UserError
from deit_core.layouts import imagenet, inaturalist
from deit_core.layouts.published import PUBLISHED

TORCHVISION = {
    "fashion_mnist": ("FashionMNIST", "FashionMNIST/raw"),
    "cifar10": ("CIFAR10", PUBLISHED["cifar10"].folder),
    "cifar100": ("CIFAR100", PUBLISHED["cifar100"].folder),
    "flowers102": ("Flowers102", PUBLISHED["flowers102"].folder),
}
"""What torchvision downloads: its class, and the folder it makes."""

BY_HAND = {
    "stanford_cars": PUBLISHED["stanford_cars"].how_to_get,
    "imagenet": imagenet.HOW_TO_GET,
    "inaturalist_2018": inaturalist.HOW_TO_GET,
    "inaturalist_2019": inaturalist.HOW_TO_GET,
}
"""What has no address to download from without an account or a choice, and the steps to take."""


def download(name: str, root: Path) -> Path:
    """Download a data set through torchvision, where it is not there already.

    Args:
        name: one of TORCHVISION.
        root: folder to put it in.

    Returns:
        The folder with its files, below `root`.

    Raises:
        DataError: no network, no permission, a damaged download, or a set to be got by hand.
    """
    if name in BY_HAND:
        raise DataError(f"{name} cannot be downloaded by a program: {BY_HAND[name]}")
    import deit_core.models.timm_import  # noqa: F401, I001 - torchvision may not import before it
    from torchvision import datasets

    class_name, folder = TORCHVISION[name]
    try:
        getattr(datasets, class_name)(str(root), download=True)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        otherwise = ", or run `apt-get install dataset-fashion-mnist`" if "mnist" in name else ""
        title = "Fashion-MNIST" if name == "fashion_mnist" else PUBLISHED[name].title
        raise DataError(
            f"{title} cannot be downloaded to {root} ({reason}); check the network and the "
            f"folder{otherwise}"
        ) from None
    return root / folder


def main() -> int:
    """Run the command; exit code 2 for what the user can mend."""
    parser = argparse.ArgumentParser(prog="python -m deit_core.data.download", description=__doc__)
    names = [*TORCHVISION, *BY_HAND]
    parser.add_argument("name", choices=names, help="which data set; of some, says how to get it")
    help_root = f"folder to put it in; {DOWNLOADS}, where it is found by itself, by default"
    parser.add_argument("--root", type=Path, default=DOWNLOADS, help=help_root)
    arguments = parser.parse_args()
    try:
        folder = download(arguments.name, arguments.root)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    advice = "" if arguments.root == DOWNLOADS else f"; set data.root: {arguments.root}"
    sys.stdout.write(f"{arguments.name} is in {folder}{advice}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
