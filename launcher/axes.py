"""What varies in a sweep: axes, their rows of values, and the conditions they vary under."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from launcher.errors import Location
from launcher.trial_names import plain_text


@dataclass(frozen=True)
class Setting:
    """A value of a swept field and where the file gives it."""

    value: Any
    location: Location


Row = Mapping[str, Setting]
"""Fields that are set together."""


@dataclass(frozen=True)
class Condition:
    """A field varies only where another field has one of these values."""

    field: str
    values: tuple[Any, ...]
    location: Location

    def __str__(self) -> str:
        return f"{self.field}={' or '.join(map(plain_text, self.values))}"

    def holds(self, value: Any) -> bool:
        """Whether the other field's value is one of the condition's."""
        return any(same(value, expected) for expected in self.values)


@dataclass(frozen=True)
class Axis:
    """One factor of the sweep: one of `rows` is in force at a time."""

    fields: tuple[str, ...]
    rows: tuple[Row, ...]
    location: Location
    block: str
    """Key of `axes:` it comes from: its field, or zip, list, random."""
    when: Mapping[str, tuple[Condition, ...]]
    """Conditions by field; all must hold."""

    def without(self, fields: Iterable[str]) -> Axis | None:
        """The axis with these fields taken out; None where none is left."""
        gone = set(fields)
        left = tuple(field for field in self.fields if field not in gone)
        if not left:
            return None
        rows = [{f: s for f, s in row.items() if f not in gone} for row in self.rows]
        distinct = {tuple((f, repr(s.value)) for f, s in row.items()): row for row in rows}
        when = {field: conditions for field, conditions in self.when.items() if field in left}
        return replace(self, fields=left, rows=tuple(distinct.values()), when=when)


def same(one: Any, other: Any) -> bool:
    """Equality that tells true from 1."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
