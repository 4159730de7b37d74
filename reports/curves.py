"""Learning curves: the evaluation rows of metrics.jsonl, thinned so that thousands fit."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, cast

from reports.strict_json import LARGEST

FIELDS = (
    "epoch", "step", "unix_s", "train_loss", "val_top1", "val_top1_cls", "val_top1_dist",
    "val_loss",
)  # fmt: skip
"""Keys of a row that are kept, where any row has them."""
MOST_POINTS = 300
"""Evaluations kept of one trial, of a sweep of up to `_ALL_POINTS / MOST_POINTS` trials."""
FEWEST_POINTS = 20
_ALL_POINTS = 500_000
"""Kept of all trials together."""
_MARK = b'"eval"'


@dataclass(frozen=True)
class Curve:
    """Columns of equal length, by name; NaN where a row does not know the value."""

    columns: Mapping[str, array[float]]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def column(self, name: str) -> Sequence[float]:
        """A column, or an empty one. NaN: not known."""
        return self.columns.get(name, array("d"))

    def to_json(self) -> dict[str, list[float | None]]:
        """Plain lists, null for what is not known."""
        return {
            name: [None if math.isnan(value) else value for value in column]
            for name, column in self.columns.items()
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Sequence[float | None]]) -> Curve:
        """The opposite of `to_json`."""
        return cls({name: array("d", map(_number, column)) for name, column in values.items()})


def points_per_trial(trials: int) -> int:
    """How many evaluations are kept of each trial of a sweep of so many."""
    return max(FEWEST_POINTS, min(MOST_POINTS, _ALL_POINTS // max(trials, 1)))


def read_curve(path: Path, most: int) -> tuple[Curve | None, int]:
    """The curve in a metrics.jsonl, and how many of its lines could not be read.

    Args:
        path: the file; it may be missing or be written to.
        most: points to keep. Of more, evenly spaced ones are kept, the last one always.

    Returns:
        None for a curve without a point. A last line without its end is not counted as damaged:
        it is being written.

    Raises:
        OSError: it is there and cannot be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None, 0
    lines = data.split(b"\n")
    lines.pop()  # empty, or torn
    wanted = [line for line in lines if _MARK in line]
    # Lines of other kinds are not parsed, so of them only what is plainly no JSON object counts.
    damaged = sum(_is_torn(line) for line in lines if _MARK not in line)
    decoded = _decode_lines(_thin(wanted, most))
    damaged += sum(not isinstance(row, dict) for row in decoded)
    rows = [row for row in decoded if isinstance(row, dict) and row.get("kind") == "eval"]
    kept = [name for name in FIELDS if any(name in row for row in rows)]
    columns = {name: _column([row.get(name) for row in rows]) for name in kept}
    return (Curve(columns) if rows else None), damaged


def _is_torn(line: bytes) -> bool:
    whole = line.startswith(b"{") and line.rstrip().endswith(b"}") and line.isascii()
    return not whole and bool(line.strip())


def _decode_lines(lines: Sequence[bytes]) -> list[Any]:
    """The value of each line; None for one that cannot be read."""
    try:  # all at once, which takes half the time
        values = _DECODER.decode(f"[{b','.join(lines).decode()}]")
    except (ValueError, RecursionError):
        values = None
    if isinstance(values, list) and len(values) == len(lines):
        return values
    return [_decode_line(line) for line in lines]


def _decode_line(line: bytes) -> Any:
    try:
        return _DECODER.decode(line.decode())
    except (ValueError, RecursionError):
        return None


def _thin(lines: Sequence[bytes], most: int) -> Sequence[bytes]:
    if len(lines) <= most:
        return lines
    last = len(lines) - 1
    return [lines[round(last * index / (most - 1))] for index in range(most)]


def _column(values: Sequence[object]) -> array[float]:
    """Numbers; NaN for all that is no plausible one."""
    if {type(value) for value in values} <= {int, float}:
        numbers = cast("Sequence[float]", values)
        if min(numbers, default=0) >= -LARGEST and max(numbers, default=0) <= LARGEST:
            return array("d", numbers)
    return array("d", map(_number, values))


def _number(value: object) -> float:
    """NaN for all that is no plausible number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return float(value) if -LARGEST <= value <= LARGEST else math.nan


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)
