"""Get a public data set: `python -m deit_core.data.download fashion_mnist --root DIR`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

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
        reason = str(error).splitlines()[0]
        raise DataError(
            f"Fashion-MNIST cannot be downloaded to {root} ({reason}); check the network and the "
            f"folder, or run `apt-get install dataset-fashion-mnist`"
        ) from None


def main() -> int:
    """Run the command; exit code 2 for what the user can mend."""
    parser = argparse.ArgumentParser(prog="python -m deit_core.data.download", description=__doc__)
    parser.add_argument("name", choices=["fashion_mnist"], help="which data set")
    parser.add_argument("--root", type=Path, required=True, help="folder to put it in")
    arguments = parser.parse_args()
    try:
        folder = download_fashion_mnist(arguments.root)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(f"{arguments.name} is in {folder}; set data.root: {arguments.root}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
