"""Class head, distillation head and both; averaged weights; further labels and images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reports.analysis import VariantResult
from reports.context import Context
from reports.document import Block, Cell, Column, Paragraph, Section, Table
from reports.head_effects import Gain, gains
from reports.stats import mean
from reports.text import NOTHING, Rounding, count

MOST_ROWS = 1000
_ACCURACIES = {
    "val_top1_cls": "class head",
    "val_top1_dist": "distillation head",
    "val_top1": "result",
    "val_ema_top1": "averaged weights (EMA)",
    "val_real_top1": "ReaL labels",
    "val_v2_top1": "ImageNet-V2",
}
_BEYOND_ONE_HEAD = ("val_top1_dist", "val_ema_top1", "val_real_top1", "val_v2_top1")


def heads_section(context: Context) -> Section | None:
    """None where every run has one head, one set of weights and one set of labels."""
    rows = [row for row in context.analysis.ranked if row.n]
    fields = [
        field
        for field in _ACCURACIES
        if field == "val_top1" or any(row.variant.seed_values(field) for row in rows)
    ]
    if not any(field in fields for field in _BEYOND_ONE_HEAD):
        return None
    variants = [row.variant for row in rows]
    fused = gains(
        [variant for variant in variants if variant.seed_values("val_top1_dist")],
        "val_top1",
        "val_top1_cls",
    )
    averaged = gains(variants, "val_ema_top1", "val_top1")
    comparisons = [
        ("both heads - class head", fused),
        ("EMA - result", averaged),
    ]
    shown = [(title, found) for title, found in comparisons if found]
    sentences = [*_about(fused, _FUSED), *_about(averaged, _AVERAGED)]
    blocks: list[Block] = [Paragraph(" ".join(sentences))] if sentences else []
    blocks.append(_table(rows[:MOST_ROWS], fields, shown, context.rounding))
    blocks.append(Paragraph(_legend(bool(shown), len(rows)), "legend"))
    return Section("heads", "Heads and averaged weights", tuple(blocks))


_FUSED = ("Both heads together", "the class head alone")
_AVERAGED = ("The average of the weights (EMA)", "the weights of the last step")


def _about(found: Mapping[str, Gain], names: tuple[str, str]) -> list[str]:
    """How many variants gain."""
    if not found:
        return []
    first, second = names
    words = [gain.verdict for gain in found.values()]
    tested = len(words) - words.count("not tested")
    total = count(len(words), "variant")
    if not tested:
        return [
            f"{first} against {second}: not tested in {total}, for want of two seeds that differ."
        ]
    parts = [f"better in {words.count('better')}"]
    if words.count("baseline better"):
        parts.append(f"worse in {words.count('baseline better')}")
    if words.count("not distinguishable"):
        parts.append(f"not distinguishable in {words.count('not distinguishable')}")
    if words.count("not tested"):
        parts.append(f"not tested in {words.count('not tested')}")
    return [f"{first} against {second}: {', '.join(parts)} of {total}."]


def _table(
    rows: Sequence[VariantResult],
    fields: Sequence[str],
    shown: Sequence[tuple[str, Mapping[str, Gain]]],
    rounding: Rounding,
) -> Table:
    columns = [Column("variant"), Column("n", True)]
    columns += [Column(_ACCURACIES[field], True) for field in fields]
    for title, _ in shown:
        columns += [Column(title, True), Column("95 % interval", True), Column("verdict")]
    body = []
    for row in rows:
        cells = [Cell(row.variant.label), Cell(str(row.n), value=float(row.n))]
        cells += [_mean(row, field, rounding) for field in fields]
        for title, found in shown:
            against = title.rpartition(" - ")[2]
            cells += _gain_cells(found.get(row.variant.group_id), against, rounding)
        body.append(tuple(cells))
    return Table(
        "Mean top-1 (%) of each head and each set of weights",
        tuple(columns),
        tuple(body),
        name="heads",
    )


def _mean(row: VariantResult, field: str, rounding: Rounding) -> Cell:
    values = list(row.variant.seed_values(field).values())
    if not values:
        return Cell(NOTHING)
    less = f" (n={len(values)})" if len(values) < row.n else ""
    return Cell(f"{rounding.plain(mean(values))}{less}", value=mean(values))


def _gain_cells(gain: Gain | None, against: str, rounding: Rounding) -> list[Cell]:
    if gain is None:
        return [Cell(NOTHING), Cell(NOTHING), Cell("")]
    finer = rounding.finer(gain.interval)
    interval = finer.span(gain.interval) if gain.interval else NOTHING
    word = f"{against} better" if gain.verdict == "baseline better" else gain.verdict
    return [Cell(finer.signed(gain.delta), value=gain.delta), Cell(interval), Cell(word)]


def _legend(compared: bool, rows: int) -> str:
    parts = [
        "Result: what the other tables show, which is both heads together where both were trained. "
        "n: finished seeds."
    ]
    if compared:
        parts.append(
            "Differences are taken within each run, in percentage points; their t intervals hold "
            "for all variants of a column at once (Bonferroni)."
        )
    if rows > MOST_ROWS:
        parts.append(f"The first {MOST_ROWS:,} of {rows:,} variants; results.csv has all.")
    return " ".join(parts)
