"""Throughput records for the runs of `SweepWriter`, as a measurement writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deit_core.run_dir import RunDir
from deit_core.throughput_records import (
    BenchConditions,
    BenchProtocol,
    Latency,
    Quantity,
    Speed,
    SpeedPoint,
    ThroughputRecord,
)

SWEEP_BATCHES = (1, 16, 256, 1024)


def conditions(**changed: Any) -> BenchConditions:
    values: dict[str, Any] = {
        "device": "cuda", "device_name": "NVIDIA H100", "precision": "fp32", "tf32": False,
        "torch": "2.13.0", "cuda": "13.0", "power_limit_w": 700.0, "hostname": "node1",
    }  # fmt: skip
    return BenchConditions(**(values | changed))


def point(batch: int, images_per_s: float, *, spread: float = 0.01, gib: float = 1.5) -> SpeedPoint:
    return SpeedPoint(
        batch_size=batch, images_per_s=images_per_s, images_per_s_min=images_per_s * (1 - spread),
        images_per_s_max=images_per_s * (1 + spread), blocks=5, iterations=30, timed_s=10.0,
        peak_gib=gib, mfu=0.4,
    )  # fmt: skip


def speed(quantity: Quantity, images_per_s: float, *, batch: int = 256, gib: float = 1.5) -> Speed:
    """As fast as told at the fixed batch, slower below it, a bit faster at the largest."""
    factors = {1: 0.01, 16: 0.2, batch: 1.0, 1024: 1.1}
    sweep = [point(b, images_per_s * f, gib=gib * b / batch) for b, f in sorted(factors.items())]
    fixed = next(one for one in sweep if one.batch_size == batch)
    return Speed(quantity=quantity, fixed=fixed, largest=sweep[-1], batch_sweep=tuple(sweep))


def record(
    inference: float | None = None,
    *,
    training: float | None = None,
    key: str = "a" * 12,
    under: Mapping[str, Any] | None = None,
    batch: int = 256,
    gib: float = 1.5,
    **values: Any,
) -> ThroughputRecord:
    """A record with these images/s at the fixed batch size."""
    rates: tuple[tuple[Quantity, float | None], ...]
    rates = (("inference", inference), ("training", training))
    speeds = [speed(q, rate, batch=batch, gib=gib) for q, rate in rates if rate is not None]
    common: dict[str, Any] = {
        "protocol": BenchProtocol(), "conditions": conditions(**(under or {})), "img_size": 224,
        "parameters": 5_717_416, "macs_per_image": 1_260_000_000,
        "finished_unix_s": 1_795_001_000.0,
        "latency": Latency(calls=200, p50_ms=4.0, p90_ms=4.5, p99_ms=6.0),
    }  # fmt: skip
    return ThroughputRecord(key=key, speeds=tuple(speeds), **(common | values))


def write_speed(runs: Sequence[RunDir], measured: ThroughputRecord) -> None:
    """One record for all seeds of a variant."""
    for run in runs:
        run.write_throughput(measured)
