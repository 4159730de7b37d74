"""The main table: one row per variant, with its accuracy, its size and its speed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from deit_core.throughput_records import Quantity
from reports.analysis import Analysis, Comparison, VariantResult
from reports.document import Cell, Column, Table
from reports.speed.sizes import ModelSize
from reports.speed.throughput import Rate, Speeds, significant
from reports.stats import mean
from reports.text import NOTHING, Rounding
from reports.variants import short_names, value_text

HEADS = {
    "val_top1_cls": "class head",
    "val_top1_dist": "distillation head",
    "val_ema_top1": "EMA",
}
"""Further accuracies of a summary, and what they are called."""

MOST_ROWS = 1_000
"""Of a table on the page; results.csv has all."""
UNLIKE = "\N{DAGGER}"
"""Behind a speed that was measured under other conditions than most."""


@dataclass(frozen=True)
class _Shown:
    """What a column says of one row."""

    text: str
    value: float | None = None
    margin: float = 0.0
    """Differences up to this are no differences."""


@dataclass(frozen=True)
class _Field:
    """A column, and what it says of each row."""

    column: Column
    read: Callable[[VariantResult], _Shown]
    better: Literal["more", "less"] | None = None
    """Which values are marked as the best; None where none is better."""


def main_table(analysis: Analysis, rounding: Rounding) -> Table:
    """One row per variant, best mean first; in each column of numbers the best is in bold."""
    ranked = analysis.ranked[:MOST_ROWS]
    headers = _headers(analysis)
    fields = [*headers, *_accuracy_fields(analysis, rounding), *_model_fields(analysis)]
    best = analysis.best if len(analysis.variants) > 1 else None
    columns = [_cells(field, ranked, len(analysis.variants) > 1) for field in fields]
    rows = []
    for row, cells in zip(ranked, zip(*columns, strict=True), strict=True):
        named = [Cell(cell.text, row is best) for cell in cells[: len(headers)]]
        rows.append((*named, *cells[len(headers) :]))
    caption = "Variants, best mean first" if len(analysis.variants) > 1 else "The result"
    if len(analysis.variants) > MOST_ROWS:
        caption += f" (the first {MOST_ROWS:,} of {len(analysis.variants):,}; results.csv has all)"
    titles = tuple(field.column for field in fields)
    return Table(caption, titles, tuple(rows), len(headers), name="variants")


def _cells(field: _Field, rows: Sequence[VariantResult], several: bool) -> list[Cell]:
    shown = [field.read(row) for row in rows]
    first: set[int] = set()
    second: set[int] = set()
    if field.better and several:
        first, second = _podium(shown, field.better)
    return [
        Cell(one.text, number in first, value=one.value, second=number in second)
        for number, one in enumerate(shown)
    ]


def _podium(shown: Sequence[_Shown], better: Literal["more", "less"]) -> tuple[set[int], set[int]]:
    """Which rows are best, and which second; none where all are alike."""
    sign = -1.0 if better == "more" else 1.0
    known = sorted(
        (sign * one.value, number) for number, one in enumerate(shown) if one.value is not None
    )
    first = _alike(shown, known)
    rest = [entry for entry in known if entry[1] not in first]
    return (first, _alike(shown, rest)) if rest else (set(), set())


def _alike(shown: Sequence[_Shown], known: Sequence[tuple[float, int]]) -> set[int]:
    """The best of those known, and those that print as it does or are within the margin."""
    if not known:
        return set()
    top, leader = known[0]
    return {
        number
        for value, number in known
        if shown[number].text == shown[leader].text
        or abs(value - top) <= max(shown[number].margin, shown[leader].margin)
    }


# accuracy ----------------------------------------------------------------------------------


def _headers(analysis: Analysis) -> list[_Field]:
    names = short_names(tuple(analysis.variants[0].swept))
    fields = [_Field(Column(name, filters=True), _swept(axis)) for axis, name in names.items()]
    return fields or [_Field(Column("variant"), lambda row: _Shown(row.variant.label))]


def _swept(axis: str) -> Callable[[VariantResult], _Shown]:
    def read(row: VariantResult) -> _Shown:
        value = row.variant.swept[axis]
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
        return _Shown(NOTHING if value is None else value_text(value), number)

    return read


def _accuracy_fields(analysis: Analysis, rounding: Rounding) -> list[_Field]:
    results = analysis.results.values()
    fields = [
        _Field(
            Column("finished", True),
            lambda row: _Shown(f"{row.n}/{len(row.variant.trials)}", row.n),
        ),
        _Field(
            Column("top-1", True),
            lambda row: _Shown(rounding.with_error(row.mean, row.interval), row.mean),
            "more",
        ),
    ]
    if any(row.sd is not None for row in results):
        fields.append(
            _Field(Column("seed sd", True), lambda row: _Shown(rounding.plain(row.sd), row.sd))
        )
    if analysis.comparisons:
        fields += _comparison_fields(analysis, rounding)
    for name, title in HEADS.items():
        if any(row.variant.seed_values(name) for row in results):
            fields.append(_Field(Column(title, True), _head(name, rounding), "more"))
    return fields


def _head(name: str, rounding: Rounding) -> Callable[[VariantResult], _Shown]:
    def read(row: VariantResult) -> _Shown:
        values = list(row.variant.seed_values(name).values())
        value = mean(values) if values else None
        return _Shown(rounding.plain(value), value)

    return read


def _comparison_fields(analysis: Analysis, rounding: Rounding) -> list[_Field]:
    def show(read: Callable[[Comparison], _Shown]) -> Callable[[VariantResult], _Shown]:
        def cell(row: VariantResult) -> _Shown:
            comparison = analysis.comparisons.get(row.variant.group_id)
            return _Shown("") if comparison is None else read(comparison)

        return cell

    def span(comparison: Comparison) -> _Shown:
        interval = comparison.interval
        return _Shown(rounding.span(interval), interval.low) if interval else _Shown(NOTHING)

    def verdict(row: VariantResult) -> _Shown:
        if row.variant.group_id in analysis.baseline.groups:
            return _Shown("baseline")
        comparison = analysis.comparisons.get(row.variant.group_id)
        return _Shown(comparison.verdict if comparison else "not tested")

    return [
        _Field(
            Column("difference", True), show(lambda c: _Shown(rounding.signed(c.delta), c.delta))
        ),
        _Field(Column("95 % interval", True), show(span)),
        _Field(Column("verdict"), verdict),
    ]


# size and speed ----------------------------------------------------------------------------


def _model_fields(analysis: Analysis) -> list[_Field]:
    speeds = analysis.speeds
    sizes = analysis.sizes

    def size(
        title: str, read: Callable[[ModelSize], float | None], text: Callable[[float], str]
    ) -> _Field:
        def cell(row: VariantResult) -> _Shown:
            value = read(sizes[row.variant.group_id])
            return _Shown(NOTHING if value is None else text(value), value)

        return _Field(Column(title, True), cell)

    fields = [
        size("parameters (M)", lambda s: _scaled(s.parameters, 1e6), significant),
        size("GMACs", lambda s: _scaled(s.macs, 1e9), significant),
    ]
    if len({one.img_size for one in sizes.values()} - {None}) > 1:
        fields.append(size("resolution", lambda s: s.img_size, lambda value: f"{value:g}"))
    fields += _speed_fields(speeds)
    return [
        field
        for field in fields
        if any(field.read(row).value is not None for row in analysis.results.values())
    ]


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit


def _speed_fields(speeds: Speeds) -> list[_Field]:
    return [
        _rate_field("inference images/s", "inference", speeds),
        _rate_field("training images/s", "training", speeds),
        _Field(Column(f"{peak_quantity(speeds)} peak GiB", True), _peak(speeds), "less"),
        _Field(Column("latency p50 (ms)", True), _latency(speeds), "less"),
    ]


def _rate_field(title: str, quantity: Quantity, speeds: Speeds) -> _Field:
    def read(row: VariantResult) -> _Shown:
        rate = speeds.rate(row.variant.group_id, quantity)
        return _measured(speeds, row, rate.images_per_s if rate else None, rate)

    return _Field(Column(title, True), read, "more")


def _measured(
    speeds: Speeds, row: VariantResult, value: float | None, rate: Rate | None = None
) -> _Shown:
    unlike = value is not None and speeds.unlike(row.variant.group_id)
    text = f"{significant(value)} {UNLIKE}" if unlike else significant(value)
    return _Shown(text, value, rate.range if rate else 0.0)


def _peak(speeds: Speeds) -> Callable[[VariantResult], _Shown]:
    quantity = peak_quantity(speeds)

    def read(row: VariantResult) -> _Shown:
        rate = speeds.rate(row.variant.group_id, quantity)
        return _measured(speeds, row, rate.peak_gib if rate else None)

    return read


def peak_quantity(speeds: Speeds) -> Quantity:
    """What the memory column is about: training, which needs more, where it was measured."""
    rates: Iterable[Rate] = (rate for s in speeds.measured for rate in s.rates.values())
    trained = any(rate.quantity == "training" and rate.peak_gib is not None for rate in rates)
    return "training" if trained else "inference"


def _latency(speeds: Speeds) -> Callable[[VariantResult], _Shown]:
    def read(row: VariantResult) -> _Shown:
        speed = speeds.of.get(row.variant.group_id)
        latency = speed.record.latency if speed else None
        return _measured(speeds, row, latency.p50_ms if latency else None)

    return read
