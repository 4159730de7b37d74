"""A search in sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reports.search.results import Objective, Point, PointState, SearchResults
from reports.stats.importance import FEWEST_POINTS, Importance
from reports.text import count, listing
from reports.variants import short_names, value_text

_METHODS = {
    "grid": "every combination",
    "random": "random draws",
    "tpe": "a tree-structured Parzen estimator (TPE)",
    "gp": "a Gaussian process",
    "cmaes": "CMA-ES",
    "nsga2": "NSGA-II",
    "qmc": "quasi-Monte Carlo draws",
}
_MATTERS = 0.05
"""Level of the adjusted p below which a field is said to matter."""


def about_search(found: SearchResults) -> Iterator[str]:
    """What was searched and what became of it."""
    goals = listing([goal(objective) for objective in found.objectives])
    method = _METHODS.get(found.method, found.method)
    fields = listing([_space(entry) for entry in found.space], 10)
    yield f"Searched by {method} for {goals}, over {fields}."
    if found.constraints:
        yield f"A winner must keep {listing(found.constraints)}."
    asked = f"{len(found.points)} of {found.budget}" if found.budget else str(len(found.points))
    yield f"{asked} points asked: {states_text(found)}."
    broken = sum(bool(point.broken) for point in found.points)
    if broken:
        yield f"{count(broken, 'completed point')} broke a constraint and cannot win."
    if found.warm:
        yield f"It also learnt from {count(found.warm, 'finished point')} of other sweeps."
    if found.ended:
        yield f"No more are asked for: {found.ended}."
    if found.damaged:
        were = "was" if found.damaged == 1 else "were"
        yield f"{count(found.damaged, 'point')} could not be read and {were} left out."


_STATES: tuple[tuple[PointState, str], ...] = (
    ("completed", "completed"),
    ("pruned", "pruned (stopped early on purpose)"),
    ("failed", "failed"),
    ("open", "not finished"),
)


def states_text(found: SearchResults) -> str:
    """`6 completed, 1 pruned (stopped early on purpose) and 1 failed`."""
    numbers = [(len(found.of_state(state)), words) for state, words in _STATES]
    return listing([f"{number_of} {words}" for number_of, words in numbers if number_of])


def goal(objective: Objective) -> str:
    """`high val_top1`."""
    return f"{'high' if objective.maximised else 'low'} {objective.metric}"


def _space(entry: Mapping[str, Any]) -> str:
    spec = entry.get("range")
    when = " where " + " and ".join(
        f"{name} is {listing([value_text(one) for one in values])}"
        for name, values in (entry.get("when") or {}).items()
    )
    condition = when if entry.get("when") else ""
    if spec:
        scale = ", logarithmic" if spec.get("log") else ""
        whole = ", whole numbers" if spec.get("int") else ""
        return f"{entry['field']} ({spec['low']:g} to {spec['high']:g}{scale}{whole}{condition})"
    choices = "/".join(value_text(one) for one in entry.get("choices") or ())
    return f"{entry['field']} ({choices}{condition})"


def params_text(point: Point, fields: Sequence[str]) -> str:
    """`depth=4, lr=0.001`."""
    names = short_names(fields)
    return ", ".join(
        f"{names.get(field, field)}={value_text(value)}" for field, value in point.params.items()
    )


def fields_of(found: SearchResults) -> list[str]:
    """The searched fields in the order of the file."""
    return [str(entry["field"]) for entry in found.space]


def measured(objective: Objective, value: float) -> str:
    """`83.12 %` for an accuracy, else the number."""
    return f"{number(value)} %" if "_top" in objective.metric else number(value)


def number(value: float) -> str:
    """`83.12`, `0.01234`, `1,234`: four significant digits."""
    return f"{float(f'{value:.4g}'):,.10g}"


def about_importance(found: Sequence[Importance], finished: int) -> str:
    """Which fields matter, or why nothing is said."""
    if finished < FEWEST_POINTS:
        return (
            f"How much each field matters is not estimated from "
            f"{count(finished, 'completed point')}: below {FEWEST_POINTS}, chance alone would rank "
            f"the fields."
        )
    matters = [one for one in found if one.p < _MATTERS]
    if not found:
        return "No field varied in enough completed points to say how much it matters."
    if not matters:
        return "No field is shown to matter: the order of the points fits chance."
    named = listing([f"{one.field} ({100 * one.share:.0f} %)" for one in matters])
    return f"The order of the completed points goes with {named}."
