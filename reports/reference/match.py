"""Which published model a variant is to be set beside, and in what the two differ. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deit_core.variants import VARIANTS
from reports.reference.fields import UNKNOWN
from reports.reference.published import PublishedData, PublishedModel, PublishedRecipe, Reference
from reports.text import listing
from reports.variants import value_text

Settings = Mapping[str, Any]
"""Values by dotted config field; what is absent is not known."""

_GEOMETRY = ("embed_dim", "depth", "num_heads", "mlp_ratio", "patch_size")
_OTHER_PART = ("distill.", "teacher.")


@dataclass(frozen=True)
class Measured:
    """What is known of a variant: its settings, and the data its finished seeds say they saw."""

    settings: Settings
    train_images: int | None = None
    val_images: int | None = None
    num_classes: int | None = None

    def get(self, field: str) -> Any:
        """A setting, or UNKNOWN."""
        return self.settings.get(field, UNKNOWN)


@dataclass(frozen=True)
class Match:
    """The published model beside a variant."""

    row: PublishedModel
    why: str
    """In what they agree, and why this row where several do."""
    differences: tuple[str, ...]
    """What of data and recipe differs, in words."""
    unknown: tuple[str, ...]
    """Published settings that are not known of the variant."""
    unlike: str | None
    """Why accuracies must not be subtracted; null where they may."""


def match_variant(measured: Measured, reference: Reference) -> Match | str:
    """The published model to set beside a variant, or why there is none, in words.

    Model, resolution and distillation must be equal. Of several such rows those on the same data
    come first, then the one whose recipe differs least, then the first of the file.
    """
    found = _candidates(measured, reference)
    if isinstance(found, str):
        return found
    compared = [(row, _compare(measured, row, reference)) for row in found]
    best = min(compared, key=lambda one: (one[1][2] is not None, len(one[1][0])))
    row, (differences, unknown, unlike) = best
    why = f"model {_stem(row.model)}, {row.img_size} px, {_distillation(row.kind, row.token)}"
    if len(found) > 1:
        why += f"; of {len(found)} such rows the one whose recipe differs least"
    return Match(row, why, differences, unknown, unlike)


def _candidates(measured: Measured, reference: Reference) -> list[PublishedModel] | str:
    name, size, kind = (measured.get(f) for f in ("model.name", "model.img_size", "distill.kind"))
    if name is UNKNOWN:
        return "its model is not known"
    changed = _changed_geometry(str(name), measured)
    if changed:
        return f"its model is not the published {_stem(str(name))}: {listing(changed)}"
    rows = [row for row in reference.rows if _stem(row.model) == _stem(str(name))]
    if not rows:
        return f"{reference.title} lists no {name}"
    if size is UNKNOWN or kind is UNKNOWN:
        return "its resolution or its distillation is not known"
    sized = [row for row in rows if row.img_size == size]
    if not sized:
        sizes = listing([str(s) for s in sorted({row.img_size for row in rows})])
        return f"it was trained at {size} px, and published at {sizes} px"
    token = None if kind == "none" else measured.get("distill.token")
    fitting = [row for row in sized if row.kind == kind and _token_fits(row.token, token)]
    if not fitting:
        listed = sorted({_distillation(row.kind, row.token) for row in sized})
        return (
            f"it was trained with {_distillation(str(kind), token)}, and published with "
            f"{listing(listed)}"
        )
    return fitting


def _token_fits(published: bool | None, token: Any) -> bool:
    return published is None or token is None or token is UNKNOWN or published == token


def _stem(model: str) -> str:
    """The name without the resolution at its end: `deit_tiny_patch16_224` is a `..._patch16`."""
    return re.sub(r"_(\d{3})$", "", model)


def _distillation(kind: str, token: Any) -> str:
    if kind == "none":
        return "no distillation"
    if not isinstance(token, bool):
        return f"{kind} distillation"
    return f"{kind} distillation {'through a token' if token else 'of the class head'}"


def _changed_geometry(name: str, measured: Measured) -> list[str]:
    """Sizes in which a model of this package is not the published one of its name."""
    published = VARIANTS.get(name)
    if published is None:
        return []
    changed = []
    for key in _GEOMETRY:
        own, theirs = measured.get(f"model.{key}"), getattr(published, key)
        if own is not UNKNOWN and own is not None and own != theirs:
            changed.append(f"{key} {own:g} instead of {theirs:g}")
    return changed


def _compare(
    measured: Measured, row: PublishedModel, reference: Reference
) -> tuple[tuple[str, ...], tuple[str, ...], str | None]:
    """Differences, unknown settings, and why accuracies must not be subtracted."""
    recipe, data = reference.recipe_of(row), reference.data_of(row)
    unlike = _unlike_data(measured, data)
    differences = [] if unlike else _data_differences(measured, data)
    unknown: list[str] = []
    differences += _start_difference(measured, recipe)
    for field, value in recipe.settings.items():
        if row.kind == "none" and field.startswith(_OTHER_PART):
            continue
        own = _own_teacher(measured) if field == "teacher.name" else measured.get(field)
        if own is UNKNOWN:
            unknown.append(field)
        elif not _same(own, value):
            differences.append(f"{field}: {_shown(own)} here, {_shown(value)} published")
    return tuple(differences), tuple(unknown), unlike


def _unlike_data(measured: Measured, data: PublishedData) -> str | None:
    """Why the val images are not the published ones, or None where they are."""
    source = measured.get("data.source")
    sizes = (measured.val_images, measured.num_classes)
    published = (data.val_images, data.num_classes)
    if source is UNKNOWN:
        return f"it is not known what it was evaluated on; published: {data.source}"
    if source != data.source:
        if source in ("image_folder", "huggingface") and None not in published:
            if sizes == published:
                return None
            return f"{source} with {_sizes(sizes)}; published: {data.source}, {_sizes(published)}"
        return f"evaluated on {source}; published: {data.source}"
    for own, theirs, what in zip(sizes, published, ("val images", "classes"), strict=True):
        if own is not None and theirs is not None and own != theirs:
            return f"evaluated on {own:,} {what}; published: {theirs:,}"
    return None


def _sizes(sizes: tuple[int | None, int | None]) -> str:
    images, classes = (f"{n:,}" if n is not None else "an unknown number of" for n in sizes)
    return f"{images} val images, {classes} classes"


def _data_differences(measured: Measured, data: PublishedData) -> list[str]:
    found = []
    source = measured.get("data.source")
    if source != data.source:
        found.append(f"{source} here, taken for {data.source} as the numbers of images are equal")
    own, theirs = measured.train_images, data.train_images
    if own is not None and theirs is not None and own != theirs:
        found.append(f"{own:,} train images here, {theirs:,} published")
    return found


def _start_difference(measured: Measured, recipe: PublishedRecipe) -> list[str]:
    """Trained weights to start from, or none."""
    if recipe.finetuned is None or measured.get("train.duration") is UNKNOWN:
        return []
    here = any(f.startswith("finetune.") for f in measured.settings)
    if here == recipe.finetuned:
        return []
    words = {True: "from trained weights", False: "from scratch"}
    return [f"trained {words[here]} here, {words[recipe.finetuned]} in the published recipe"]


def _own_teacher(measured: Measured) -> Any:
    """The teacher's name; `trial` for one that the sweep trained itself."""
    if measured.get("teacher.trial") not in (UNKNOWN, None):
        return "one trained by the sweep itself"
    return measured.get("teacher.name")


def _same(own: Any, published: Any) -> bool:
    numbers = (int, float)
    if isinstance(own, numbers) and isinstance(published, numbers):
        return math.isclose(own, published, rel_tol=1e-9)
    if isinstance(own, Sequence) and isinstance(published, Sequence):
        return list(own) == list(published)
    return bool(own == published)


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else value_text(value)
