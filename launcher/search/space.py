"""The space that is searched: fields, the values each may take, and when it varies at all."""

from __future__ import annotations

import graphlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from launcher.axes import same
from launcher.fields import value_at
from launcher.search.config import MOST_LISTED, Range

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.distributions import BaseDistribution

Values = Mapping[str, Any]
"""What a point gives the fields that vary there."""


class Parameter(BaseModel):
    """One field that is searched: over a range, or over choices."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    field: str
    range: Range | None = None
    choices: tuple[Any, ...] = ()
    when: Mapping[str, tuple[Any, ...]] = {}
    """The field varies only where each of these fields has one of its values."""

    @property
    def varies(self) -> bool:
        """Whether it may take more than one value."""
        return self.range is not None or len(self.choices) > 1

    def options(self) -> tuple[Any, ...] | None:
        """Every value that it may take; None where there are many."""
        return self.choices if self.range is None else self.range.options()

    def labels(self) -> tuple[Any, ...]:
        """The choices as a sampler takes them: scalars; all else as JSON."""
        return tuple(map(_label, self.choices))

    def value_of(self, suggested: Any) -> Any:
        """What the field gets for a sampler's suggestion."""
        if self.range is not None:
            return self.range.rounded(suggested)
        return next(
            choice
            for choice, label in zip(self.choices, self.labels(), strict=True)
            if same(label, suggested)
        )

    def suggestion_of(self, value: Any) -> Any:
        """A field's value as a sampler knows it: choices as scalars, numbers not yet rounded."""
        if self.range is None:
            return _label(value)
        if self.range.step is None or self.range.int:
            return value
        return self.range.on_grid(value, self.range.step)

    def holds(self, value: Any) -> bool:
        """Whether a field's value is in the parameter's range, or one of its choices."""
        if self.range is None:
            return any(same(value, choice) for choice in self.choices)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if not self.range.low <= value <= self.range.high:
            return False
        step = self.range.step or (1.0 if self.range.int else None)
        if step is None:
            return True
        exact = self.range.on_grid(value, step)
        return value == self.range.rounded(exact) or math.isclose(value, exact, rel_tol=1e-9)

    def suggest(self, trial: Trial) -> Any:
        """The value that a study's trial gives the field."""
        found: Any = self.distribution()
        if self.range is None:
            return self.value_of(trial.suggest_categorical(self.field, found.choices))
        if self.range.int:
            return self.value_of(
                trial.suggest_int(self.field, found.low, found.high, step=found.step, log=found.log)
            )
        return self.value_of(
            trial.suggest_float(self.field, found.low, found.high, step=found.step, log=found.log)
        )

    def distribution(self) -> BaseDistribution:
        """As Optuna describes it."""
        from optuna.distributions import (
            CategoricalDistribution,
            FloatDistribution,
            IntDistribution,
        )

        spec = self.range
        if spec is None:
            return CategoricalDistribution(self.labels())
        if spec.int:
            low, step = round(spec.low), round(spec.step or 1)
            high = low + (round(spec.high) - low) // step * step
            return IntDistribution(low, high, log=spec.log, step=step)
        if spec.step is None:
            return FloatDistribution(spec.low, spec.high, log=spec.log)
        return FloatDistribution(spec.low, spec.on_grid(spec.high, spec.step), step=spec.step)


def _label(choice: Any) -> Any:
    if choice is None or isinstance(choice, bool | int | float | str):
        return choice
    return json.dumps(choice, sort_keys=True)


class Space(BaseModel):
    """All fields that are searched."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    parameters: tuple[Parameter, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """Their names, in the order of the file."""
        return tuple(parameter.field for parameter in self.parameters)

    @property
    def is_conditional(self) -> bool:
        """Whether some vary only under conditions."""
        return any(parameter.when for parameter in self.parameters)

    def ordered(self) -> list[Parameter]:
        """The parameters, each after those that its conditions name.

        Raises:
            graphlib.CycleError: conditions that lead back to themselves.
        """
        by_field = {parameter.field: parameter for parameter in self.parameters}
        graph = {
            parameter.field: [other for other in parameter.when if other in by_field]
            for parameter in self.parameters
        }
        return [by_field[field] for field in graphlib.TopologicalSorter(graph).static_order()]

    def choose(self, base: Mapping[str, Any], suggest: Callable[[Parameter], Any]) -> Values:
        """Choose a value for every field that varies.

        Args:
            base: the training config that is varied, as plain nested dicts.
            suggest: chooses a value.

        Returns:
            Values by field, in the order of the space.
        """
        chosen: dict[str, Any] = {}
        for parameter in self.ordered():
            if self._is_open(parameter, chosen, base):
                chosen[parameter.field] = suggest(parameter)
        return {field: chosen[field] for field in self.fields if field in chosen}

    def points(self, base: Mapping[str, Any]) -> list[Values] | None:
        """Every point there is; None where there are many.

        Args:
            base: see `choose`.
        """
        options = {parameter.field: parameter.options() for parameter in self.parameters}
        most = 1
        for values in options.values():
            most *= len(values or ())
        if not 0 < most <= MOST_LISTED:
            return None
        points: list[dict[str, Any]] = [{}]
        for parameter in self.ordered():
            points = [
                {**point, **chosen}
                for point in points
                for chosen in (
                    [{parameter.field: value} for value in options[parameter.field] or ()]
                    if self._is_open(parameter, point, base)
                    else [{}]
                )
            ]
        return [{f: point[f] for f in self.fields if f in point} for point in points]

    def _is_open(
        self, parameter: Parameter, chosen: Mapping[str, Any], base: Mapping[str, Any]
    ) -> bool:
        for field, values in parameter.when.items():
            current = chosen[field] if field in chosen else value_at(base, field)
            if not any(same(current, value) for value in values):
                return False
        return True

    def without(self, gone: Iterable[str]) -> Space:
        """The space without these fields."""
        left = set(gone)
        return Space(parameters=tuple(p for p in self.parameters if p.field not in left))
