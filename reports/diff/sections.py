"""The tables of a comparison of two sweeps."""

from __future__ import annotations

from collections.abc import Sequence

from reports.diff.settings import Row
from reports.diff.stats import Difference, Differences, SpeedDifference
from reports.document import Block, Cell, Column, Paragraph, Section, Table
from reports.speed.throughput import significant
from reports.text import NOTHING, Rounding, count

_MOST_ROWS = 1000
_QUANTITIES = {
    "inference": "inference",
    "training": "training",
    "training_with_data": "training with data",
}


def differences_section(found: Differences, rounding: Rounding) -> Section | None:
    """Accuracy of every variant that both sweeps have."""
    if not found.accuracy:
        return None
    columns = (
        Column("variant"),
        Column("matched by"),
        Column("n in A", numeric=True),
        Column("n in B", numeric=True),
        Column("A, top-1 (%)", numeric=True),
        Column("B, top-1 (%)", numeric=True),
        Column("B - A (points)", numeric=True),
        Column("95 % interval", numeric=True),
        Column("at equal seeds (points)", numeric=True),
        Column("verdict"),
    )
    # Largest loss first: that is what a reader looks for.
    ordered = sorted(found.accuracy, key=lambda one: one.delta if one.delta is not None else 101.0)
    rows = tuple(_row(one, rounding) for one in ordered[:_MOST_ROWS])
    caption = "Top-1 accuracy in both sweeps, largest loss first"
    if len(ordered) > _MOST_ROWS:
        caption += f" (the first {_MOST_ROWS} of {len(ordered):,}; diff.json has all)"
    table = Table(caption, columns, rows, name="differences")
    return Section("differences", "Accuracy", (table, Paragraph(_legend(found), "legend")))


def _row(one: Difference, rounding: Rounding) -> tuple[Cell, ...]:
    fine = rounding.finer(one.interval)
    paired = NOTHING
    if one.paired is not None:
        span = f" ({fine.span(one.paired.interval)})" if one.paired.interval else ""
        paired = f"{fine.signed(one.paired.mean)}{span}, n = {one.paired.seeds}"
    return (
        Cell(one.pair.label),
        Cell(one.pair.how),
        Cell(str(one.n_a), value=one.n_a),
        Cell(str(one.n_b), value=one.n_b),
        Cell(fine.plain(one.mean_a), value=one.mean_a),
        Cell(fine.plain(one.mean_b), value=one.mean_b),
        Cell(NOTHING if one.delta is None else fine.signed(one.delta), value=one.delta),
        Cell(fine.span(one.interval) if one.interval else NOTHING),
        Cell(paired, value=one.paired.mean if one.paired else None),
        Cell(
            "identical results" if one.word == "identical" else one.word,
            strong=one.word == "worse in B",
        ),
    )


def _legend(found: Differences) -> str:
    text = ""
    if found.tested:
        spread = found.spread
        how = (
            f"They use one standard deviation of seeds for all variants of both sweeps "
            f"({spread.sd:.2g} points, {spread.df} degrees of freedom)"
            if spread.pooled
            else "Variants differ in spread, so each difference uses its own (Welch)"
        )
        together = "hold together" if found.tested > 1 else "holds"
        text = f"The {count(found.tested, 'interval')} {together} with 95 % confidence. {how}. "
    if any(one.shared_runs for one in found.accuracy):
        text += "A run that is in both sweeps counts once. "
    if any(one.paired for one in found.accuracy):
        text += (
            "At equal seeds: the mean difference with an interval for that variant alone; no "
            "verdict rests on it. "
        )
    return text + (
        "Better and worse in B: the interval excludes 0. Not tested: fewer than two finished seeds "
        "on one side, or no spread between seeds. Identical results: equal accuracies at all seeds."
    )


def speed_section(found: Differences) -> Section | None:
    """Images/s of every variant that was measured in both sweeps."""
    if not found.speed:
        return None
    columns = (
        Column("variant"),
        Column("quantity"),
        Column("batch", numeric=True),
        Column("A (images/s)", numeric=True),
        Column("B (images/s)", numeric=True),
        Column("B / A", numeric=True),
        Column("range of B / A", numeric=True),
        Column("verdict"),
    )
    rows = tuple(_speed_row(one) for one in found.speed[:_MOST_ROWS])
    table = Table("Throughput in both sweeps", columns, rows, name="throughput_difference")
    legend = (
        "Medians of blocks of work. The range of B / A goes from the slowest blocks of B over the "
        "fastest of A to the opposite; it is no confidence interval. Equal: the medians differ by "
        "less than the range of one of the two."
    )
    return Section("throughput", "Throughput", (table, Paragraph(legend, "legend")))


def _speed_row(one: SpeedDifference) -> tuple[Cell, ...]:
    span = NOTHING
    if one.low is not None and one.high is not None:
        span = f"{one.low:.3f} to {one.high:.3f}"
    batch = str(one.b.batch_size)
    if one.a.batch_size != one.b.batch_size:
        batch = f"{one.a.batch_size}, {one.b.batch_size}"
    return (
        Cell(one.pair.label),
        Cell(_QUANTITIES[one.a.quantity]),
        Cell(batch, value=one.b.batch_size),
        Cell(significant(one.a.images_per_s), value=one.a.images_per_s),
        Cell(significant(one.b.images_per_s), value=one.b.images_per_s),
        Cell(NOTHING if one.ratio is None else f"{one.ratio:.3f}", value=one.ratio),
        Cell(span),
        Cell(_speed_word(one)),
    )


def _speed_word(one: SpeedDifference) -> str:
    if one.ratio is None:
        return f"not comparable: {'; '.join(one.unlike)}"
    if one.equal:
        return "equal"
    return "faster in B" if one.ratio > 1 else "slower in B"


def settings_section(changed: Sequence[Row]) -> Section:
    """Settings, code, versions and machines that differ."""
    if not changed:
        text = "Settings, code, versions and machines are equal in both sweeps, as far as recorded."
        return Section("changed", "What else differs", (Paragraph(text),))
    columns = (Column("what"), Column("A"), Column("B"), Column("where"))
    rows = tuple(tuple(Cell(text) for text in row) for row in changed[:_MOST_ROWS])
    blocks: list[Block] = [Table("What differs between the sweeps", columns, rows, name="changed")]
    return Section("changed", "What else differs", tuple(blocks))
