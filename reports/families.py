"""Which variants belong together in a plot: same colour, same marker. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from reports.text import NOTHING
from reports.variants import KIND, Variant, value_text

MOST_FAMILIES = 8
"""More cannot be told apart by colour and marker."""
_MODEL = "model."


def family_axis(variants: Sequence[Variant]) -> str | None:
    """The model's name if several are swept, else a field of the architecture, else the kind.

    None where no such field has two values, or every one has more than can be told apart.
    """
    axes = list(variants[0].swept) if variants else []
    names = [axis for axis in axes if axis == f"{_MODEL}name"]
    architecture = [axis for axis in axes if axis.startswith(_MODEL) and axis not in names]
    for axis in (*names, *architecture, KIND):
        if axis in axes and 2 <= len({family_of(v, axis) for v in variants}) <= MOST_FAMILIES:
            return axis
    return None


def family_of(variant: Variant, axis: str | None) -> str:
    """The value that names the family; empty where all are one."""
    if axis is None:
        return ""
    value = variant.swept.get(axis)
    return NOTHING if value is None else value_text(value)


def rest_of_label(variant: Variant, axis: str | None, names: dict[str, str]) -> str:
    """The label without the family; the family itself where nothing else is swept."""
    parts = [
        f"{names[one]}={value_text(value)}"
        for one, value in variant.swept.items()
        if value is not None and one != axis
    ]
    return ", ".join(parts) or family_of(variant, axis) or variant.label
