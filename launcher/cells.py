"""The cells of a sweep: every combination of axis rows in which a field's conditions hold."""

from __future__ import annotations

import graphlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from launcher.axes import Axis, Row, Setting
from launcher.errors import SweepError
from launcher.fields import value_at

Values = Mapping[str, Any]
"""A training config as plain nested dicts."""

SKIPPED = -1
"""Row number of an axis that does not vary in a cell."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination."""

    rows: tuple[int, ...]
    """Row of each axis, in axis order."""
    settings: Mapping[str, Setting]
    """The fields that vary here."""


def make_cells(axes: Sequence[Axis], base: Values) -> list[Cell]:
    """All cells, in axis order with the last axis fastest.

    Raises:
        SweepError: fields whose conditions depend on each other in a circle.
    """
    order = _dependency_order(axes)
    cells = [Cell((), {})]
    for number in order:
        axis = axes[number]
        cells = [
            Cell((*cell.rows, row_number), {**cell.settings, **row})
            for cell in cells
            for row_number, row in _open_rows(axis, cell, base)
        ]
    position = [order.index(number) for number in range(len(axes))]
    if position != sorted(position):
        cells = [Cell(tuple(c.rows[p] for p in position), c.settings) for c in cells]
        cells.sort(key=lambda cell: cell.rows)
    return cells


def with_settings(base: Values, settings: Mapping[str, Setting]) -> dict[str, Any]:
    """The base config with a cell's values; shares what it does not change."""
    values = dict(base)
    for field, setting in settings.items():
        _put(values, field.split("."), setting.value)
    return values


def _put(values: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Set `value` at `path`, copying the dicts on the way."""
    *sections, name = path
    for section in sections:
        below = values.get(section)
        values[section] = dict(below) if isinstance(below, Mapping) else {}
        values = values[section]
    values[name] = value


def _dependency_order(axes: Sequence[Axis]) -> list[int]:
    """Axis numbers such that conditions look back only."""
    owner = {field: number for number, axis in enumerate(axes) for field in axis.fields}
    graph: dict[int, list[int]] = {
        number: sorted(
            {
                owner[condition.field]
                for conditions in axis.when.values()
                for condition in conditions
                if condition.field in owner and owner[condition.field] != number
            }
        )
        for number, axis in enumerate(axes)
    }
    try:
        return list(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        axis = axes[error.args[1][0]]
        raise _circle(axis) from None


def _circle(axis: Axis) -> SweepError:
    fields = ", ".join(axis.when)
    return SweepError(f"{fields}: the `when` conditions lead back to themselves", axis.location)


def _open_rows(axis: Axis, cell: Cell, base: Values) -> list[tuple[int, Row]]:
    """The axis's rows without the fields whose conditions do not hold in this cell."""
    if not axis.when:
        return list(enumerate(axis.rows))
    rows: dict[tuple[tuple[str, int], ...], tuple[int, Row]] = {}
    for number, row in enumerate(axis.rows):
        reduced = _open_fields(axis, row, cell, base)
        key = tuple((field, id(setting)) for field, setting in reduced.items())
        rows.setdefault(key, (number if reduced else SKIPPED, reduced))
    return list(rows.values())


def _open_fields(axis: Axis, row: Row, cell: Cell, base: Values) -> Row:
    """The fields of one row that vary; a condition may name another field of the same row."""
    is_open: dict[str, bool] = {}

    def check(field: str, trail: tuple[str, ...]) -> bool:
        if field in trail:
            raise _circle(axis)
        if field not in is_open:
            is_open[field] = all(
                condition.holds(current(condition.field, (*trail, field)))
                for condition in axis.when.get(field, ())
            )
        return is_open[field]

    def current(field: str, trail: tuple[str, ...]) -> Any:
        if field in row and check(field, trail):
            return row[field].value
        setting = cell.settings.get(field)
        return setting.value if setting else value_at(base, field)

    return {field: setting for field, setting in row.items() if check(field, ())}
