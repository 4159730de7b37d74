"""CIFAR-10 and CIFAR-100 from their published files, which are pickles.

They are read by an unpickler that knows arrays and nothing else, so a file with code in it is
refused. torchvision's class is not used: it unpickles whatever has the right checksum, and holds
the images twice while it loads.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deit_core.data.sources.arrays import ArraySource
from deit_core.data.sources.base import Labels, Split
from deit_core.errors import DataError
from deit_core.layouts.published import PUBLISHED

SIDE = 32
"""Images are of 32x32 pixels, stored as 3072 bytes: all of red, of green, of blue, by rows."""

_FILES: dict[str, dict[Split, tuple[str, ...]]] = {
    "cifar10": {
        "train": tuple(f"data_batch_{number}" for number in range(1, 6)),
        "val": ("test_batch",),
    },
    "cifar100": {"train": ("train",), "val": ("test",)},
}
_META = {"cifar10": ("batches.meta", "label_names"), "cifar100": ("meta", "fine_label_names")}
_LABELS = {"cifar10": "labels", "cifar100": "fine_labels"}


def _latin1(text: str, encoding: str) -> bytes:
    """`_codecs.encode` as pickles of protocol 2 use it for bytes, and for nothing else."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"the codec {encoding} is not allowed")
    return text.encode(encoding)


_RECONSTRUCT: Callable[..., Any] = np.empty(0).__reduce__()[0]  # type: ignore[assignment]
_FROM_BUFFER: Callable[..., Any] = np.empty(0).__reduce_ex__(5)[0]  # type: ignore[assignment]
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin1,
} | {
    # under NumPy 1, which wrote the published files, and NumPy 2
    (f"numpy.{core}.{module}", function.__name__): function
    for core in ("core", "_core")
    for module, function in (("multiarray", _RECONSTRUCT), ("numeric", _FROM_BUFFER))
}


class _ArraysOnly(pickle.Unpickler):
    """Builds arrays, lists, dicts, numbers and text; every other class or function is refused."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed") from None


def open_cifar10(folder: Path, split: Split, *, in_chans: int) -> ArraySource:
    """Read one split into memory: 50,000 train or 10,000 val (test) images, 150 or 30 MB.

    Args:
        folder: of the published files.
        split: the published training or test files.
        in_chans: 1 makes them grey.

    Raises:
        DataError: a file is damaged, has code in it, or is none of CIFAR's.
    """
    return _open("cifar10", folder, split, in_chans)


def open_cifar100(folder: Path, split: Split, *, in_chans: int) -> ArraySource:
    """As `open_cifar10`, with the 100 fine labels."""
    return _open("cifar100", folder, split, in_chans)


def _open(source: str, folder: Path, split: Split, in_chans: int) -> ArraySource:
    files = _FILES[source][split]
    images, labels = zip(*(_read_batch(folder / name, source) for name in files), strict=True)
    meta, key = _META[source]
    names = _read(folder / meta, source).get(key)
    if not isinstance(names, list):
        raise _damaged(folder / meta, source, f"it has no {key}")
    pixels = np.concatenate(images).reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return ArraySource(
        source if split == "train" else f"{source} val",
        np.ascontiguousarray(pixels),
        np.concatenate(labels),
        class_names=tuple(map(str, names)),
        in_chans=in_chans,
    )


def _read_batch(path: Path, source: str) -> tuple[npt.NDArray[np.uint8], Labels]:
    """Images, shape (N, 3072), and labels, shape (N,)."""
    batch = _read(path, source)
    data: Any = batch.get("data")
    labels: Any = batch.get(_LABELS[source])
    integers = isinstance(labels, list) and all(isinstance(label, int) for label in labels)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or not integers:
        raise _damaged(path, source, "it holds no images and labels")
    if data.shape != (len(labels), 3 * SIDE * SIDE):
        raise _damaged(path, source, f"{len(labels)} labels for data of shape {data.shape}")
    return data, np.array(labels, dtype=np.int64)


_UNPICKLING_ERRORS = (
    *(pickle.UnpicklingError, OSError, EOFError, ValueError, TypeError, KeyError, IndexError),
    *(AttributeError, MemoryError, OverflowError),
)
"""What a damaged pickle may raise (the documentation of pickle names most of these)."""


def _read(path: Path, source: str) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            content = _ArraysOnly(file, encoding="latin1").load()
    except _UNPICKLING_ERRORS as error:
        raise _damaged(path, source, str(error) or type(error).__name__) from None
    if not isinstance(content, dict):
        raise _damaged(path, source, "it holds no mapping")
    return content


def _damaged(path: Path, source: str, reason: str) -> DataError:
    facts = PUBLISHED[source]
    return DataError(
        f"{path} is no file of {facts.title} ({' '.join(reason.split())}); "
        f"delete it and {facts.how_to_get}"
    )
