"""How fast each variant's model is, from the records of its seeds. Pure.

Speed does not depend on the weights, so one measurement stands for all seeds of a variant. Numbers
that were measured under unlike conditions are told apart here, for the whole report.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from deit_core.throughput_records import (
    BenchConditions,
    Quantity,
    Speed,
    SpeedPoint,
    ThroughputRecord,
)
from reports.text import NOTHING
from reports.variants import Variant

QUANTITIES: tuple[Quantity, ...] = ("inference", "training", "training_with_data")
COMMAND = "deit-launch bench reports/latest"
"""What measures the throughput of a sweep."""

_MACHINE: dict[str, Callable[[BenchConditions], str]] = {
    "device": lambda found: found.device_name,
    "number of devices": lambda found: str(found.device_count),
    "power limit": lambda found: _unit(found.power_limit_w, "W"),
}
"""What makes two numbers those of two machines: they never share an axis."""

_SETTINGS: dict[str, Callable[[BenchConditions], str]] = {
    "precision": lambda found: found.precision,
    "TF32": lambda found: _on(found.tf32),
    "channels_last": lambda found: _on(found.channels_last),
    "torch.compile": lambda found: _on(found.compiled),
    "threads": lambda found: _unit(found.threads, ""),
    "torch": lambda found: found.torch,
    "CUDA": lambda found: found.cuda or "none",
}
"""What else a speed depends on: where it differs, rows are marked."""


def _unit(value: float | None, unit: str) -> str:
    return "unknown" if value is None else f"{value:g} {unit}".strip()


def _on(value: bool | None) -> str:
    return "unknown" if value is None else "on" if value else "off"


@dataclass(frozen=True)
class Rate:
    """Speed in one quantity at one batch size."""

    quantity: Quantity
    batch_size: int
    images_per_s: float
    """The median block."""
    low: float | None
    high: float | None
    """The slowest and the fastest block."""
    blocks: int
    peak_gib: float | None
    mfu: float | None
    """Share (0-1) of the measured peak of a matrix product."""

    @property
    def range(self) -> float:
        """Images/s between the slowest and the fastest block."""
        return 0.0 if self.low is None or self.high is None else self.high - self.low


@dataclass(frozen=True)
class VariantSpeed:
    """What was measured of one variant."""

    group_id: str
    record: ThroughputRecord
    """The newest, where its seeds have several."""
    records: int
    """Measurements that the rates are medians of."""
    rates: Mapping[Quantity, Rate]
    """At the fixed batch size; what was not measured is absent."""

    @property
    def conditions(self) -> BenchConditions | None:
        """What the rates hold for."""
        return self.record.conditions

    def largest(self, quantity: Quantity) -> Rate | None:
        """The rate at the largest batch that fits or is allowed."""
        speed = self.record.speed(quantity)
        return rate_of(quantity, speed.largest if speed else None)


def rate_of(quantity: Quantity, point: SpeedPoint | None) -> Rate | None:
    """A measured point; None where nothing was measured or it did not fit."""
    if point is None or point.images_per_s is None:
        return None
    return Rate(
        quantity, point.batch_size, point.images_per_s, point.images_per_s_min,
        point.images_per_s_max, point.blocks, point.peak_gib, point.mfu,
    )  # fmt: skip


def speed_of(variant: Variant) -> VariantSpeed | None:
    """What its seeds' records say; None where no seed has a record.

    Seeds that were measured apart, with one key and under equal conditions, give the median of the
    measurements and the range over all of them.
    """
    records = _distinct(trial.throughput for trial in variant.trials)
    if not records:
        return None
    newest = max(records, key=lambda record: record.finished_unix_s)
    alike = [one for one in records if _same(one, newest)]
    alike.sort(key=lambda record: record.finished_unix_s)
    rates = {q: rate for q in QUANTITIES if (rate := _merged(q, alike)) is not None}
    return VariantSpeed(variant.group_id, newest, len(alike), rates)


def _distinct(records: Iterable[ThroughputRecord | None]) -> list[ThroughputRecord]:
    by_identity = {id(record): record for record in records if record is not None}
    found: list[ThroughputRecord] = []
    for record in by_identity.values():
        if record not in found:
            found.append(record)
    return found


def _same(one: ThroughputRecord, other: ThroughputRecord) -> bool:
    return one.key == other.key and described(one.conditions) == described(other.conditions)


def _merged(quantity: Quantity, records: Sequence[ThroughputRecord]) -> Rate | None:
    """The median over records, at the newest one's batch size."""
    rates = [rate for record in records if (rate := _fixed(record.speed(quantity))) is not None]
    rates = [rate for rate in rates if rate.batch_size == rates[-1].batch_size]
    if len(rates) <= 1:
        return rates[0] if rates else None
    edges = [edge for r in rates for edge in (r.low, r.high, r.images_per_s) if edge is not None]
    shares = [rate.mfu for rate in rates if rate.mfu is not None]
    return Rate(
        quantity,
        rates[-1].batch_size,
        statistics.median(rate.images_per_s for rate in rates),
        min(edges),
        max(edges),
        sum(rate.blocks for rate in rates),
        max((rate.peak_gib for rate in rates if rate.peak_gib is not None), default=None),
        statistics.median(shares) if shares else None,
    )


def _fixed(speed: Speed | None) -> Rate | None:
    return rate_of(speed.quantity, speed.fixed) if speed else None


def described(conditions: BenchConditions | None) -> dict[str, str]:
    """Every condition that speed depends on, in words."""
    if conditions is None:
        return {}
    return {name: read(conditions) for name, read in (_MACHINE | _SETTINGS).items()}


@dataclass(frozen=True)
class Speeds:
    """The speed of all variants, and under which conditions most of them were measured."""

    of: Mapping[str, VariantSpeed]
    """By group id; variants without a record are absent."""
    usual: Mapping[str, str]
    """Conditions of most variants (`described`), with their batch size; empty without rates."""

    @property
    def measured(self) -> list[VariantSpeed]:
        """Variants with a rate, in plan order."""
        return [speed for speed in self.of.values() if speed.rates]

    def rate(self, group: str, quantity: Quantity = "inference") -> Rate | None:
        """A variant's rate at the fixed batch size, if it was measured."""
        speed = self.of.get(group)
        return speed.rates.get(quantity) if speed else None

    def unlike(self, group: str) -> dict[str, str]:
        """Its conditions that are not the usual ones; empty where it was not measured."""
        speed = self.of.get(group)
        if speed is None or not speed.rates:
            return {}
        return {k: v for k, v in _conditions(speed).items() if self.usual.get(k) != v}

    def other_machine(self, group: str) -> bool:
        """Whether its numbers are those of another machine than most."""
        return any(name in _MACHINE for name in self.unlike(group))


def speeds_of(variants: Sequence[Variant]) -> Speeds:
    """Gather what was measured of a sweep."""
    found = {v.group_id: speed for v in variants if (speed := speed_of(v)) is not None}
    # Of equally common conditions the first counts, in plan order.
    counted = Counter(tuple(_conditions(s).items()) for s in found.values() if s.rates)
    usual = dict(counted.most_common(1)[0][0]) if counted else {}
    return Speeds(found, usual)


def _conditions(speed: VariantSpeed) -> dict[str, str]:
    first = next(iter(speed.rates.values()))
    return described(speed.conditions) | {"batch": str(first.batch_size)}


def as_fast(one: Rate, other: Rate) -> bool:
    """Whether two speeds differ by less than the larger range of their blocks: called equal."""
    return abs(one.images_per_s - other.images_per_s) <= max(one.range, other.range)


def significant(value: float | None) -> str:
    """Three significant digits, without an exponent: `12,300`, `85.4`, `0.00123`."""
    if value is None:
        return NOTHING
    rounded = float(f"{value:.3g}")
    if abs(rounded) >= 100:
        return f"{rounded:,.0f}"
    digits = f"{rounded:.12f}".rstrip("0").rstrip(".")
    return digits if abs(rounded) < 1 else f"{rounded:.{1 if abs(rounded) >= 10 else 2}f}"


def where_measured(speeds: Speeds) -> str:
    """`batch 256 on NVIDIA H100, fp32`: the usual conditions in short."""
    usual = speeds.usual
    if "device" not in usual:
        return ""
    parts = [f"batch {usual['batch']} on {usual['device']}", usual["precision"]]
    if usual["torch.compile"] == "on":
        parts.append("compiled")
    return ", ".join(parts)
