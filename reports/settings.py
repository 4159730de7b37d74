"""Variants whose other swept values are equal. Pure; fast where there are thousands."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

Swept = Mapping[str, Any]
"""Swept values of a variant by field; null: the field has no effect in it."""


def same_value(value: Any) -> Hashable:
    """A key that is equal for equal values: lists and objects by their JSON."""
    if isinstance(value, list | dict):
        return json.dumps(value, sort_keys=True)
    return value  # type: ignore[no-any-return]


class SettingIndex:
    """Finds variants by the values they share with another one.

    Two variants are alike if they are equal in every field that is not ignored; a field that has
    no effect in one of them does not differ.

    Args:
        variants: swept values of those to find, by name.
        ignored: fields in which they may differ.
    """

    def __init__(self, variants: Mapping[str, Swept], ignored: Iterable[str]) -> None:
        self._ignored = frozenset(ignored)
        self._order = {name: number for number, name in enumerate(variants)}
        self._by_fields: dict[tuple[str, ...], list[tuple[str, Swept]]] = {}
        for name, swept in variants.items():
            self._by_fields.setdefault(self._effective(swept), []).append((name, swept))
        self._tables: dict[tuple[tuple[str, ...], tuple[str, ...]], dict[Hashable, list[str]]] = {}

    def _effective(self, swept: Swept) -> tuple[str, ...]:
        return tuple(
            axis for axis, value in swept.items() if value is not None and axis not in self._ignored
        )

    def alike(self, swept: Swept) -> list[str]:
        """Names of the variants that are alike, in the order given."""
        own = set(self._effective(swept))
        found: list[str] = []
        for fields in self._by_fields:
            shared = tuple(axis for axis in fields if axis in own)
            key = tuple(same_value(swept[axis]) for axis in shared)
            found.extend(self._table(fields, shared).get(key, ()))
        return sorted(found, key=self._order.__getitem__)

    def _table(self, fields: tuple[str, ...], shared: tuple[str, ...]) -> dict[Hashable, list[str]]:
        table = self._tables.get((fields, shared))
        if table is None:
            table = {}
            for name, swept in self._by_fields[fields]:
                key = tuple(same_value(swept[axis]) for axis in shared)
                table.setdefault(key, []).append(name)
            self._tables[fields, shared] = table
        return table
