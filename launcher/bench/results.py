"""What was measured, as a small table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from deit_core.run_dir import RunDir
from deit_core.throughput_records import BenchConditions, SpeedPoint, ThroughputRecord
from launcher.bench.targets import Model, records_of
from launcher.text import number, one_line, print_lines

_MOST_ROWS = 60


def print_results(models: Sequence[Model], console: Console) -> bool:
    """Print the speed of each model and where it is written; whether all of it is known."""
    found = list(records_of(models))
    records = [record for _, record in found if record is not None]
    if records:
        console.print(_table(found[:_MOST_ROWS]), soft_wrap=False)
        if len(found) > _MOST_ROWS:
            print_lines(console, [f"… and {len(found) - _MOST_ROWS:,} more"])
        print_lines(console, dict.fromkeys(map(_how, records)))
    for model, record in found:
        if record is None:
            print_lines(console, [f"not measured: {model.label}"])
        elif record.error is not None:
            print_lines(console, [f"incomplete: {model.label}: {one_line(record.error)}"])
    if records:
        print_lines(console, [f"records: {_where(found[0][0].run_dirs[0])}"])
    return len(records) == len(found) and all(record.error is None for record in records)


def _where(first: Path) -> str:
    return str(RunDir(first.parent / "TRIAL").throughput_file)


def _table(found: Sequence[tuple[Model, ThroughputRecord | None]]) -> Table:
    """Columns of numbers; a quantity that no model was measured for has none."""
    records = [record for _, record in found if record is not None]
    quantities = [
        name
        for name in ("inference", "training", "training_with_data")
        if any(record.speed(name) for record in records)
    ]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model", overflow="fold")
    speeds = [f"{name.replace('_', ' ')} images/s (batch)" for name in quantities]
    for title in ("params M", "GMACs", *speeds, "peak GiB", "latency p50 ms"):
        table.add_column(title, justify="right", no_wrap=True)
    for model, record in found:
        if record is not None:
            table.add_row(model.label, *_cells(record, quantities))
    return table


def _cells(record: ThroughputRecord, quantities: Sequence[str]) -> list[str]:
    points = [_fixed(record, name) for name in quantities]
    first = next((point for point in points if point is not None), None)
    macs = record.macs_per_image
    return [
        number(record.parameters / 1e6, 2),
        "-" if macs is None else f"{macs / 1e9:.3g}",
        *map(_speed, points),
        number(first.peak_gib if first else None, 2),
        number(record.latency.p50_ms if record.latency else None, 2),
    ]


def _speed(point: SpeedPoint | None) -> str:
    """With the batch size, as a model that needs more memory has a smaller one."""
    if point is None or point.images_per_s is None:
        return "-"
    speed = point.images_per_s
    return (
        f"{speed:,.0f} ({point.batch_size})"
        if speed >= 100
        else f"{speed:.3g} ({point.batch_size})"
    )


def _fixed(record: ThroughputRecord, quantity: str) -> SpeedPoint | None:
    return next((one.fixed for one in record.speeds if one.quantity == quantity), None)


def _how(record: ThroughputRecord) -> str:
    """By what protocol and on what a record was measured: rows of which this differs are unlike."""
    protocol = record.protocol
    timed = f"warm-up {protocol.warmup_s:g} s, timed {protocol.timed_s:g} s"
    where = "" if record.conditions is None else f" on {_conditions(record.conditions)}"
    return f"measured{where}; {timed} in {protocol.blocks} blocks"


def _conditions(conditions: BenchConditions) -> str:
    parts = [conditions.device_name, conditions.precision, f"torch {conditions.torch}"]
    if conditions.threads is not None and conditions.device == "cpu":
        parts.append(f"{conditions.threads} threads")
    return ", ".join(parts)
