"""Which columns of Hugging Face data hold the images and the labels. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deit_core.errors import DataError

if TYPE_CHECKING:
    from datasets import Features


@dataclass(frozen=True)
class Columns:
    """Which columns hold the images and the labels, and the classes that labels name."""

    image: str
    label: str
    class_names: tuple[str, ...] | None
    """Null for labels that are plain integers."""


def find_columns(features: Features, image: str | None, label: str | None) -> Columns:
    """The columns the config names, or the only ones of their type.

    Images are `datasets.Image`, or where there is none, the bytes that files written by other
    programs hold; labels are `datasets.ClassLabel`, or where there is none, integers.

    Args:
        features: name and type of each column.
        image: the config's `data.image_column`.
        label: the config's `data.label_column`.

    Raises:
        DataError: there is none, or more than one, or the config's is of another type.
    """
    import datasets

    every = list(features)
    images = [name for name in every if isinstance(features[name], datasets.Image)]
    stored = [name for name in every if _is_bytes(features[name])]
    classes = [name for name in every if isinstance(features[name], datasets.ClassLabel)]
    integers = [name for name in every if _is_integer(features[name])]
    image = _chosen("image_column", image, images, stored, every)
    label = _chosen("label_column", label, classes, integers, every)
    names = tuple(features[label].names) if label in classes else None
    return Columns(image, label, names)


def _chosen(
    key: str, given: str | None, best: Sequence[str], other: Sequence[str], every: Sequence[str]
) -> str:
    kind = "images" if key == "image_column" else "class labels or integers"
    if given is not None:
        if given in (*best, *other):
            return given
        problem = f"holds no {kind}" if given in every else "is no column of the data"
        raise DataError(f"data.{key}: {given!r} {problem}; {_valid([*best, *other], every)}")
    candidates = best or other
    if len(candidates) == 1:
        return candidates[0]
    number = "more than one column" if candidates else "no column"
    raise DataError(f"the data has {number} of {kind}; set data.{key}: {_valid(candidates, every)}")


def _valid(candidates: Sequence[str], every: Sequence[str]) -> str:
    if candidates:
        return f"valid: {', '.join(candidates)}"
    return f"its columns are {', '.join(every)}, and none will do; cast one and save the data again"


def _is_bytes(kind: Any) -> bool:
    """An encoded image as plain bytes, or as the struct behind `datasets.Image`."""
    dtype = getattr(kind, "dtype", None)
    return dtype in ("binary", "large_binary") or (
        isinstance(kind, dict) and kind.keys() == {"bytes", "path"}
    )


def _is_integer(kind: Any) -> bool:
    import datasets

    return isinstance(kind, datasets.Value) and kind.dtype.removeprefix("u").startswith("int")
