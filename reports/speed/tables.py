"""Speed in detail, as tables: every model at the fixed and the largest batch, and the sweep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deit_core.throughput_records import Quantity, SpeedPoint
from reports.analysis import Analysis
from reports.document import Cell, Column, Table
from reports.main_table import MOST_ROWS, UNLIKE
from reports.speed.throughput import QUANTITIES, Rate, Speeds, VariantSpeed, significant
from reports.text import NOTHING


@dataclass(frozen=True)
class MeasuredModel:
    """Variants that one measurement stands for."""

    name: str
    speed: VariantSpeed


def measured_models(analysis: Analysis, speeds: Speeds) -> list[MeasuredModel]:
    """One entry for each model, by its highest mean; variants of one model share a name."""
    members: dict[str, list[str]] = {}
    first: dict[str, VariantSpeed] = {}
    for row in analysis.ranked:
        speed = speeds.of.get(row.variant.group_id)
        if speed is None or not speed.rates:
            continue
        key = f"{speed.record.key} {sorted(speeds.unlike(row.variant.group_id).items())}"
        members.setdefault(key, []).append(row.variant.label)
        first.setdefault(key, speed)
    return [MeasuredModel(_name(labels), first[key]) for key, labels in members.items()]


def _name(labels: Sequence[str]) -> str:
    return labels[0] if len(labels) == 1 else f"{labels[0]} (and {len(labels) - 1} alike)"


_Reader = Callable[[MeasuredModel], tuple[str, float | None]]


def speed_tables(models: Sequence[MeasuredModel], speeds: Speeds) -> list[Table]:
    """What was measured of each model, one table for each quantity; latency with inference."""
    tables = []
    for quantity in QUANTITIES:
        measured = [model for model in models if quantity in model.speed.rates]
        if measured:
            tables.append(_speed_table(measured, quantity, speeds))
    return tables


def _speed_table(models: Sequence[MeasuredModel], quantity: Quantity, speeds: Speeds) -> Table:
    """Columns without any number are left out."""
    shown = models[:MOST_ROWS]
    known = [
        (title, read)
        for title, read in _columns(quantity).items()
        if any(read(model)[1] is not None for model in shown)
    ]
    rows = []
    for model in shown:
        mark = f" {UNLIKE}" if speeds.unlike(model.speed.group_id) else ""
        cells = [Cell(text, value=value) for text, value in (read(model) for _, read in known)]
        rows.append((Cell(model.name + mark), *cells))
    titles = (Column("model"), *(Column(title, True) for title, _ in known))
    caption = _CAPTIONS[quantity]
    if len(models) > MOST_ROWS:
        caption += f" (the first {MOST_ROWS:,} of {len(models):,})"
    return Table(caption, titles, tuple(rows), name=f"throughput_{quantity}")


_CAPTIONS: dict[Quantity, str] = {
    "inference": "Inference: the forward pass alone",
    "training": "Training: a whole step, the teacher's forward pass included where there is one",
    "training_with_data": "Training fed by the data loader",
}


def _columns(quantity: Quantity) -> dict[str, _Reader]:
    columns = {
        "images/s": _of(quantity, lambda rate: rate.images_per_s),
        "slowest to fastest block": _range(quantity),
        "batch": _batch(quantity),
        "peak GiB": _of(quantity, lambda rate: rate.peak_gib),
        "MFU (%)": _of(quantity, _mfu),
    }
    if quantity != "training_with_data":
        columns["images/s, largest batch"] = _largest(quantity, "images_per_s")
        columns["largest batch"] = _largest(quantity, "batch_size")
    if quantity == "inference":
        for percentile in ("p50", "p90", "p99"):
            columns[f"latency {percentile} (ms)"] = _latency(percentile)
    return columns


def _batch(quantity: Quantity) -> _Reader:
    def cell(model: MeasuredModel) -> tuple[str, float | None]:
        rate = model.speed.rates[quantity]
        return f"{rate.batch_size:,}", rate.batch_size

    return cell


def _number(value: float | None) -> tuple[str, float | None]:
    return significant(value), value


def _of(quantity: Quantity, read: Callable[[Rate], float | None]) -> _Reader:
    def cell(model: MeasuredModel) -> tuple[str, float | None]:
        rate = model.speed.rates.get(quantity)
        return _number(read(rate) if rate else None)

    return cell


def _mfu(rate: Rate) -> float | None:
    return None if rate.mfu is None else 100 * rate.mfu


def _range(quantity: Quantity) -> _Reader:
    def cell(model: MeasuredModel) -> tuple[str, float | None]:
        rate = model.speed.rates.get(quantity)
        if rate is None or rate.low is None or rate.high is None:
            return NOTHING, None
        return f"{significant(rate.low)} to {significant(rate.high)}", rate.low

    return cell


def _largest(quantity: Quantity, field: str) -> _Reader:
    def cell(model: MeasuredModel) -> tuple[str, float | None]:
        rate = model.speed.largest(quantity)
        return (NOTHING, None) if rate is None else _whole(getattr(rate, field), field)

    return cell


def _whole(value: float, field: str) -> tuple[str, float | None]:
    return (f"{value:,}" if field == "batch_size" else significant(value)), value


def _latency(percentile: str) -> _Reader:
    def cell(model: MeasuredModel) -> tuple[str, float | None]:
        latency = model.speed.record.latency
        return _number(getattr(latency, f"{percentile}_ms") if latency else None)

    return cell


def batch_table(
    models: Sequence[MeasuredModel],
    quantity: Quantity,
    read: Callable[[SpeedPoint], float | None],
    caption: str,
    name: str,
) -> Table:
    """One number of each model at each batch size of the sweep."""
    points = [{point.batch_size: point for point in sweep_of(model, quantity)} for model in models]
    sizes = sorted({size for own in points for size in own})
    rows = []
    for model, own in zip(models, points, strict=True):
        values = [read(own[size]) if size in own else None for size in sizes]
        rows.append((Cell(model.name), *(Cell(significant(v), value=v) for v in values)))
    columns = (Column("model"), *(Column(f"batch {size:,}", True) for size in sizes))
    return Table(caption, columns, tuple(rows), name=name)


def sweep_of(model: MeasuredModel, quantity: Quantity) -> tuple[SpeedPoint, ...]:
    """Every batch size that was measured, ascending."""
    speed = model.speed.record.speed(quantity)
    return speed.batch_sweep if speed else ()
