"""Seconds of work on a device, by the best evidence there is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from launcher.cost.devices import CPU_FLOPS_PER_CORE, gpu_flops
from launcher.cost.interval import Interval
from launcher.cost.power_law import SPREAD_OTHER, SPREAD_SAME, PowerLaw, fit_power_law
from launcher.cost.prediction import Basis
from launcher.cost.records import Device, JobRecord

STARTUP_S = Interval(3.0, 8.0, 60.0)
"""Of a process: imports take 3 s with warm disks (docs/benchmarks.md); up to a minute from a cold
file server, with a GPU and a teacher's weights to load."""

_EVALUATION_OVER_TRAINING = Interval(0.7, 1.5, 5.0)
"""Seconds for a FLOP of evaluation over one of training: no backward pass, but images that are read
in their full size, and the checkpoints that are written meanwhile."""


@dataclass(frozen=True)
class Rates:
    """What earlier runs say of one device."""

    device: Device
    records: tuple[JobRecord, ...]
    """Of this device alone."""

    @cached_property
    def _any(self) -> PowerLaw:
        return fit_power_law([record.step for record in self.records], SPREAD_OTHER)

    @cached_property
    def _by_group(self) -> dict[str, list[JobRecord]]:
        groups: dict[str, list[JobRecord]] = {}
        for record in self.records:
            for group in record.groups:
                groups.setdefault(group, []).append(record)
        return groups

    def step_seconds(self, work: float, groups: frozenset[str]) -> tuple[Interval, Basis]:
        """Seconds for one student's step of `work` FLOPs, and what they are known from.

        Args:
            work: of one process.
            groups: group ids of the job's trials.
        """
        same = self.like(groups)
        if same:
            law = fit_power_law([record.step for record in same], SPREAD_SAME)
            return law.seconds(work), "same settings"
        if self.records:
            return self._any.seconds(work), "same device"
        flops = _general_flops(self.device)
        return Interval(work / flops.high, work / flops.point, work / flops.low), "data sheet"

    def like(self, groups: frozenset[str]) -> list[JobRecord]:
        """Records that tell of every one of these groups, each once."""
        if not groups <= self._by_group.keys():
            return []
        found = [record for group in sorted(groups) for record in self._by_group[group]]
        return list({id(record): record for record in found}.values())

    @cached_property
    def _evaluations(self) -> PowerLaw | None:
        measured = [record.evaluation for record in self.records if record.evaluation]
        return fit_power_law(measured, SPREAD_OTHER) if measured else None

    def evaluation_seconds(self, work: float, per_flop: Interval) -> Interval:
        """Seconds for all evaluations and checkpoints of a job.

        Args:
            work: FLOPs of one process.
            per_flop: seconds of training.
        """
        if work <= 0:
            return Interval(0.0, 0.0, 0.0)
        if self._evaluations is not None:
            return self._evaluations.seconds(work)
        slower = _EVALUATION_OVER_TRAINING
        return Interval(
            work * per_flop.low * slower.low,
            work * per_flop.point * slower.point,
            work * per_flop.high * slower.high,
        )

    @cached_property
    def startup_seconds(self) -> Interval:
        """From a job's start to its first step.

        The shortest time from submission to start was not spent waiting for a slot, others may have
        been; a machine with warm or cold disks is taken to be twice as fast or as slow.
        """
        seen = [record.startup_s for record in self.records if record.startup_s is not None]
        if not seen:
            return STARTUP_S
        return Interval(min(seen) / 2, min(seen), 2 * min(seen))


def _general_flops(device: Device) -> Interval:
    if device.kind == "cpu":
        return CPU_FLOPS_PER_CORE * max(1, device.threads)
    return gpu_flops(device.name, device.precision)


def rates_on(device: Device, records: Iterable[JobRecord]) -> Rates:
    """The records of a device."""
    return Rates(device, tuple(record for record in records if record.device == device))


def newest_name(kind: str, records: Sequence[JobRecord]) -> str | None:
    """The device of the newest record of this kind."""
    return next((record.device.name for record in records if record.device.kind == kind), None)
