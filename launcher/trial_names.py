"""Readable names of trials: `kind=soft,temperature=3,seed=0`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

MAX_VALUE = 40
MAX_NAME = 160
"""Characters; file systems take 255 bytes, and other programs add to the name."""

_UNFIT = re.compile(r"[^A-Za-z0-9._+-]+")


def short_labels(fields: Sequence[str]) -> dict[str, str]:
    """The shortest endings of dotted fields that tell them apart, and none of them `seed`."""
    labels: dict[str, str] = {}
    for field in fields:
        parts = field.split(".")
        for length in range(1, len(parts) + 1):
            label = ".".join(parts[-length:])
            clash = any(other.endswith(f".{label}") for other in fields if other != field)
            if not clash and label != "seed":
                break
        labels[field] = label
    return labels


def plain_text(value: Any) -> str:
    """A swept value as people read it, in names, tables and messages alike: `soft`, `1e+12`, `3`.

    Numbers have the fewest characters that give the same number back.
    """
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, float):
        brief = f"{value:g}"
        return brief if float(brief) == value else repr(value).removesuffix(".0")
    if isinstance(value, Mapping):
        return "_".join(f"{key}-{plain_text(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return "-".join(plain_text(item) for item in value)
    return str(value)


def value_text(value: Any) -> str:
    """A swept value as a part of a file name."""
    return _UNFIT.sub("_", plain_text(value))[:MAX_VALUE]


def same_value(given: str, value: Any) -> bool:
    """Whether a user's spelling means this swept value: `1e12`, `1e+12` and `1000000000000.0`."""
    if value_text(given) == value_text(value):
        return True
    try:
        return isinstance(value, int | float) and float(given) == value
    except ValueError:
        return False


def unique_names(names: Sequence[str], trial_ids: Sequence[str]) -> list[str]:
    """The names cut to length; where that leaves two equal, with the start of the trial id."""
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return [
        name if counts[name] == 1 and len(name) <= MAX_NAME else f"{name[:MAX_NAME]},{trial_id[:8]}"
        for name, trial_id in zip(names, trial_ids, strict=True)
    ]
