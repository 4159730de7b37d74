"""`search:` of a sweep file: how its trials are chosen, judged and stopped early."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    field_validator,
    model_validator,
)

SIGNIFICANT_DIGITS = 4
"""Chosen numbers are rounded to these, so that names and reports stay readable."""

MOST_LISTED = 1000
"""Values, or points of a space, that are few enough to be gone through."""

Direction = Literal["maximize", "minimize"]
Method = Literal["grid", "random", "tpe", "gp", "cmaes", "nsga2", "qmc"]

_CONSTRAINT = re.compile(
    r"\s*([A-Za-z]\w*)\s*(>=|<=|≥|≤)\s*([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)\s*"
)


def _as_tuple(value: Any) -> Any:
    """One text or several; strict validation wants a tuple."""
    return (value,) if isinstance(value, str) else tuple(value) if _is_list(value) else value


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _one_or_more(item: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]})


_TEXT: dict[str, Any] = {"type": "string"}
_DIRECTION: dict[str, Any] = {"enum": ["maximize", "minimize"], "type": "string"}
_Texts = Annotated[tuple[str, ...], BeforeValidator(_as_tuple), _one_or_more(_TEXT)]
_Directions = Annotated[tuple[Direction, ...], BeforeValidator(_as_tuple), _one_or_more(_DIRECTION)]


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True
    )


class Pruner(_Section):
    """`search.pruner`: which trials are stopped before the end of their schedule."""

    method: Literal["halving", "hyperband"] = "halving"
    """`halving`: asynchronous successive halving (arXiv 1810.05934); `hyperband`: the same in
    several brackets, of which each starts one rung later (arXiv 1603.06560)."""
    metric: str | None = None
    """A number of the evaluations; the first objective that is one, else `val_top1`."""
    rungs: Annotated[tuple[float, ...], Field(min_length=1)] = (0.11, 0.33)
    """Where trials are compared, as fractions of each trial's own schedule; ascending."""
    reduction_factor: Annotated[float, Field(gt=1, allow_inf_nan=False)] = 2.0
    """One in so many goes on at each rung. With 3 less is trained, but where curves cross the best
    trial is lost more often (docs/benchmarks.md)."""
    mode: Literal["prune", "advice"] = "prune"
    """`advice`: nothing is stopped, only what would have been is recorded."""

    @field_validator("rungs", mode="before")
    @classmethod
    def _read_rungs(cls, value: Any) -> Any:
        return tuple(map(float, value)) if _are_numbers(value) else value

    @model_validator(mode="after")
    def _check_rungs(self) -> Pruner:
        if not all(0 < rung < 1 for rung in self.rungs):
            raise ValueError(f"rungs must lie between 0 and 1, but {list(self.rungs)} is given")
        if list(self.rungs) != sorted(set(self.rungs)):
            raise ValueError(f"rungs must ascend, but {list(self.rungs)} is given")
        return self


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(one, int | float) and not isinstance(one, bool) for one in value
    )


class Constraint(BaseModel):
    """A bound that a good trial keeps."""

    model_config = ConfigDict(frozen=True)

    metric: str
    at_least: bool
    bound: float

    def __str__(self) -> str:
        return f"{self.metric} {'>=' if self.at_least else '<='} {self.bound:g}"

    def violation(self, value: float) -> float:
        """By how much it is broken; not positive where it is kept."""
        return self.bound - value if self.at_least else value - self.bound


def parse_constraint(text: str) -> Constraint:
    """Read `train_images_per_s >= 2000`. Raises ValueError."""
    found = _CONSTRAINT.fullmatch(text)
    if found is None:
        raise ValueError(
            f"a constraint is a metric, >= or <=, and a number, such as "
            f"train_images_per_s >= 2000, but {text!r} is given"
        )
    metric, sign, bound = found.groups()
    return Constraint(metric=metric, at_least=sign in (">=", "≥"), bound=float(bound))


class Search(_Section):
    """`search:` of a sweep file."""

    method: Method = "grid"
    """`grid`: every combination; `random`: `trials` draws of the fields in axes.random, each with
    every combination of the other axes, or of those in axes.search, one after another; the others
    choose values of axes.search by what earlier trials gave: tree-structured Parzen estimator,
    Gaussian process, CMA-ES, NSGA-II, quasi-Monte Carlo."""
    trials: Annotated[int, Field(gt=0)] | None = None
    """Number of draws, or of points to try."""
    seed: int = 0
    """Chooses the draws; apart from the seeds of training."""
    objective: Annotated[_Texts, Field(min_length=1)] = ("val_top1",)
    """What is made as good as it can be; several: the trade-off between them (Pareto front)."""
    direction: Annotated[_Directions, Field(min_length=1)] | None = None
    """Whether more or less of each objective is better; known of every metric, so rarely given."""
    constraints: _Texts = ()
    """Bounds that the best trial must keep, such as `train_images_per_s >= 2000`."""
    warm_start: bool | _Texts = False
    """Learn from finished trials of other sweeps of the same runs folder: of all, or of those
    named. Only trials that differ from this sweep's base in nothing but searched fields count."""
    pruner: Pruner | None = None
    """Stops trials early; none by default."""

    @field_validator("constraints")
    @classmethod
    def _check_constraints(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(parse_constraint(text)) for text in value)

    @model_validator(mode="after")
    def _check_objectives(self) -> Search:
        if len(set(self.objective)) < len(self.objective):
            raise ValueError(f"an objective is listed twice in {list(self.objective)}")
        if self.direction is not None and len(self.direction) != len(self.objective):
            raise ValueError(
                f"direction has {len(self.direction)} entries for {len(self.objective)} objectives"
            )
        return self

    @property
    def bounds(self) -> tuple[Constraint, ...]:
        """The constraints, read."""
        return tuple(map(parse_constraint, self.constraints))


def _count(low: float, high: float, step: float) -> int:
    """How many values there are from `low` on in such steps."""
    return math.floor((high - low) / step + 1e-9) + 1


class Range(_Section):
    """A field that is chosen from a range."""

    low: Annotated[float, Field(allow_inf_nan=False)]
    """Smallest value, included."""
    high: Annotated[float, Field(allow_inf_nan=False)]
    """Largest value; included where `int` is true."""
    log: bool = False
    """Draw the logarithm uniformly; for learning rates and the like."""
    int: bool = False
    """Draw whole numbers."""
    step: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Distance between neighbouring values, counted from `low`."""

    @model_validator(mode="after")
    def _check_bounds(self) -> Range:
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} must be below high {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs low above 0, but {self.low:g} is given")
        if self.int and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError("int needs whole numbers for low and high")
        return self

    @model_validator(mode="after")
    def _check_step(self) -> Range:
        if self.step is None:
            return self
        if self.log:
            raise ValueError("step and log exclude each other; list the values instead")
        if self.int and not self.step.is_integer():
            raise ValueError(f"int needs a whole step, but {self.step:g} is given")
        if self.low + self.step > self.high:
            raise ValueError(f"step {self.step:g} is larger than high - low, so one value is left")
        return self

    def value(self, uniform: float) -> float:
        """The drawn value for a uniform number in [0, 1)."""
        if self.step is not None:
            count = _count(self.low, self.high, self.step)
            return self.rounded(self.low + math.floor(uniform * count) * self.step)
        # An int is drawn from [low, high + 1) and floored, so that every one has a share.
        high = self.high + 1 if self.int else self.high
        if self.log:
            drawn = math.exp(math.log(self.low) + uniform * math.log(high / self.low))
        else:
            drawn = self.low + uniform * (high - self.low)
        return self.rounded(math.floor(drawn) if self.int else drawn)

    def options(self) -> tuple[float, ...] | None:
        """Every value there is; None where there are many, as without steps."""
        step = self.step or (1.0 if self.int else None)
        if step is None:
            return None
        count = _count(self.low, self.high, step)
        if count > MOST_LISTED:
            return None
        return tuple(dict.fromkeys(self.rounded(self.low + n * step) for n in range(count)))

    def on_grid(self, value: float, step: float) -> float:
        """The value of the grid, not rounded, that is nearest; in decimals, as Optuna counts."""
        number = round((value - self.low) / step)
        number = min(max(number, 0), _count(self.low, self.high, step) - 1)
        return float(Decimal(str(self.low)) + number * Decimal(str(step)))

    def rounded(self, drawn: float) -> float:
        """The number as a trial gets it: whole, or with few digits, and within bounds."""
        value = round(drawn) if self.int else float(f"{drawn:.{SIGNIFICANT_DIGITS}g}")
        return type(value)(min(max(value, self.low), self.high))
