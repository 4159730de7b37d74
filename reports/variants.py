"""Group the trials of a sweep into variants, and find the baseline of each variant."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.errors import ReportError
from reports.results import SweepResults, TrialResult
from reports.settings import SettingIndex

KIND = "distill.kind"


@dataclass(frozen=True)
class Variant:
    """All seeds of one config."""

    group_id: str
    label: str
    """The swept values in short, such as `kind=hard, depth=6`."""
    swept: Mapping[str, Any]
    trials: tuple[TrialResult, ...]

    @property
    def values(self) -> dict[int, float]:
        """Top-1 accuracy in percent of each finished seed."""
        return self.seed_values("val_top1")

    def seed_values(self, field: str) -> dict[int, float]:
        """One number of the summaries, by seed, where it is known."""
        found = {}
        for trial in self.trials:
            value = getattr(trial.result, field, None)
            if value is not None:
                found[trial.planned.seed] = value
        return found


@dataclass(frozen=True)
class Baseline:
    """What the variants are compared with: all variants whose swept values match `selector`."""

    selector: Mapping[str, Any]
    of: Mapping[str, str]
    """Group id of a variant -> group id of its baseline; baselines and the unmatched are absent."""
    groups: tuple[str, ...]
    """Group ids of the baselines, in plan order."""
    chosen: str
    """Why these, in words."""

    @property
    def is_distillation_free(self) -> bool:
        """Whether the question is distillation against none."""
        return dict(self.selector) == {KIND: "none"}


def short_names(axes: Sequence[str]) -> dict[str, str]:
    """The last part of a dotted name where that is unique, else the whole name."""
    counts = Counter(axis.rpartition(".")[2] for axis in axes)
    return {axis: last if counts[last := axis.rpartition(".")[2]] == 1 else axis for axis in axes}


def value_text(value: Any) -> str:
    """A swept value as YAML users write it: strings bare, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def label_of(swept: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """`kind=soft, temperature=3`: fields without effect (null) are left out."""
    parts = [f"{names[axis]}={value_text(v)}" for axis, v in swept.items() if v is not None]
    return ", ".join(parts)


def axes_of(sweep: SweepResults) -> tuple[str, ...]:
    """The swept fields, in the order of the sweep file; the seed is no axis of a variant."""
    axes = list(sweep.plan.axes)
    for trial in sweep.students:
        axes.extend(axis for axis in trial.planned.swept if axis not in axes)
    return tuple(axis for axis in axes if axis != "seed")


def group_variants(sweep: SweepResults) -> tuple[Variant, ...]:
    """The variants in plan order, each with its seeds in plan order."""
    axes = axes_of(sweep)
    names = short_names(axes)
    groups: dict[str, list[TrialResult]] = {}
    for trial in sweep.students:
        groups.setdefault(trial.planned.group_id, []).append(trial)
    swept = {
        group: {axis: trials[0].planned.swept.get(axis) for axis in axes}
        for group, trials in groups.items()
    }
    labels = {group: label_of(values, names) for group, values in swept.items()}
    return tuple(
        Variant(group, labels[group] or sweep.plan.sweep, swept[group], tuple(trials))
        for group, trials in groups.items()
    )


NO_BASELINE = Baseline({}, {}, (), "none: the points of a search are compared with nothing")
"""Of a search: its first point is no more of a baseline than any other. `--baseline` names one."""


def find_baseline(variants: Sequence[Variant], wanted: str | None = None) -> Baseline:
    """The baselines and who is compared with which.

    Without `wanted`: the variants without distillation where that is swept, else the first
    variant of the plan. A variant is compared with the baseline that has the same values in all
    swept fields that the choice leaves open.

    Raises:
        ReportError: `wanted` matches no variant, or several baselines fit one variant.
    """
    if not variants:
        return Baseline({}, {}, (), "there is no variant")
    first = variants[0]
    if wanted is not None:
        selector, chosen = _parse_selector(variants, wanted), "chosen by --baseline"
    elif any(variant.swept.get(KIND) == "none" for variant in variants):
        selector, chosen = {KIND: "none"}, "the variants without distillation"
    else:
        selector, chosen = dict(first.swept), "the first variant of the sweep"
    baselines = {v.group_id: v for v in variants if _selects(selector, v)}
    index = SettingIndex({group: v.swept for group, v in baselines.items()}, ignored=selector)
    matches = {}
    for variant in variants:
        if variant.group_id in baselines:
            continue
        fitting = [baselines[group] for group in index.alike(variant.swept)]
        if len(fitting) > 1:
            raise ReportError(
                f"--baseline {wanted!r} fits several variants ({fitting[0].label}; "
                f"{fitting[1].label}); name more fields, such as {fitting[0].label!r}"
            )
        if fitting:
            matches[variant.group_id] = fitting[0].group_id
    return Baseline(selector, matches, tuple(baselines), chosen)


def _selects(selector: Mapping[str, Any], variant: Variant) -> bool:
    return all(variant.swept.get(axis) == value for axis, value in selector.items())


def _parse_selector(variants: Sequence[Variant], wanted: str) -> dict[str, Any]:
    """`kind=none, depth=6`, dotted or short, into the swept values it means."""
    for variant in variants:
        if wanted.strip() == variant.label:
            return dict(variant.swept)
    axes = tuple(variants[0].swept)
    by_name = {name: axis for axis, name in short_names(axes).items()} | {a: a for a in axes}
    selector: dict[str, Any] = {}
    for part in wanted.split(","):
        name, _, text = (piece.strip() for piece in part.partition("="))
        axis = by_name.get(name, "")
        values = {value_text(v.swept[axis]): v.swept[axis] for v in variants} if axis else {}
        if text not in values:
            raise ReportError(_unknown_baseline(wanted, variants))
        selector[axis] = values[text]
    if not any(_selects(selector, variant) for variant in variants):
        raise ReportError(_unknown_baseline(wanted, variants))
    return selector


def _unknown_baseline(wanted: str, variants: Sequence[Variant]) -> str:
    shown = "; ".join(variant.label for variant in variants[:6])
    more = f"; and {len(variants) - 6} more" if len(variants) > 6 else ""
    return f"--baseline {wanted!r} is no variant of this sweep; valid: {shown}{more}"
