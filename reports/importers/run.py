"""A run of another program as its files tell it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from deit_core.imported import Program
from reports.errors import ReportError

Unit = Literal["percent", "fraction"]

Row = dict[str, Any]
"""One evaluation under the keys of metrics.jsonl; what is not known is absent."""

ACCURACIES = ("val_top1", "val_top5")


class UnreadableRunError(Exception):
    """A folder or file that holds no run; the message says why, in words."""


@dataclass(frozen=True)
class Reading:
    """What the user says about how to read."""

    metric: str | None = None
    """Tag, column or key of top-1 accuracy; None: the documented ones."""
    unit: Unit | None = None
    """Of accuracies; None: percent, and a run that looks like fractions is refused."""


@dataclass(frozen=True)
class ForeignRun:
    """One run."""

    program: Program
    files: tuple[str, ...]
    metric: str
    rows: tuple[Row, ...]
    """Ascending; of an epoch or step that was run twice, the later one."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Values by dotted config field, of those that are known."""
    seed: int | None = None
    parameters: int | None = None
    num_classes: int | None = None
    epochs_planned: float | None = None
    notes: tuple[str, ...] = ()


def number(value: Any) -> float | None:
    """A finite number from a cell or a JSON value; None for all else."""
    if isinstance(value, bool):
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def in_percent(rows: Iterable[Row], unit: Unit | None) -> tuple[Row, ...]:
    """The rows with accuracies in percent.

    Raises:
        UnreadableRunError: no accuracy, numbers that are no accuracies, or a unit that cannot be
            told: all values at most 1.
    """
    found = list(rows)
    values = [row["val_top1"] for row in found if row.get("val_top1") is not None]
    if not values:
        raise UnreadableRunError("it holds no top-1 accuracy")
    if unit is None and max(values) <= 1:
        raise UnreadableRunError(
            "its accuracies are all at most 1: say whether that is a share or percent with "
            "--unit fraction or --unit percent"
        )
    scale = 100.0 if unit == "fraction" else 1.0
    for row in found:
        for key in ACCURACIES:
            if row.get(key) is not None:
                row[key] = row[key] * scale
                if not 0 <= row[key] <= 100:
                    raise UnreadableRunError(f"{key} is {row[key]:g}, which is no percentage")
    return tuple(found)


def last_of_each(rows: Sequence[Row], key: str) -> list[Row]:
    """Rows by ascending `key`; a resumed run writes some epochs again, and the later one counts."""
    by_key = {row[key]: row for row in rows}
    return [by_key[one] for one in sorted(by_key)]


Reader = Callable[[Path, Reading], ForeignRun]


def read_text(path: Path) -> str:
    """A text file. Raises UnreadableRunError."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise UnreadableRunError(f"{path.name} cannot be read: {why}") from None


def check_unit(text: str | None) -> Unit | None:
    """Raises ReportError for an unknown unit."""
    if text is None or text == "percent":
        return "percent" if text else None
    if text == "fraction":
        return "fraction"
    raise ReportError(f"--unit {text!r} is unknown; valid: percent, fraction")
