"""`axes.search` of a sweep file: the space, and what would make it pointless."""

from __future__ import annotations

import graphlib
from collections.abc import Mapping
from typing import Any

from launcher.axes import same
from launcher.axes_parser import (
    check_field,
    parse_conditions,
    parse_options,
    parse_range,
    parse_settings,
)
from launcher.errors import SweepError
from launcher.fields import overlap, value_at, value_problem
from launcher.search.config import Range
from launcher.search.space import Parameter, Space
from launcher.trial_names import plain_text
from launcher.yaml_source import Node

_RANGE_KEYS = tuple(Range.model_fields)


def parse_space(node: Node) -> Space:
    """Read the block.

    Raises:
        SweepError: an unknown field, a value that does not fit it, no values, bounds without room,
            a field that is listed twice.
    """
    if not isinstance(node.value, Mapping) or not node.value:
        raise SweepError(
            f"search: expected `field: {{low: ..., high: ...}}` or `field: [...]` entries, but "
            f"{node.kind} is given",
            node.location,
        )
    parameters: list[Parameter] = []
    for field, child in node.value.items():
        check_field(field, child.where)
        for earlier in parameters:
            if overlap(field, earlier.field):
                raise SweepError(f"{field} is searched twice; keep one of the two", child.where)
        parameters.append(_parameter(field, child))
    return Space(parameters=tuple(parameters))


def _parameter(field: str, node: Node) -> Parameter:
    if not isinstance(node.value, Mapping):
        return Parameter(field=field, choices=_choices(field, node))
    entries = parse_options(field, node, (*_RANGE_KEYS, "values", "when"))
    conditions = parse_conditions(field, entries.get("when"))
    when = {condition.field: condition.values for condition in conditions}
    if "values" not in entries:
        bounds = {key: child for key, child in entries.items() if key != "when"}
        spec = _range(field, Node(bounds, node.location, node.key))
        return Parameter(field=field, range=spec, when=when)
    given = next((key for key in _RANGE_KEYS if key in entries), None)
    if given:
        raise SweepError(f"{field}: give `values` or a range, not both", entries[given].where)
    return Parameter(field=field, choices=_choices(field, entries["values"]), when=when)


def _choices(field: str, node: Node) -> tuple[Any, ...]:
    return tuple(setting.value for setting in parse_settings(field, node))


def _range(field: str, node: Node) -> Range:
    spec = parse_range(field, node)
    for value in (spec.low, spec.high):
        problem = value_problem(field, round(value) if spec.int else value)
        if problem is not None:
            hint = "; add `int: true`" if "integer" in problem.message else ""
            raise SweepError(f"{problem}{hint}", node.where)
    return spec


def check_space(space: Space, base: Mapping[str, Any], node: Node) -> None:
    """Refuse a space in which nothing can be found.

    Args:
        space: as parsed.
        base: the training config that is varied, as plain nested dicts.
        node: the block, for its positions.

    Raises:
        SweepError: one point, or a condition that is never met.
    """
    try:
        ordered = space.ordered()
    except graphlib.CycleError as error:
        fields = ", ".join(dict.fromkeys(error.args[1]))
        raise SweepError(
            f"{fields}: the `when` conditions lead back to themselves", node.where
        ) from None
    known: dict[str, dict[str, tuple[Any, ...]]] = {}
    for parameter in ordered:
        known[parameter.field] = _possible(parameter, space, base, known, node)
    if not any(parameter.varies for parameter in space.parameters):
        raise SweepError(
            "search: the space has one point, so there is nothing to search; give a field a range "
            "or more values",
            node.where,
        )


def _possible(
    parameter: Parameter,
    space: Space,
    base: Mapping[str, Any],
    known: Mapping[str, Mapping[str, tuple[Any, ...]]],
    node: Node,
) -> dict[str, tuple[Any, ...]]:
    """The values that other fields can have where this one varies: its conditions and theirs."""
    by_field = {other.field: other for other in space.parameters}
    allowed: dict[str, tuple[Any, ...]] = {}
    for field, values in parameter.when.items():
        owner = by_field.get(field)
        kept = tuple(value for value in values if _can_be(owner, field, value, base))
        # A field that varies only sometimes has its base value elsewhere.
        always = owner is None or any(same(value_at(base, field), value) for value in kept)
        inherited = {} if owner is None or always else known[field]
        for name, options in {field: kept, **inherited}.items():
            before = allowed.get(name, options)
            allowed[name] = tuple(v for v in before if any(same(v, other) for other in options))
        empty = next((name for name, options in allowed.items() if not options), None)
        if empty is not None:
            raise _never(parameter, empty, values if empty == field else (), node)
    return allowed


def _can_be(owner: Parameter | None, field: str, value: Any, base: Mapping[str, Any]) -> bool:
    if owner is not None and owner.holds(value):
        return True
    at_base = same(value_at(base, field), value)
    return at_base and (owner is None or bool(owner.when))


def _never(parameter: Parameter, field: str, values: tuple[Any, ...], node: Node) -> SweepError:
    asked = f"{field}={' or '.join(map(plain_text, values))}" if values else f"on {field}"
    child = node.value[parameter.field] if isinstance(node.value, Mapping) else node
    what = (
        f"its condition {asked} is never met"
        if values
        else f"its conditions {asked} contradict each other"
    )
    return SweepError(f"{parameter.field}: {what}, so it never varies", child.where)
