"""Whether every value that a search may choose can be part of a valid config at all.

A search passes over points that are no valid config. A value that never is one (`distill.kind:
soft` where there is no teacher) would be passed over for ever, and nobody would know.
"""

from __future__ import annotations

import random
from typing import Any

from launcher.errors import SweepError
from launcher.search.ask import expand_point
from launcher.search.records import SearchRecord
from launcher.search.space import Parameter, Values
from launcher.trial_names import plain_text

_TRIES = 30
"""Points that are drawn with a value before it counts as never valid."""


def refuse_useless_choices(record: SearchRecord) -> None:
    """Refuse a search that lists a value no point can have.

    Raises:
        SweepError: names the value, and what is wrong with it.
    """
    for parameter in record.space.parameters:
        for choice in parameter.choices:
            problem = _problem_with(record, parameter, choice)
            if problem is not None:
                raise SweepError(
                    f"search: no point with {parameter.field}={plain_text(choice)} is a valid "
                    f"config: {problem.message}",
                    problem.location,
                )


def _problem_with(record: SearchRecord, parameter: Parameter, choice: Any) -> SweepError | None:
    """What is wrong with all points of a value that were drawn; None where one is valid."""
    draws = random.Random(record.search.seed)
    problem: SweepError | None = None
    for _ in range(_TRIES):
        params = _draw(record, parameter, choice, draws)
        if parameter.field not in params:
            continue  # its condition does not hold in this one
        try:
            expand_point(record, params)
        except SweepError as error:
            problem = error
        else:
            return None
    return problem


def _draw(record: SearchRecord, fixed: Parameter, choice: Any, draws: random.Random) -> Values:
    """A point at random that has the value, if it varies there."""

    def suggest(parameter: Parameter) -> Any:
        if parameter.field == fixed.field:
            return choice
        if parameter.range is not None:
            return parameter.range.value(draws.random())
        return draws.choice(parameter.choices)

    return record.space.choose(record.base, suggest)
