"""Size, speed, effects and the front as plain numbers for results.json."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from reports.analysis import Analysis
from reports.effects import axis_effects, pair_interactions
from reports.speed.throughput import Speeds, VariantSpeed
from reports.speed.tradeoff import tradeoff


def size_and_speed(analysis: Analysis) -> dict[str, dict[str, Any]]:
    """Of each variant by group id: `size`, and `throughput` or null where it was not measured."""
    speeds = analysis.speeds
    sizes = analysis.sizes
    return {
        group: {"size": asdict(size), "throughput": _throughput(speeds, speeds.of.get(group))}
        for group, size in sizes.items()
    }


def _throughput(speeds: Speeds, speed: VariantSpeed | None) -> dict[str, Any] | None:
    if speed is None:
        return None
    latency = speed.record.latency
    return {
        "key": speed.record.key,
        "measurements": speed.records,
        "rates": {
            quantity: {
                "batch_size": rate.batch_size,
                "images_per_s": rate.images_per_s,
                "images_per_s_min": rate.low,
                "images_per_s_max": rate.high,
                "blocks": rate.blocks,
                "peak_gib": rate.peak_gib,
                "mfu": rate.mfu,
            }
            for quantity, rate in speed.rates.items()
        },
        "latency": latency.model_dump(mode="json") if latency else None,
        "conditions": speed.conditions.model_dump(mode="json") if speed.conditions else None,
        "unlike_conditions": dict(speeds.unlike(speed.group_id)),
        "error": speed.record.error,
    }


def effect_values(analysis: Analysis) -> dict[str, Any]:
    """`axis_effects` and `interactions`, in percentage points."""
    axes = axis_effects(analysis)
    return {
        "axis_effects": [asdict(effect) for axis in axes for effect in axis.effects],
        "interactions": [
            asdict(one) for pair in pair_interactions(analysis, axes) for one in pair.found
        ],
    }


def front_values(analysis: Analysis) -> dict[str, Any] | None:
    """Which variants are on the front of accuracy against `measure`; null without a front."""
    found = tradeoff(analysis)
    if found is None:
        return None
    return {
        "measure": found.measure,
        "front": list(found.front.front),
        "within_noise": sorted(found.front.within_noise),
        "dominated": sorted(found.front.dominated),
    }
