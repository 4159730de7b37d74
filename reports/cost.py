"""What a sweep cost: the time of devices by what became of it, waiting, losses, energy. Pure.

Device time is that of attempts, from the start of the job to its end: start-up, evaluation and
checkpoints are part of it. The trials of a cohort share their job's time equally.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise

from deit_core.attempts import AttemptRecord
from deit_core.records import EnergySource
from reports.device_hours import (
    Job,
    Unit,
    devices_of,
    hours_per_step,
    job_of,
    members_of_jobs,
)
from reports.results import SweepResults, TrialResult

ROWS = {
    "completed": "students that completed",
    "pruned": "students pruned: stopped early on purpose",
    "failed": "students that failed",
    "open": "students not finished yet",
    "teacher": "teachers",
}
"""What device time is counted under, and what that is called."""

_JOULES_PER_KWH = 3.6e6


@dataclass
class CostRow:
    """One row of the account."""

    trials: int = 0
    attempts: int = 0
    hours: dict[Unit, float] = field(default_factory=dict)
    lost_hours: dict[Unit, float] = field(default_factory=dict)
    """Of `hours`: steps that no checkpoint held, and attempts that came no further."""
    joules: float = 0.0
    measured: int = 0
    """Trials whose energy was read."""


@dataclass(frozen=True)
class CostAccount:
    """The whole account."""

    rows: Mapping[str, CostRow]
    """By key of `ROWS`; only those that have trials that began."""
    wall_s: float | None
    """From the first start to the last end; null where no attempt has both."""
    attempts: int
    again: Mapping[str, int]
    """Attempts that were followed by another one, by what ended them."""
    waiting_s: float
    """Between the end of an attempt and the start of the next, summed over trials."""
    saved_hours: Mapping[Unit, float]
    """What the rest of the pruned trials' schedules would have cost at their own speed."""
    saved_epochs: float
    scheduled_epochs: float
    """Of all students that began; `saved_epochs` are a part of it."""
    shared_jobs: int
    """Jobs that trained several trials side by side."""
    earlier: int
    """Trials that another sweep had trained before this one was planned."""
    untimed: int
    """Attempts whose end nobody saw: they are counted up to their last sign of life, if any."""
    sources: frozenset[EnergySource]

    @property
    def units(self) -> tuple[Unit, ...]:
        """The units that occur, GPUs first."""
        found = {unit for row in self.rows.values() for unit in row.hours}
        return tuple(unit for unit in ("GPU-hours", "core-hours") if unit in found)

    def total(self, unit: Unit) -> float:
        """Over all rows."""
        return sum(row.hours.get(unit, 0.0) for row in self.rows.values())

    def lost(self, unit: Unit) -> float:
        """Over all rows."""
        return sum(row.lost_hours.get(unit, 0.0) for row in self.rows.values())

    @property
    def kwh(self) -> float | None:
        """Energy of all trials that were measured; None where none was."""
        if not any(row.measured for row in self.rows.values()):
            return None
        return sum(row.joules for row in self.rows.values()) / _JOULES_PER_KWH

    @property
    def measured(self) -> int:
        """Trials whose energy was read."""
        return sum(row.measured for row in self.rows.values())

    @property
    def began(self) -> int:
        """Trials that a job has started."""
        return sum(row.trials for row in self.rows.values())


def account(sweep: SweepResults) -> CostAccount | None:
    """Add up a sweep; None where nothing has begun."""
    begun = [trial for trial in sweep.trials if trial.attempts or _has_begun(trial)]
    if not begun:
        return None
    members = members_of_jobs(begun)
    rows: dict[str, CostRow] = {}
    for trial in begun:
        _add(rows.setdefault(_row_of(trial), CostRow()), trial, members)
    for row in rows.values():  # an attempt in vain may have repeated steps as well
        row.lost_hours = {u: min(lost, row.hours.get(u, 0.0)) for u, lost in row.lost_hours.items()}
    attempts = [attempt for trial in begun for attempt in trial.attempts]
    students = [trial for trial in begun if trial.planned.role == "student"]
    planned_at = _unix(sweep.plan.created_utc)
    own = [trial for trial in begun if not _is_earlier(trial, planned_at)]
    saved = _saved(students, members)
    sources = {trial.status.energy_source for trial in begun if trial.status}
    return CostAccount(
        rows={key: rows[key] for key in ROWS if key in rows},
        wall_s=_wall(own),
        attempts=len(attempts),
        again=Counter(
            one.cause or "not seen to end" for trial in begun for one in trial.attempts[:-1]
        ),
        waiting_s=sum(_waiting(trial.attempts) for trial in begun),
        saved_hours=saved,
        saved_epochs=sum(left for _, left in map(epochs_of, students) if left is not None),
        scheduled_epochs=sum(total or 0.0 for total, _ in map(epochs_of, students)),
        shared_jobs=sum(count > 1 for count in members.values()),
        earlier=len(begun) - len(own),
        untimed=sum(one.ended_unix_s is None for one in attempts),
        sources=frozenset(source for source in sources if source is not None),
    )


def epochs_of(trial: TrialResult) -> tuple[float | None, float | None]:
    """Epochs of a trial's whole schedule, and those that pruning left out; None: not known."""
    if trial.summary is not None:
        return trial.summary.epochs, None
    status = trial.status
    if status is None or not status.total_steps or not status.step or not status.epoch:
        return None, None
    total = status.epoch * status.total_steps / status.step
    return total, (total - status.epoch if trial.state == "pruned" else None)


def _has_begun(trial: TrialResult) -> bool:
    return trial.status is not None and trial.status.attempt > 0


def _row_of(trial: TrialResult) -> str:
    if trial.planned.role == "teacher":
        return "teacher"
    if trial.state in ("completed", "pruned"):
        return trial.state
    return "failed" if trial.state in ("failed", "damaged") else "open"


def _add(row: CostRow, trial: TrialResult, members: Mapping[Job, int]) -> None:
    row.trials += 1
    row.attempts += max(len(trial.attempts), trial.status.attempt if trial.status else 0)
    for attempt in trial.attempts:
        devices = devices_of(trial, attempt.processes)
        seconds = _attempt_s(trial, attempt)
        if devices is not None:
            share = devices.count * seconds / members[job_of(attempt)] / 3600
            row.hours[devices.unit] = row.hours.get(devices.unit, 0.0) + share
            if _is_in_vain(attempt):
                row.lost_hours[devices.unit] = row.lost_hours.get(devices.unit, 0.0) + share
    if not trial.attempts:
        _add_unattended(row, trial, members)
    _add_repeated(row, trial, members)
    if trial.status is not None and trial.status.energy_j is not None:
        row.joules += trial.status.energy_j
        row.measured += 1


def _is_in_vain(attempt: AttemptRecord) -> bool:
    """Whether it has ended without bringing its trial further."""
    ended = attempt.ended_unix_s is not None and attempt.cause not in ("completed", "pruned")
    return ended and not attempt.progressed


def _add_unattended(row: CostRow, trial: TrialResult, members: Mapping[Job, int]) -> None:
    """A trial that was started by hand, without a record of its attempts: training time alone."""
    per_step = hours_per_step(trial, members)
    steps = trial.summary.steps if trial.summary else trial.status.step if trial.status else 0
    if per_step is not None:
        unit, hours = per_step
        row.hours[unit] = row.hours.get(unit, 0.0) + hours * steps


def _add_repeated(row: CostRow, trial: TrialResult, members: Mapping[Job, int]) -> None:
    """Steps that were trained twice, at the trial's own speed."""
    per_step = hours_per_step(trial, members)
    if per_step is not None and (steps := repeated_steps(trial)):
        unit, hours = per_step
        row.lost_hours[unit] = row.lost_hours.get(unit, 0.0) + hours * steps


def repeated_steps(trial: TrialResult) -> int:
    """Steps that no checkpoint held; from status.json, or from where attempts ended and began."""
    pairs = pairwise(trial.attempts)
    between = sum(max(0, (one.last_step or 0) - after.first_step) for one, after in pairs)
    return max(between, trial.status.repeated_steps if trial.status else 0)


def _attempt_s(trial: TrialResult, attempt: AttemptRecord) -> float:
    """Length of an attempt; up to the trial's last sign of life where nobody saw its end."""
    end = attempt.ended_unix_s
    if end is None and attempt is trial.attempts[-1] and trial.status is not None:
        end = trial.status.finished_unix_s or trial.status.heartbeat_unix_s
    return max(0.0, end - attempt.started_unix_s) if end is not None else 0.0


def _waiting(attempts: Sequence[AttemptRecord]) -> float:
    pairs = pairwise(attempts)
    return sum(
        max(0.0, after.started_unix_s - one.ended_unix_s)
        for one, after in pairs
        if one.ended_unix_s is not None
    )


def _wall(trials: Sequence[TrialResult]) -> float | None:
    starts = [one.started_unix_s for trial in trials for one in trial.attempts]
    ends = [
        one.started_unix_s + _attempt_s(trial, one) for trial in trials for one in trial.attempts
    ]
    return max(ends) - min(starts) if starts else None


def _saved(students: Sequence[TrialResult], members: Mapping[Job, int]) -> dict[Unit, float]:
    saved: dict[Unit, float] = {}
    for trial in students:
        per_step, status = hours_per_step(trial, members), trial.status
        if trial.state != "pruned" or per_step is None or status is None or not status.total_steps:
            continue
        unit, hours = per_step
        left = hours * max(0, status.total_steps - status.step)
        saved[unit] = saved.get(unit, 0.0) + left
    return saved


def _is_earlier(trial: TrialResult, planned_at: float | None) -> bool:
    if planned_at is None or not trial.attempts:
        return False
    return trial.attempts[-1].started_unix_s < planned_at - 1  # created_utc has whole seconds


def _unix(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
