"""CIFAR-10 and CIFAR-100 from their published files, which are pickles.

They are read by an unpickler that knows arrays of bytes and nothing else, so a file with code in it
is refused. Not even NumPy's own classes are handed to a file: a dtype of objects over raw bytes is
an array of pointers that the file chose. torchvision's class is not used: it unpickles whatever has
the right checksum, and holds the images twice while it loads.
"""

from __future__ import annotations

import pickle
import pickletools
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal

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


_BYTE = ("u1", "|u1")
_MAX_TUPLES = 100
"""Of a file with one array, which has ten. Python overruns its stack on hashing a tuple that is
nested ten thousand times deep."""


class _Function:
    """What a pickle may call; a bare function would let it set attributes."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setstate__(self, _state: Any) -> None:
        raise pickle.UnpicklingError("a function has no state")


class _Dtype:
    """Stands for `numpy.dtype`: the name of the type alone."""

    __slots__ = ("code",)

    def __init__(self, code: Any, *_flags: Any) -> None:
        self.code = code

    def __setstate__(self, _state: Any) -> None:
        """Byte order, fields, alignment: a byte has none."""


class _Array:
    """Stands for `numpy.ndarray`: what was stored, as it was stored."""

    __slots__ = ("data", "dtype", "order", "shape")

    def __init__(
        self, data: Any = b"", dtype: Any = None, shape: Any = (), order: Any = "C"
    ) -> None:
        self.data, self.dtype, self.shape, self.order = data, dtype, shape, order

    def __setstate__(self, state: Any) -> None:
        _version, self.shape, self.dtype, fortran, self.data = state
        self.order = "F" if fortran else "C"

    def rows(self) -> npt.NDArray[np.uint8] | None:
        """The array, read-only, if it is a table of bytes."""
        data = self.data.encode("latin1") if isinstance(self.data, str) else self.data
        shape = self.shape if isinstance(self.shape, tuple) else ()
        if not (
            (isinstance(self.dtype, _Dtype) and self.dtype.code in _BYTE)
            and isinstance(data, bytes | bytearray)
            and len(shape) == 2
            and all(isinstance(side, int) and side >= 0 for side in shape)
            and shape[0] * shape[1] == len(data)
        ):
            return None
        order: Literal["F", "C"] = "F" if self.order == "F" else "C"
        return np.frombuffer(data, dtype=np.uint8).reshape(shape, order=order)


def _latin1(text: str, encoding: str) -> bytes:
    """`_codecs.encode` as pickles of protocol 2 use it for bytes, and for nothing else."""
    if encoding != "latin1":
        raise pickle.UnpicklingError("no codec but latin1 is allowed")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _Function(_latin1),
} | {
    # under NumPy 1, which wrote the published files, and NumPy 2
    (f"numpy.{core}.{module}", name): stand_in
    for core in ("core", "_core")
    for module, name, stand_in in (
        ("multiarray", "_reconstruct", _Function(lambda *_: _Array())),
        ("numeric", "_frombuffer", _Array),
    )
}


class _ArraysOnly(pickle.Unpickler):
    """Builds arrays, lists, dicts, numbers and text; every other class or function is refused."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed") from None


def _unpickle(file: BinaryIO) -> Any:
    operations = (operation.name for operation, _, _ in pickletools.genops(file))
    if sum(name.startswith(("TUPLE", "FROZENSET")) for name in operations) > _MAX_TUPLES:
        raise pickle.UnpicklingError("it has too many tuples")
    file.seek(0)
    return _ArraysOnly(file, encoding="latin1").load()


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
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _damaged(folder / meta, source, f"it has no {key}")
    pixels = np.concatenate(images).reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return ArraySource(
        source if split == "train" else f"{source} val",
        np.ascontiguousarray(pixels),
        np.concatenate(labels),
        class_names=tuple(names),
        in_chans=in_chans,
    )


def _read_batch(path: Path, source: str) -> tuple[npt.NDArray[np.uint8], Labels]:
    """Images, shape (N, 3072), and labels, shape (N,)."""
    batch = _read(path, source)
    stored: Any = batch.get("data")
    labels: Any = batch.get(_LABELS[source])
    data = stored.rows() if isinstance(stored, _Array) else None
    if data is None or not isinstance(labels, list) or not all(map(_is_label, labels)):
        raise _damaged(path, source, "it holds no images and labels")
    if data.shape != (len(labels), 3 * SIDE * SIDE):
        raise _damaged(path, source, f"{len(labels)} labels for data of shape {data.shape}")
    return data, np.array(labels, dtype=np.int64)


def _is_label(value: object) -> bool:
    """A number; whether it is one of the classes is asked where these are known."""
    return isinstance(value, int) and abs(value) < 2**31


_UNPICKLING_ERRORS = (
    *(pickle.UnpicklingError, OSError, EOFError, ValueError, TypeError, KeyError, IndexError),
    *(AttributeError, MemoryError, OverflowError, RecursionError),
)
"""What a damaged pickle may raise (the documentation of pickle names most of these)."""


def _read(path: Path, source: str) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            content = _unpickle(file)
    except _UNPICKLING_ERRORS as error:
        raise _damaged(path, source, str(error) or type(error).__name__) from None
    if not isinstance(content, dict):
        raise _damaged(path, source, "it holds no mapping")
    return content


def _damaged(path: Path, source: str, reason: str) -> DataError:
    facts = PUBLISHED[source]
    return DataError(
        f"{path} is no file of {facts.title} ({textwrap.shorten(reason, 200)}); "
        f"delete it and {facts.how_to_get}"
    )
