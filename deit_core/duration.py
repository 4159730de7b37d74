"""Durations with units: "300ep" and "5000step" become integer optimiser steps in one place."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal

_PATTERN = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(ep|epochs?|steps?)\s*$")


@dataclass(frozen=True)
class Duration:
    """A length of training: `value` epochs (unit "ep") or `value` optimiser steps (unit "step")."""

    value: float
    unit: str

    def steps(self, steps_per_epoch: int) -> int:
        """Optimiser steps, rounded to the nearest whole step."""
        return round(self.value * steps_per_epoch) if self.unit == "ep" else int(self.value)

    def __str__(self) -> str:
        return f"{Decimal(repr(self.value)).normalize():f}{self.unit}"  # every digit, no exponent


def parse_duration(text: str) -> Duration:
    """Parse "300ep", "1.5ep" or "5000step".

    Raises:
        ValueError: no unit, an unknown unit, a fraction of a step, or beyond all numbers.
    """
    match = _PATTERN.match(text)
    if match is None:
        raise ValueError(f'{text!r} is no duration; write epochs as "300ep" or steps as "5000step"')
    value, unit = float(match.group(1)), "ep" if match.group(2).startswith("ep") else "step"
    if math.isinf(value):
        raise ValueError(f"a duration of {len(text)} digits is beyond all numbers")
    if unit == "step" and not value.is_integer():
        raise ValueError(f'{text!r} is not a whole number of steps; write "{round(value)}step"')
    return Duration(value, unit)
