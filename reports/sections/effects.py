"""What each swept field changes, and what fields do together."""

from __future__ import annotations

from collections.abc import Sequence

from reports.analysis import Analysis
from reports.context import Context
from reports.document import Block, Figure, Paragraph, Section
from reports.effect_tables import (
    ablation_table,
    axis_table,
    effect_title,
    grid_figure,
    interaction_table,
)
from reports.effects import (
    AxisEffects,
    PairInteractions,
    axis_effects,
    one_change_list,
    pair_interactions,
)
from reports.figures.forest import ForestPlot, ForestRow
from reports.stats import AxisEffect
from reports.table import effect_table
from reports.text import Rounding, listing

_MOST_ROWS = 45
_MOST_SENTENCES = 5


def effects_section(context: Context) -> Section | None:
    """None where no two levels of a field met at otherwise equal settings, or in a search."""
    if context.sweep.search is not None and context.options.baseline is None:
        return None  # its points are chosen, not crossed
    analysis, rounding = context.analysis, context.rounding
    axes = axis_effects(analysis)
    if not axes:
        return None
    pairs = pair_interactions(analysis, axes)
    blocks: list[Block] = [
        Paragraph(" ".join([*_sentences(axes, rounding), *_together(pairs, rounding)])),
        _forest(axes, rounding),
    ]
    changes = one_change_list(analysis)
    if changes:
        blocks.append(ablation_table(changes, analysis, rounding))
    kinds = effect_table(analysis, rounding)
    if kinds:
        blocks.append(kinds)
    if len(axes) == 2 and len(analysis.variants[0].swept) == 2:
        blocks.append(grid_figure(axes, analysis, rounding))
    if pairs:
        blocks.append(interaction_table(pairs, rounding))
    blocks.append(Paragraph(" ".join(_legend(analysis, axes, pairs)), "legend"))
    return Section("effects", "What each field changes", tuple(blocks))


def _sentences(axes: Sequence[AxisEffects], rounding: Rounding) -> list[str]:
    """The largest effect of each field, in words."""
    sentences = []
    for axis in axes[:_MOST_SENTENCES]:
        largest = max(axis.effects, key=lambda effect: abs(effect.delta))
        sentences.append(_sentence(axis, largest, rounding))
    if len(axes) > _MOST_SENTENCES:
        sentences.append(f"{len(axes) - _MOST_SENTENCES} more fields are in the figure.")
    return sentences


def _sentence(axis: AxisEffects, effect: AxisEffect, rounding: Rounding) -> str:
    finer = rounding.finer(effect.interval)
    better, baseline = effect.level, effect.reference
    most = "The largest difference of " if len(axis.effects) > 1 else ""
    name = f"{most}{axis.name}: " if most else f"{axis.name}: "
    pair = f"{effect_title(better)} against {effect_title(baseline)}"
    amount = f"{finer.signed(effect.delta)} points"
    if effect.interval is None:
        return f"{name}{pair}, {amount}, not tested."
    said = {
        "better": f"better, {amount}",
        "baseline better": f"{effect_title(baseline)} is better, {amount}",
        "not distinguishable": f"not distinguishable, {amount}",
    }[effect.verdict]
    averaged = f", mean of {effect.settings} settings" if effect.settings > 1 else ""
    return f"{name}{pair}: {said} ({finer.span(effect.interval)}{averaged})."


def _together(pairs: Sequence[PairInteractions], rounding: Rounding) -> list[str]:
    """Which fields do more or less together than the sum of each alone."""
    if not pairs:
        return []
    found = []
    for pair in pairs:
        for one in pair.found:
            if one.verdict in ("more than the sum", "less than the sum"):
                both = [
                    f"{name}={effect_title(level)}"
                    for name, level in zip(pair.names, one.levels, strict=True)
                ]
                amount = rounding.finer(one.interval).signed(one.delta)
                found.append(f"{both[0]} with {both[1]} gives {one.verdict} ({amount} points)")
    if found:
        return [f"Together, {listing(found, 4)}."]
    tested = any(one.interval for pair in pairs for one in pair.found)
    if not tested:
        return ["Whether fields depend on each other is not tested: it takes two seeds each."]
    return ["That the effect of one field depends on another is not shown."]


def _forest(axes: Sequence[AxisEffects], rounding: Rounding) -> Figure:
    rows: list[ForestRow] = []
    total = sum(len(axis.effects) for axis in axes)
    for axis in axes:
        if len(rows) + 1 + len(axis.effects) > _MOST_ROWS and rows:
            break
        reference = effect_title(axis.effects[0].reference)
        rows.append(ForestRow(f"{axis.name} (against {reference})"))
        rows += [_forest_row(axis, effect, rounding) for effect in axis.effects]
    drawn = sum(row.delta is not None for row in rows)
    caption = (
        "Points right of the line: better than the reference level. Bars: 95 % simultaneous "
        "intervals within a field. Filled: the interval excludes 0; hollow: it does not, or there "
        "is none."
    )
    if drawn < total:
        caption += f" {drawn} of {total} differences are drawn; the table has all."
    plot = ForestPlot(tuple(rows), "difference in val top-1 (percentage points)")
    description = " ".join(_sentences(axes, rounding))
    title = "Difference in top-1 of each level from the reference level"
    return Figure("effects", title, description, caption, plot, axis_table(axes, rounding))


def _forest_row(axis: AxisEffects, effect: AxisEffect, rounding: Rounding) -> ForestRow:
    finer = rounding.finer(effect.interval)
    level = effect_title(effect.level)
    span = f" ({finer.span(effect.interval)})" if effect.interval else ""
    title = f"{axis.name}={level}: {finer.signed(effect.delta)} points{span}, {effect.verdict}"
    return ForestRow(level, effect.delta, effect.interval, effect.verdict, title)


def _legend(
    analysis: Analysis, axes: Sequence[AxisEffects], pairs: Sequence[PairInteractions]
) -> list[str]:
    sentences = []
    if any(effect.settings > 1 for axis in axes for effect in axis.effects):
        sentences.append(
            "A difference is taken between variants that are equal in every other swept field, and "
            "averaged over these settings; its interval speaks of these settings only."
        )
    if analysis.tested:
        sentences.append(
            "Intervals hold together for the levels of one field, not over all fields; a level "
            "that was compared once keeps the interval of the main table, and kinds of "
            "distillation those of the answer."
        )
    if pairs:
        sentences.append(
            "An interaction is the difference that one field makes at a level of another, minus "
            "the difference it makes at the reference level; intervals hold together for one pair "
            "of fields."
        )
    return sentences
