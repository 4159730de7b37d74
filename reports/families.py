"""Which variants belong together in a plot: same colour, same marker. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from reports.text import NOTHING
from reports.variants import KIND, Variant, value_text

MOST_FAMILIES = 8
"""More cannot be told apart by colour and marker."""
_MODEL = "model."
_NAME = "model.name"


def family_axis(variants: Sequence[Variant]) -> str | None:
    """The model's name if several are swept, else a field of the architecture, else the kind.

    None where no such field has two values, or every one has more than can be told apart.
    """
    axes = list(variants[0].swept) if variants else []
    names = [axis for axis in axes if axis == _NAME]
    architecture = [axis for axis in axes if axis.startswith(_MODEL) and axis not in names]
    for axis in (*names, *architecture, KIND):
        if axis in axes and 2 <= len({family_of(v, axis) for v in variants}) <= MOST_FAMILIES:
            return axis
    return None


def family_of(variant: Variant, axis: str | None) -> str:
    """What a family is called: the model's name, or `depth=6`; empty where all are one."""
    if axis is None:
        return ""
    value = variant.swept.get(axis)
    text = NOTHING if value is None else value_text(value)
    return text if axis == _NAME else f"{axis.rpartition('.')[2]}={text}"


def rest_of_label(variant: Variant, axis: str | None, names: dict[str, str]) -> str:
    """The label without the family; the family itself where nothing else differs.

    Args:
        variant: whose label.
        axis: the family's field.
        names: the fields in which the variants differ, and what they are called.
    """
    parts = [
        f"{names[one]}={value_text(value)}"
        for one, value in variant.swept.items()
        if value is not None and one != axis and one in names
    ]
    return ", ".join(parts) or family_of(variant, axis) or variant.label
