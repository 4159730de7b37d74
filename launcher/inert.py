"""Axes without effect: where changing a field does not change the trial.

Nothing here knows which fields those are (temperature under hard distillation, say): a field is
inert in a cell when the group id stays the same under the other values of its axis.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from launcher.axes import Axis, Setting, same
from launcher.cells import SKIPPED, Cell

MAX_ALTERNATIVES = 3
"""Other values tried for a field that moves together with others. In the one-field axes of a grid
the other cells show the effect of every value at no cost."""

IdOf = Callable[[Mapping[str, Setting]], str | None]
"""Group id of a combination of settings; None where the config is not valid."""


def inert_fields(
    axes: Sequence[Axis], cells: Sequence[Cell], ids: Sequence[str], id_of: IdOf
) -> list[set[str]]:
    """For each cell, the fields that vary there without effect.

    `ids` are the group ids of the cells.
    """
    inert: list[set[str]] = [set() for _ in cells]
    for number, axis in enumerate(axes):
        if len(axis.fields) == 1:
            for position in _inert_in_grid(number, cells, ids):
                inert[position].add(axis.fields[0])
        else:
            for position, field in _inert_in_rows(axis, cells, ids, id_of):
                inert[position].add(field)
    return inert


def _inert_in_grid(number: int, cells: Sequence[Cell], ids: Sequence[str]) -> Iterator[int]:
    """Cells that differ in one axis only and are all the same trial."""
    lines: dict[tuple[int, ...], list[int]] = {}
    for position, cell in enumerate(cells):
        if cell.rows[number] != SKIPPED:
            others = cell.rows[:number] + cell.rows[number + 1 :]
            lines.setdefault(others, []).append(position)
    for line in lines.values():
        if len(line) > 1 and len({ids[position] for position in line}) == 1:
            yield from line


def _inert_in_rows(
    axis: Axis, cells: Sequence[Cell], ids: Sequence[str], id_of: IdOf
) -> Iterator[tuple[int, str]]:
    """Fields that move with others: try other values of the field alone."""
    samples = {
        field: _samples(row[field] for row in axis.rows if field in row) for field in axis.fields
    }
    for position, cell in enumerate(cells):
        for field in axis.fields:
            setting = cell.settings.get(field)
            if setting is None:
                continue
            others = [other for other in samples[field] if not same(other.value, setting.value)]
            if others and all(
                id_of({**cell.settings, field: other}) == ids[position]
                for other in others[:MAX_ALTERNATIVES]
            ):
                yield position, field


def fields_of_base(
    axes: Sequence[Axis], cells: Sequence[Cell], ids: Sequence[str], id_of: IdOf
) -> list[set[str]]:
    """For each cell, the fields that its entry of a list leaves to the base, to some effect."""
    left: list[set[str]] = [set() for _ in cells]
    for number, axis in enumerate(axes):
        if all(field in row for row in axis.rows for field in axis.fields):
            continue
        samples = {f: _samples(row[f] for row in axis.rows if f in row) for f in axis.fields}
        for position, cell in enumerate(cells):
            if cell.rows[number] == SKIPPED:
                continue
            for field in set(axis.fields) - set(axis.rows[cell.rows[number]]):
                others = samples[field][:MAX_ALTERNATIVES]
                if any(id_of({**cell.settings, field: s}) != ids[position] for s in others):
                    left[position].add(field)
    return left


def _samples(column: Iterable[Setting]) -> list[Setting]:
    """Distinct values of a column: as many as any of its rows needs to have alternatives."""
    found: list[Setting] = []
    for setting in column:
        if not any(same(setting.value, other.value) for other in found):
            found.append(setting)
            if len(found) > MAX_ALTERNATIVES:
                break
    return found


def inert_notes(
    cells: Sequence[Cell], ids: Sequence[str], inert: Sequence[Collection[str]], seeds: int
) -> list[str]:
    """One sentence for each group of fields that have no effect in the same cells."""
    where: dict[str, tuple[int, ...]] = {}
    for field in dict.fromkeys(field for cell in cells for field in cell.settings):
        positions = tuple(p for p, fields in enumerate(inert) if field in fields)
        if positions:
            where[field] = positions
    notes = []
    for positions in dict.fromkeys(where.values()):
        fields = [field for field, at in where.items() if at == positions]
        distinct = len({ids[position] for position in positions}) * seeds
        combinations = len(positions) * seeds
        notes.append(
            f"{' and '.join(fields)} {'have' if len(fields) > 1 else 'has'} no effect "
            f"{_circumstances(fields, cells, set(positions))}: {combinations} combinations are "
            f"{distinct} distinct trial{'s' if distinct > 1 else ''}"
        )
    return notes


def _circumstances(fields: Sequence[str], cells: Sequence[Cell], positions: set[int]) -> str:
    """When the fields are inert, in terms of another field where that is the whole truth."""
    varies = [p for p, cell in enumerate(cells) if fields[0] in cell.settings]
    if len(varies) == len(positions):
        return "in this sweep"
    explanations: list[tuple[str, ...]] = []
    candidates = [f for f in dict.fromkeys(f for c in cells for f in c.settings) if f not in fields]
    for other in candidates:
        inside = _values(other, cells, positions)
        outside = _values(other, cells, set(varies) - positions)
        if inside and not set(inside) & set(outside):
            explanations.append(tuple(f"{other}={value}" for value in inside))
    if not explanations:
        return f"in {len(positions)} of {len(varies)} combinations"
    first, *more = min(explanations, key=len)
    return "with " + " or ".join((first, *(text.partition("=")[2] for text in more)))


def _values(field: str, cells: Sequence[Cell], positions: Collection[int]) -> list[str]:
    """The field's values in these cells as text; `unset` where it does not vary."""
    settings = (cells[position].settings.get(field) for position in sorted(positions))
    return list(dict.fromkeys(str(s.value) if s else "unset" for s in settings))
