"""Numbers and words as the report prints them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from reports.stats import Interval

NOTHING = "\N{EN DASH}"
"""Stands where there is no number."""


@dataclass(frozen=True)
class Rounding:
    """How many decimals accuracies get: as many as their uncertainty leaves meaning."""

    decimals: int

    @classmethod
    def from_uncertainty(cls, half_widths: Sequence[float]) -> Rounding:
        """Two significant digits of the smallest uncertainty, never more than two decimals."""
        positive = [half for half in half_widths if half > 0]
        if not positive:
            return cls(2)
        return cls(min(2, max(0, 1 - math.floor(math.log10(min(positive))))))

    def finer(self, interval: Interval | None) -> Rounding:
        """This rounding, or a finer one where `interval` is narrow enough to deserve it."""
        if interval is None:
            return self
        own = Rounding.from_uncertainty([interval.half_width])
        return Rounding(max(self.decimals, own.decimals))

    def plain(self, value: float | None) -> str:
        """`84.1`, or a dash where there is no number."""
        return NOTHING if value is None else f"{value + 0.0:.{self.decimals}f}"

    def percent(self, value: float | None) -> str:
        """`84.1 %`."""
        return NOTHING if value is None else f"{self.plain(value)} %"

    def signed(self, value: float) -> str:
        """`+2.1`; a rounded zero has no sign."""
        text = f"{value:+.{self.decimals}f}"
        return text[1:] if float(text) == 0 else text

    def with_error(self, value: float | None, interval: Interval | None) -> str:
        """`84.1 ± 1.2`; no ± where there is no interval."""
        if value is None or interval is None:
            return self.plain(value)
        return f"{self.plain(value)} ± {self.plain(interval.half_width)}"

    def span(self, interval: Interval) -> str:
        """`+0.9 to +3.3`; an interval that excludes 0 gets the decimals to show that it does."""
        shown = self
        ends = (interval.low, interval.high)
        while interval.excludes_zero() and shown.decimals < 6:
            if all(float(shown.signed(end)) != 0 for end in ends):
                break
            shown = Rounding(shown.decimals + 1)
        return f"{shown.signed(interval.low)} to {shown.signed(interval.high)}"


def count(number: int, noun: str) -> str:
    """`1 trial`, `2 trials`, `no trials`; 'y' turns to 'ies'."""
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{number or 'no'} {noun if number == 1 else plural}"


def listing(items: Sequence[str], most: int = 6) -> str:
    """`a, b and c`; a long list is cut and says so."""
    items = list(items)
    if len(items) > most:
        items = [*items[: most - 1], f"{len(items) - most + 1} more"]
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def utc(unix_s: float) -> str:
    """ISO 8601 to the second, such as `2026-11-21T14:30:00Z`."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def duration(seconds: float) -> str:
    """`48 s`, `12.5 min` or `3.4 h`."""
    if seconds < 100:
        return f"{seconds:.3g} s"
    if seconds < 6000:
        return f"{seconds / 60:.3g} min"
    return f"{seconds / 3600:,.3g} h"
