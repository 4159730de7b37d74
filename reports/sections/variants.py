"""The main table, and the seeds behind it."""

from __future__ import annotations

from reports.context import Context
from reports.document import Block, Figure, Paragraph, Section
from reports.figures.accuracy import accuracy_plot
from reports.main_table import main_table
from reports.method import legend
from reports.table import comparison_table, same_images_table, seed_table

_SAME_IMAGES = (
    "McNemar's exact test asks whether one of two checkpoints is right more often than the other "
    "on images like these. It says nothing about other seeds, so nothing about whether one method "
    "is better than the other, and the verdict stays: not tested. The interval is Newcombe's for "
    "paired proportions; p is adjusted by Holm's method over the seeds of a pair."
)


def variants_section(context: Context) -> Section:
    """One row per variant."""
    blocks: list[Block] = [
        main_table(context.analysis, context.rounding),
        Paragraph(" ".join(legend(context.sweep, context.analysis)), "legend"),
    ]
    return Section("variants", "Result" if context.sweep.single_run else "Variants", tuple(blocks))


def seeds_section(context: Context) -> Section | None:
    """Every seed as a point; None for a single run, as one point shows nothing."""
    if context.sweep.single_run:
        return None
    plot = accuracy_plot(context.analysis, " ".join(context.answer[:2]))
    caption = ["Points: seeds. Bar: mean with 95 % interval."]
    if plot.reference is not None:
        caption.append("Dashed: the mean of the baseline.")
    if plot.has_crosses:
        caption.append("Crosses at the left edge: seeds without a result.")
    figure = Figure(
        "accuracy",
        plot.title,
        plot.description,
        " ".join(filter(None, (*caption, plot.cut))),
        plot,
        seed_table(context.analysis, context.rounding),
    )
    blocks: list[Block] = [figure]
    pairs = comparison_table(context.analysis, context.rounding)
    if pairs:
        blocks.append(pairs)
    images = same_images_table(context.analysis)
    if images:
        blocks += [images, Paragraph(_SAME_IMAGES, "legend")]
    return Section("seeds", "Every seed", tuple(blocks))
