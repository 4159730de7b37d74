"""From what some processes found to one record."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median

import numpy as np

from deit_core.bench.raw import RawPoint, RawRecord, RawSpeed
from deit_core.bench.search import BatchSizes
from deit_core.throughput_records import (
    BenchConditions,
    BenchProtocol,
    Latency,
    Quantity,
    Speed,
    SpeedPoint,
    ThroughputRecord,
)


def merge(
    raws: Sequence[RawRecord], protocol: BenchProtocol, interleaved_with: int
) -> ThroughputRecord:
    """The record of one model: medians and extremes over the blocks of all processes.

    Args:
        raws: of one model, one for each process.
        protocol: what was asked for.
        interleaved_with: other models that were measured in turn with it.
    """
    measured = next((raw for raw in raws if raw.speeds), raws[0])
    conditions = _conditions(raws)
    peak = None if conditions is None else conditions.matmul_peak_tflops
    speeds = []
    for quantity in protocol.quantities:
        found = [one for raw in raws for one in raw.speeds if one.quantity == quantity]
        speed = _speed(quantity, found, protocol, peak) if found else None
        if speed is not None:
            speeds.append(speed)
    notes = dict.fromkeys(note for raw in raws for note in raw.notes)
    return ThroughputRecord(
        key=measured.key,
        protocol=protocol,
        conditions=conditions,
        interleaved_with=interleaved_with,
        img_size=measured.img_size,
        parameters=measured.parameters,
        macs_per_image=measured.macs_per_image,
        speeds=tuple(speeds),
        latency=_latency([ms for raw in raws for ms in raw.latency_ms]),
        error="; ".join(notes) or None,
        finished_unix_s=time.time(),
    )


def _conditions(raws: Sequence[RawRecord]) -> BenchConditions | None:
    """Those of the first process, with the median peak and the most that others did."""
    known = [raw.conditions for raw in raws if raw.conditions is not None]
    if not known:
        return None
    peaks = [one.matmul_peak_tflops for one in known if one.matmul_peak_tflops is not None]
    others = [one.other_processes for one in known if one.other_processes is not None]
    loads = [one.other_load_cores for one in known if one.other_load_cores is not None]
    return known[0].model_copy(
        update={
            "matmul_peak_tflops": median(peaks) if peaks else None,
            "other_processes": max(others, default=None),
            "other_load_cores": max(loads, default=None),
        }
    )


def _speed(
    quantity: Quantity, found: Sequence[RawSpeed], protocol: BenchProtocol, peak: float | None
) -> Speed | None:
    """One quantity over all processes; a size counts as fitting where it did in all of them."""
    by_size: dict[int, list[RawPoint]] = {}
    for speed in found:
        for point in speed.points:
            by_size.setdefault(point.batch_size, []).append(point)
    flops = found[0].flops_per_image
    points = {size: _point(size, raws, flops, peak) for size, raws in sorted(by_size.items())}
    fitting = BatchSizes(tuple(size for size, one in points.items() if one.images_per_s))
    if not fitting.fits:
        return None
    with_data = quantity == "training_with_data"
    return Speed(
        quantity=quantity,
        fixed=points[fitting.fixed(protocol.fixed_batch_size)],
        largest=None if with_data else points[fitting.largest],
        batch_sweep=tuple(points.values()),
        teacher=found[0].teacher,
    )


def _point(
    size: int, raws: Sequence[RawPoint], flops: float | None, peak: float | None
) -> SpeedPoint:
    if not all(raw.blocks for raw in raws):
        return SpeedPoint(batch_size=size, images_per_s=None)
    blocks = [block for raw in raws for block in raw.blocks]
    speeds = [size * block.iterations / block.seconds for block in blocks]
    peaks = [raw.peak_gib for raw in raws if raw.peak_gib is not None]
    speed = median(speeds)
    return SpeedPoint(
        batch_size=size,
        images_per_s=speed,
        images_per_s_min=min(speeds),
        images_per_s_max=max(speeds),
        blocks=len(blocks),
        iterations=sum(block.iterations for block in blocks),
        timed_s=sum(block.seconds for block in blocks),
        peak_gib=max(peaks, default=None),
        mfu=speed * flops / (peak * 1e12) if flops and peak else None,
    )


def _latency(calls_ms: Sequence[float]) -> Latency | None:
    if not calls_ms:
        return None
    p50, p90, p99 = np.percentile(calls_ms, (50, 90, 99)).tolist()
    return Latency(calls=len(calls_ms), p50_ms=p50, p90_ms=p90, p99_ms=p99)
