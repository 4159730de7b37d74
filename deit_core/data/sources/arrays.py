"""Sources that fit in memory, as one array: scikit-learn's digits and Fashion-MNIST."""

from __future__ import annotations

import gzip
import importlib.util
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from deit_core.data.sources.base import Labels, Split, digest
from deit_core.data.sources.subset import balanced_subset
from deit_core.data_layout import fashion_mnist_folder
from deit_core.errors import DataError

DIGITS_TRAIN_POOL = 1000
"""Training images of `digits`; the other 797 of its 1,797 are val."""

FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
"""In label order (arXiv 1708.07747, table 2)."""

_FASHION_PREFIX: dict[Split, str] = {"train": "train", "val": "t10k"}


class ArraySource:
    """Grey or colour images held as one array.

    Args:
        name: what `describe` calls the source.
        images: grey values, shape (N, H, W), or colours, shape (N, H, W, 3), uint8.
        labels: classes, shape (N,).
        class_names: name of each class.
        in_chans: 3 repeats a grey value in three channels; 1 makes colours grey.
    """

    in_memory = True

    def __init__(
        self,
        name: str,
        images: npt.NDArray[np.uint8],
        labels: Labels,
        *,
        class_names: tuple[str, ...],
        in_chans: int,
    ) -> None:
        self._name = name
        self._images = images
        self._mode = "L" if in_chans == 1 else "RGB"
        self.labels = labels
        self.class_names = class_names

    def __len__(self) -> int:
        return len(self._images)

    def image(self, index: int) -> Image.Image:
        """See `ImageSource.image`."""
        image = Image.fromarray(self._images[index])
        return image if image.mode == self._mode else image.convert(self._mode)

    def describe(self, index: int) -> str:
        """Such as `digits[17]`."""
        return f"{self._name}[{index}]"

    def fingerprint(self) -> str:
        """Over every pixel."""
        return digest(self.class_names, self.labels.tobytes(), self._images.tobytes())


def open_digits(split: Split, *, in_chans: int) -> ArraySource:
    """scikit-learn's 1,797 handwritten digits of 8x8 pixels, which need no download.

    scikit-learn defines no split; this one is fixed: 100 images of each digit to train on, the
    other 797 for val.
    """
    pixels, labels = read_digits()
    grey = np.round(pixels * (255 / 16)).astype(np.uint8)  # they are drawn in 0..16
    train = balanced_subset(labels, DIGITS_TRAIN_POOL, seed=0, what="digits")
    kept = train if split == "train" else np.setdiff1d(np.arange(len(labels)), train)
    return ArraySource(
        "digits" if split == "train" else "digits val",
        grey[kept],
        labels[kept],
        class_names=tuple(map(str, range(10))),
        in_chans=in_chans,
    )


def read_digits() -> tuple[npt.NDArray[np.float64], Labels]:
    """The file of `sklearn.datasets.load_digits`: images (1797, 8, 8) in 0..16, and labels.

    Read without importing scikit-learn, which takes a second of every job's start.

    Raises:
        DataError: scikit-learn is not installed, or has no such file any more.
    """
    spec = importlib.util.find_spec("sklearn")
    folder = Path(spec.origin).parent if spec and spec.origin else Path("sklearn")
    path = folder / "datasets" / "data" / "digits.csv.gz"
    try:
        table = np.loadtxt(path, delimiter=",")
    except OSError as error:
        raise DataError(
            f"the digits of scikit-learn cannot be read ({error}); install scikit-learn"
        ) from None
    return table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(np.int64)


def open_fashion_mnist(root: str | None, split: Split, *, in_chans: int) -> ArraySource:
    """Fashion-MNIST from its published files: 60,000 train and 10,000 val images of 28x28.

    Args:
        root: folder of the files or of torchvision's download; Debian's package otherwise.
        split: the published training or test files.
        in_chans: 1 or 3.

    Raises:
        DataError: the files are in none of the known places, or damaged.
    """
    folder = fashion_mnist_folder(root)
    prefix = _FASHION_PREFIX[split]
    images = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz", dimensions=3)
    labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", dimensions=1)
    if len(images) != len(labels):
        raise DataError(
            f"{folder} has {len(images)} {prefix} images but {len(labels)} labels; "
            f"get the files again"
        )
    return ArraySource(
        "fashion_mnist" if split == "train" else "fashion_mnist val",
        images,
        labels.astype(np.int64),
        class_names=FASHION_CLASSES,
        in_chans=in_chans,
    )


def read_idx(path: Path, *, dimensions: int) -> npt.NDArray[np.uint8]:
    """Read a gzipped idx file of bytes (the format of MNIST: magic, big-endian sizes, data).

    Raises:
        DataError: the file is missing, damaged, or of another kind.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise DataError(f"{path} cannot be read ({error}); get the file again") from None
    header = 4 * (1 + dimensions)
    shape = tuple(np.frombuffer(content[4:header], dtype=">u4").tolist())
    if content[:4] != bytes((0, 0, 8, dimensions)) or len(content) != header + math.prod(shape):
        raise DataError(f"{path} is no idx file of {dimensions} dimensions; get the file again")
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)
