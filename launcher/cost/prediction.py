"""The predicted cost of a plan, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from launcher.cost.interval import Interval

Basis = Literal["same settings", "same device", "data sheet"]
"""What a job's time is predicted from: finished runs of its settings (other seeds), finished runs
of other models on the device, or what is known of such devices in general."""


@dataclass(frozen=True)
class TrialCost:
    """A trial's share of its job."""

    hours: Interval
    """In `Cost.unit`."""
    disk_gib: Interval


@dataclass(frozen=True)
class JobCost:
    """One job, from its start to its end."""

    seconds: Interval
    basis: Basis
    saved_seconds: Interval
    """What its trials would take longer if each had a job of its own."""
    memory_gib: Interval
    """Of each process."""


@dataclass(frozen=True)
class Cost:
    """What the jobs of a plan will take; every interval is a 90 % prediction interval."""

    unit: Literal["GPU-hours", "core-hours"]
    hours: Interval
    """Of all jobs whose cost is known."""
    wall_seconds: Interval | None
    """From the start of the first job to the end of the last; None where a job is unknown."""
    disk_gib: Interval
    free_gib: float | None
    """In the runs folder."""
    saved_hours: Interval
    """By cohorts: teacher passes and starts of processes that are not repeated."""
    teacher_share: float
    """Of all FLOPs (0-1)."""
    trials: Mapping[str, TrialCost]
    """By trial id; those whose cost is known."""
    jobs: tuple[JobCost | None, ...]
    """In the plan's order; None where the cost is unknown."""
    unknown: Mapping[str, int]
    """What is not known, and how many trials that makes unknown."""
    basis: tuple[str, ...]
    """What the times rest on, in words."""
    notes: tuple[str, ...]
    """What a user should look at."""

    def as_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        return asdict(self)
