"""Rules that say what to be careful about in numbers of speed. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from reports.analysis import Analysis
from reports.results import SweepResults
from reports.text import count, listing

LOADER_BOUND = 0.9
"""Share of the speed without the data loader below which training waits for the loader."""
BUSY_CORES = 0.25
"""Cores that others keep busy on average from which on they are worth a word."""


def _unlike_speeds(sweep: SweepResults, analysis: Analysis) -> Iterator[str]:
    speeds = analysis.speeds
    found: dict[str, list[str]] = {}
    for variant in analysis.variants:
        for name, value in speeds.unlike(variant.group_id).items():
            what = f"{name} {value} instead of {speeds.usual.get(name, 'unknown')}"
            found.setdefault(what, []).append(variant.label)
    if found:
        parts = [f"{what} ({listing(labels, 3)})" for what, labels in found.items()]
        yield (
            f"Throughput was measured under unlike conditions: {listing(parts)}. Such numbers are "
            f"not comparable; they are marked in the tables, and those of another machine share no "
            f"axis with the rest."
        )


def _unlike_precision(sweep: SweepResults, analysis: Analysis) -> Iterator[str]:
    speeds = analysis.speeds
    differing = []
    for variant in analysis.variants:
        config = next((trial.config for trial in variant.trials if trial.config), None)
        speed = speeds.of.get(variant.group_id)
        if config is None or speed is None or speed.conditions is None:
            continue
        trained, measured = config.train.precision, speed.conditions.precision
        if measured.rpartition(", ")[2].partition(" ")[0] != trained:
            differing.append(f"{variant.label} (trained in {trained}, speed in {measured})")
    if differing:
        yield (
            f"Accuracy and throughput are those of different precision: {listing(differing, 4)}. "
            f"Neither number need hold at the other precision."
        )


def _loader_bound(sweep: SweepResults, analysis: Analysis) -> Iterator[str]:
    speeds = analysis.speeds
    slow = []
    for variant in analysis.variants:
        fed = speeds.rate(variant.group_id, "training_with_data")
        alone = speeds.rate(variant.group_id, "training")
        if fed and alone and fed.batch_size == alone.batch_size:
            share = fed.images_per_s / alone.images_per_s
            if share < LOADER_BOUND:
                slow.append(f"{variant.label} ({100 * share:.0f} %)")
    if slow:
        yield (
            f"Training waits for the data loader, at this share of the speed without it: "
            f"{listing(slow, 4)}. Speeds with the loader say more about the loader than the model."
        )


def _disturbed_speeds(sweep: SweepResults, analysis: Analysis) -> Iterator[str]:
    speeds = analysis.speeds
    busy = []
    for variant in analysis.variants:
        speed = speeds.of.get(variant.group_id)
        conditions = speed.conditions if speed else None
        if conditions is None:
            continue
        load = conditions.other_load_cores or 0.0
        if load >= BUSY_CORES:
            busy.append(f"{variant.label} ({load:.2g} cores busy)")
        elif conditions.other_processes:
            others = count(conditions.other_processes, "other program")
            busy.append(f"{variant.label} ({others} on the device)")
    if busy:
        yield f"Others used the machine while throughput was measured: {listing(busy, 4)}."


SPEED_RULES: tuple[Callable[[SweepResults, Analysis], Iterator[str]], ...] = (
    _unlike_speeds,
    _unlike_precision,
    _loader_bound,
    _disturbed_speeds,
)
