"""How the fields of `axes.random` are drawn: seeded, and the same on every call.

A draw depends on the search seed, the field's name and the number of the draw, and on nothing
else: other axes, their order, and the number of draws do not matter, so raising `trials` keeps
the trials there are and adds new ones.
"""

from __future__ import annotations

import hashlib
import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

SIGNIFICANT_DIGITS = 4
"""Drawn numbers are rounded to these, so that names and reports stay readable."""


class Search(BaseModel):
    """`search:` of a sweep file."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True
    )

    method: Literal["grid", "random"] = "grid"
    """`grid`: every combination; `random`: `trials` draws of the fields in axes.random, each with
    every combination of the other axes."""
    trials: Annotated[int, Field(gt=0)] | None = None
    """Number of draws; for `random` only."""
    seed: int = 0
    """Chooses the draws; apart from the seeds of training."""


class Range(BaseModel):
    """A field of `axes.random` that is drawn from a range."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True
    )

    low: Annotated[float, Field(allow_inf_nan=False)]
    """Smallest value, included."""
    high: Annotated[float, Field(allow_inf_nan=False)]
    """Largest value; included where `int` is true."""
    log: bool = False
    """Draw the logarithm uniformly; for learning rates and the like."""
    int: bool = False
    """Draw whole numbers."""

    @model_validator(mode="after")
    def _check_bounds(self) -> Range:
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} must be below high {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs low above 0, but {self.low:g} is given")
        if self.int and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError("int needs whole numbers for low and high")
        return self

    def value(self, uniform: float) -> float:
        """The drawn value for a uniform number in [0, 1)."""
        # An int is drawn from [low, high + 1) and floored, so that every one has a share.
        high = self.high + 1 if self.int else self.high
        if self.log:
            drawn = math.exp(math.log(self.low) + uniform * math.log(high / self.low))
        else:
            drawn = self.low + uniform * (high - self.low)
        drawn = math.floor(drawn) if self.int else float(f"{drawn:.{SIGNIFICANT_DIGITS}g}")
        return type(drawn)(min(max(drawn, self.low), self.high))


def uniform(seed: int, field: str, number: int) -> float:
    """A uniform number in [0, 1): a pure function of its arguments."""
    digest = hashlib.sha256(f"{seed}:{field}:{number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def draw_range(search: Search, field: str, spec: Range) -> list[float]:
    """`search.trials` values of one field."""
    return [spec.value(uniform(search.seed, field, n)) for n in range(search.trials or 0)]


def draw_choice(search: Search, field: str, choices: tuple[Any, ...]) -> list[Any]:
    """`search.trials` of the choices, with replacement."""
    numbers = (uniform(search.seed, field, n) for n in range(search.trials or 0))
    return [choices[int(number * len(choices))] for number in numbers]
