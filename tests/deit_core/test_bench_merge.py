"""From blocks to the figures of a record."""

from __future__ import annotations

import json

import pytest

from deit_core.bench.merge import merge
from deit_core.bench.raw import RawPoint, RawRecord, RawSpeed
from deit_core.bench.rounds import Block
from deit_core.throughput_records import BenchConditions, BenchProtocol, ThroughputRecord

PROTOCOL = BenchProtocol(fixed_batch_size=10)


def conditions(**fields: object) -> BenchConditions:
    values = {
        "device": "cpu",
        "device_name": "A CPU",
        "precision": "fp32",
        "torch": "2",
        "hostname": "h",
    }
    return BenchConditions(**(values | fields))  # type: ignore[arg-type]


def raw(points: dict[int, list[float] | None], **fields: object) -> RawRecord:
    """A record of one process: by batch size, seconds of its blocks of one iteration each."""
    made = tuple(
        RawPoint(size, tuple(Block(1, one) for one in seconds or ()), 1.5 if seconds else None)
        for size, seconds in points.items()
    )
    speed = RawSpeed("inference", made, flops_per_image=2e9)
    values = {"conditions": conditions(), "speeds": [speed], "macs_per_image": 10**9}
    return RawRecord("key", **(values | fields))  # type: ignore[arg-type]


def merged(*raws: RawRecord) -> ThroughputRecord:
    return merge(raws, PROTOCOL, interleaved_with=2)


def test_the_median_block_is_the_figure() -> None:
    record = merged(raw({10: [0.1, 0.5, 0.2]}))  # 100, 20, 50 images/s
    speed = record.speed("inference")
    assert speed is not None
    assert speed.fixed is not None
    point = speed.fixed
    assert (point.images_per_s, point.images_per_s_min, point.images_per_s_max) == (50, 20, 100)
    assert (point.blocks, point.iterations, point.timed_s) == (3, 3, pytest.approx(0.8))
    assert point.mfu is None  # no peak was measured
    assert record.interleaved_with == 2


def test_blocks_of_all_processes_count_alike() -> None:
    record = merged(raw({10: [0.1, 0.1]}), raw({10: [0.2, 0.2]}), raw({10: [0.5, 0.4]}))
    speed = record.speed("inference")
    assert speed is not None
    assert speed.fixed is not None
    assert speed.fixed.blocks == 6
    assert speed.fixed.images_per_s == 50  # of 100, 100, 50, 50, 25, 20
    assert (speed.fixed.images_per_s_min, speed.fixed.images_per_s_max) == (20, 100)


def test_a_size_that_failed_in_one_process_does_not_fit() -> None:
    first = raw({8: [1.0], 10: [1.0], 16: [1.0], 32: None})
    speed = merged(first, raw({8: [1.0], 10: [1.0], 16: None})).speed("inference")
    assert speed is not None
    assert speed.largest is not None
    assert speed.fixed is not None
    assert (speed.fixed.batch_size, speed.largest.batch_size) == (10, 8)
    shown = {point.batch_size: point.images_per_s for point in speed.batch_sweep}
    assert shown == {8: 8, 10: 10, 16: None, 32: None}
    assert all(
        point.peak_gib == (1.5 if point.images_per_s else None) for point in speed.batch_sweep
    )


def test_mfu_is_the_share_of_the_measured_peak() -> None:
    found = [raw({10: [0.1]}, conditions=conditions(matmul_peak_tflops=peak)) for peak in (1, 2, 9)]
    speed = merged(*found).speed("inference")
    assert speed is not None
    assert speed.fixed is not None
    assert speed.fixed.mfu == pytest.approx(100 * 2e9 / 2e12)


def test_latency_percentiles_are_over_the_calls_of_all_processes() -> None:
    halves = [raw({10: [1.0]}, latency_ms=[float(n) for n in part])
              for part in (range(0, 51), range(51, 101))]  # fmt: skip
    latency = merged(*halves).latency
    assert latency is not None
    assert (latency.calls, latency.p50_ms, latency.p90_ms, latency.p99_ms) == (101, 50, 90, 99)
    assert merged(raw({10: [1.0]})).latency is None


def test_the_busiest_moment_of_others_is_kept() -> None:
    found = [raw({10: [1.0]}, conditions=conditions(other_load_cores=load, other_processes=count))
             for load, count in ((0.1, 0), (1.4, 2), (0.0, 1))]  # fmt: skip
    together = merged(*found).conditions
    assert together is not None
    assert (together.other_load_cores, together.other_processes) == (1.4, 2)


def test_the_same_error_is_said_once() -> None:
    failed = RawRecord("key", notes=["training: no teacher"])
    record = merged(failed, failed)
    assert record.error == "training: no teacher"
    assert record.conditions is None
    assert record.speeds == ()


def test_records_survive_being_written_and_have_no_nan() -> None:
    record = merged(raw({10: [0.1], 16: None}))
    text = json.dumps(record.model_dump(mode="json"), allow_nan=False)
    assert ThroughputRecord.from_json(json.loads(text), "here") == record
