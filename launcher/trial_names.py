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


def value_text(value: Any) -> str:
    """A swept value as a part of a file name."""
    if isinstance(value, bool) or value is None:
        text = {True: "true", False: "false", None: "null"}[value]
    elif isinstance(value, float):
        text = str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    elif isinstance(value, Mapping):
        text = "_".join(f"{key}-{value_text(item)}" for key, item in value.items())
    elif isinstance(value, list | tuple):
        text = "-".join(value_text(item) for item in value)
    else:
        text = str(value)
    return _UNFIT.sub("_", text)[:MAX_VALUE]


def unique_names(names: Sequence[str], trial_ids: Sequence[str]) -> list[str]:
    """The names cut to length; where that leaves two equal, with the start of the trial id."""
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return [
        name if counts[name] == 1 and len(name) <= MAX_NAME else f"{name[:MAX_NAME]},{trial_id[:8]}"
        for name, trial_id in zip(names, trial_ids, strict=True)
    ]
