"""Get a public data set: `python -m deit_core.data.download fashion_mnist`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deit_core.data_layout import DOWNLOADS
from deit_core.errors import DataError, UserError


def download_fashion_mnist(root: Path) -> Path:
    """Download Fashion-MNIST through torchvision, where it is not there already.

    Returns:
        The folder with the four files, below `root`.

    Raises:
        DataError: no network, no permission, or a damaged download.
    """
    import deit_core.models.timm_import  # noqa: F401, I001 - torchvision may not import before it
    from torchvision.datasets import FashionMNIST

    try:
        return Path(FashionMNIST(str(root), download=True).raw_folder)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"Fashion-MNIST cannot be downloaded to {root} ({reason}); check the network and the "
            f"folder, or run `apt-get install dataset-fashion-mnist`"
        ) from None


def main() -> int:
    """Run the command; exit code 2 for what the user can mend."""
    parser = argparse.ArgumentParser(prog="python -m deit_core.data.download", description=__doc__)
    parser.add_argument("name", choices=["fashion_mnist"], help="which data set")
    help_root = f"folder to put it in; {DOWNLOADS}, where it is found by itself, by default"
    parser.add_argument("--root", type=Path, default=DOWNLOADS, help=help_root)
    arguments = parser.parse_args()
    try:
        folder = download_fashion_mnist(arguments.root)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    advice = "" if arguments.root == DOWNLOADS else f"; set data.root: {arguments.root}"
    sys.stdout.write(f"{arguments.name} is in {folder}{advice}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
