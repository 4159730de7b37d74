"""`axes:` of a sweep file: which fields vary, and which of their values belong together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from pydantic import ValidationError

from deit_core.config_checks import translate_errors
from launcher.axes import Axis, Condition, Setting, same
from launcher.errors import Location, SweepError
from launcher.fields import field_problem, overlap, value_problem
from launcher.layers import flatten, nest, unknown_key
from launcher.search.config import Range, Search
from launcher.search.draws import draw_choice, draw_range
from launcher.yaml_source import Node


def parse_axes(axes: Mapping[str, Node], search: Search) -> tuple[Axis, ...]:
    """The axes of a sweep file, in its order.

    Raises:
        SweepError: an unknown field, a value that does not fit its field, no values, lists of
            unequal length in `zip`, a field that varies twice, a condition that never holds.
    """
    parsed: list[Axis] = []
    for name, node in axes.items():
        block = _BLOCKS.get(name)
        parsed.extend(block(node, search) if block else [_single(name, node)])
    _check_overlaps(parsed)
    return tuple(parsed)


# one field ---------------------------------------------------------------------------------------


def _single(field: str, node: Node) -> Axis:
    check_field(field, node.where)
    values = node
    when: tuple[Condition, ...] = ()
    if isinstance(node.value, Mapping):
        entries = parse_options(field, node, ("values", "when"))
        if "values" not in entries:
            raise SweepError(f"{field}: an axis needs `values: [...]`", node.where)
        values, when = entries["values"], parse_conditions(field, entries.get("when"))
    settings = parse_settings(field, values)
    rows = tuple({field: setting} for setting in settings)
    return Axis((field,), rows, node.where, field, {field: when} if when else {})


def check_field(field: str, location: Location) -> None:
    """Refuse what is no field that can vary. Raises SweepError."""
    if field == "seed":
        raise SweepError("seed: is no axis; list seeds under `seeds:`", location)
    problem = field_problem(field)
    if problem is not None:
        raise SweepError(f"{field}: {problem}", location)


def parse_settings(field: str, node: Node) -> tuple[Setting, ...]:
    """The values of a field, each valid and listed once. Raises SweepError."""
    if not isinstance(node.value, tuple):
        raise SweepError(
            f"{field}: an axis takes a list of values, but {node.kind} is given; write [..., ...]",
            node.location,
        )
    if not node.value:
        raise SweepError(f"{field}: the axis has no values; list some or remove it", node.location)
    settings: list[Setting] = []
    for item in node.value:
        setting = _setting(field, item)
        if any(same(setting.value, earlier.value) for earlier in settings):
            raise SweepError(f"{field}: {item.kind} is listed twice; remove one", item.location)
        settings.append(setting)
    return tuple(settings)


def _setting(field: str, node: Node) -> Setting:
    value = node.plain()
    problem = value_problem(field, value)
    if problem is not None:
        raise SweepError(str(problem), node.location)
    return Setting(value, node.location)


def parse_options(field: str, node: Node, valid: tuple[str, ...]) -> Mapping[str, Node]:
    """The entries of a mapping with fixed keys. Raises SweepError."""
    entries = node.value
    if not isinstance(entries, Mapping):
        raise SweepError(f"{field}: expected a mapping, but {node.kind} is given", node.location)
    for key, child in entries.items():
        if key not in valid:
            raise unknown_key(f"{field}.{key}", valid, child)
    return entries


def parse_conditions(field: str, node: Node | None) -> tuple[Condition, ...]:
    """`when` of a field. Raises SweepError."""
    if node is None:
        return ()
    if not isinstance(node.value, Mapping) or not node.value:
        raise SweepError(
            f"{field}: `when` takes other fields and their values, such as "
            f"{{distill.kind: soft}}, but {node.kind} is given",
            node.location,
        )
    return tuple(
        _condition(field, name, child) for name, child in flatten(nest(node.value)).items()
    )


def _condition(field: str, other: str, node: Node) -> Condition:
    if overlap(field, other):
        raise SweepError(f"{field}: cannot depend on itself", node.where)
    check_field(other, node.where)
    items = node.value if isinstance(node.value, tuple) else (node,)
    if not items:
        raise SweepError(f"{field}: `when` lists no value of {other}", node.location)
    return Condition(other, tuple(_setting(other, item).value for item in items), node.location)


# several fields together -------------------------------------------------------------------------


def _groups(block: str, node: Node, *, empty: bool = False) -> list[Mapping[str, Node]]:
    """The mappings of a block that takes one mapping or a list of them; `empty` ones too."""
    items = node.value if isinstance(node.value, tuple) else (node,)
    groups: list[Mapping[str, Node]] = []
    for item in items:
        if not isinstance(item.value, Mapping) or not (item.value or empty):
            raise SweepError(
                f"{block}: expected `field: ...` entries, but {item.kind} is given", item.location
            )
        fields = flatten(nest(item.value))
        for field, child in fields.items():
            check_field(field, child.where)
        groups.append(fields)
    if not groups:
        raise SweepError(f"{block}: the axis has no values; list some or remove it", node.location)
    return groups


def _zip(node: Node, _: Search) -> list[Axis]:
    return [_zip_group(group) for group in _groups("zip", node)]


def _zip_group(group: Mapping[str, Node]) -> Axis:
    columns: dict[str, list[Setting]] = {}
    for field, node in group.items():
        if not isinstance(node.value, tuple) or not node.value:
            raise SweepError(
                f"zip: {field} takes a list of values, but {node.kind} is given", node.location
            )
        columns[field] = [_setting(field, item) for item in node.value]
    lengths = {field: len(column) for field, column in columns.items()}
    first = next(iter(lengths))
    for field, length in lengths.items():
        if length != lengths[first]:
            raise SweepError(
                f"zip: {first} has {lengths[first]} values but {field} has {length}; "
                f"fields that move together need equally many",
                group[field].where,
            )
    rows = tuple(
        {field: column[i] for field, column in columns.items()} for i in range(lengths[first])
    )
    return Axis(tuple(columns), rows, group[first].where, "zip", {})


def _list(node: Node, _: Search) -> list[Axis]:
    if not isinstance(node.value, tuple):
        raise SweepError(
            f"list: expected a list of `field: value` entries, but {node.kind} is given",
            node.location,
        )
    rows = [
        {field: _setting(field, child) for field, child in group.items()}
        for group in _groups("list", node, empty=True)
    ]
    fields = tuple(dict.fromkeys(field for row in rows for field in row))
    if not fields:
        raise SweepError("list: no entry names a field, so nothing varies", node.location)
    return [Axis(fields, tuple(rows), node.where, "list", {})]


# random ------------------------------------------------------------------------------------------


def _random(node: Node, search: Search) -> list[Axis]:
    if not isinstance(node.value, Mapping) or not node.value:
        raise SweepError(
            f"random: expected `field: {{low: ..., high: ...}}` entries, but {node.kind} is given",
            node.location,
        )
    columns: dict[str, list[Setting]] = {}
    when: dict[str, tuple[Condition, ...]] = {}
    for field, child in node.value.items():
        check_field(field, child.where)
        columns[field] = _draws(field, child, search)
        conditions = child.value.get("when") if isinstance(child.value, Mapping) else None
        if conditions is not None:
            when[field] = parse_conditions(field, conditions)
    rows = tuple(
        {field: column[i] for field, column in columns.items()} for i in range(search.trials or 0)
    )
    return [Axis(tuple(columns), rows, node.where, "random", when)]


def _draws(field: str, node: Node, search: Search) -> list[Setting]:
    if isinstance(node.value, Mapping):
        keys = tuple(Range.model_fields)
        entries = parse_options(field, node, (*keys, "values", "when"))
        if "values" not in entries:
            bounds = {key: child for key, child in entries.items() if key != "when"}
            return _range_draws(field, Node(bounds, node.location, node.key), search)
        given = next((key for key in keys if key in entries), None)
        if given:
            raise SweepError(f"{field}: give `values` or a range, not both", entries[given].where)
        node = entries["values"]
    return draw_choice(search, field, parse_settings(field, node))


def parse_range(field: str, node: Node) -> Range:
    """The bounds of a field. Raises SweepError."""
    given = node.plain()
    if "low" not in given or "high" not in given:
        raise SweepError(
            f"{field}: give `low` and `high`, or a list of values to choose from", node.location
        )
    try:
        return Range.model_validate(given)
    except ValidationError as error:
        wrong = translate_errors(error, Range)[0]
        path = ".".join((field, *wrong.path))
        raise SweepError(f"{path}: {wrong.message}", node.where) from None


def _range_draws(field: str, node: Node, search: Search) -> list[Setting]:
    spec = parse_range(field, node)
    drawn = draw_range(search, field, spec)
    for value in drawn:
        problem = value_problem(field, value)
        if problem is not None:
            hint = "; add `int: true`" if "integer" in problem.message else ""
            raise SweepError(f"{problem}{hint}", node.where)
    return [Setting(value, node.where) for value in drawn]


_BLOCKS: Mapping[str, Callable[[Node, Search], list[Axis]]] = {
    "zip": _zip,
    "list": _list,
    "random": _random,
}


# checks over all axes ----------------------------------------------------------------------------


def _check_overlaps(axes: Iterable[Axis]) -> None:
    seen: dict[str, Axis] = {}
    for axis in axes:
        for field in axis.fields:
            for other, first in seen.items():
                if overlap(field, other):
                    raise SweepError(
                        f"{field} varies twice, first in line {first.location.line}; "
                        f"keep one of the two",
                        axis.location,
                    )
        seen |= dict.fromkeys(axis.fields, axis)
