"""The state of a sweep as rows, for `status`, `--watch` and `--json`."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deit_core.records import PlannedTrial, PlanRecord
from launcher.backends.base import Backend
from launcher.bench.progress import BenchProgress, read_bench_progress
from launcher.observe import ACTIVE, NOTHING, Observation, observe
from launcher.scheduler_words import UNTIL_RESUMED, starting_on, waiting_words
from launcher.search.progress import SearchProgress, read_progress
from launcher.search.records import SearchDir
from launcher.sweep_dir import SweepDir
from launcher.trial_dirs import own_paths

STATUS_SCHEMA_VERSION = 1
"""Raised when a field of `status --json` changes its meaning or goes away."""
STALLED_AFTER_S = 60.0
"""A search of which nothing is heard for so long has been left; a refill takes seconds."""


@dataclass(frozen=True)
class Row:
    """One trial of a sweep. The fields are those of `status --json`."""

    trial_id: str
    group_id: str
    name: str
    role: str
    seed: int
    swept: dict[str, Any]
    state: str
    """new, queued, running, stopped, completed, failed, pruned, unknown or damaged."""
    failure: str | None
    reason: str | None
    attempt: int
    step: int
    total_steps: int | None
    epoch: float
    val_top1: float | None
    train_images_per_s: float | None
    train_loss: float | None
    eta_s: float | None
    heartbeat_age_s: float | None
    job: str | None
    path: str | None
    unreadable_images: int
    """Image files that could not be read so far."""
    first_unreadable: str | None
    """The path of one of them."""
    backend: str | None = None
    """Where its job is, while it has one."""
    job_detail: str | None = None
    """What the scheduler says of the job, in its own words."""
    held: bool = False
    """Whether it is paused: its job waits until `deit-launch resume`."""
    cause: str | None = None
    """What ended its latest attempt, where it waits for the next one or failed."""

    @property
    def shown_state(self) -> str:
        """The state in tables, where a queued trial is told from one that is paused or starts."""
        if self.held:
            return "paused"
        starts = self.state == "queued" and starting_on(self.job_detail or "") is not None
        return "starting" if starts else self.state

    @property
    def why(self) -> str | None:
        """Why it is not running, in one line."""
        if self.held:
            return waiting_words(self.job_detail or "") or UNTIL_RESUMED
        if self.state != "queued" or not self.job_detail:
            return self.reason
        waits = waiting_words(self.job_detail)
        return f"{waits}; before: {self.reason}" if self.reason else waits


@dataclass(frozen=True)
class Snapshot:
    """A sweep at one moment."""

    sweep: str
    path: Path
    axes: tuple[str, ...]
    rows: tuple[Row, ...]
    search: SearchProgress | None = None
    """Of a search: how far it is."""
    quiet_s: float = 0.0
    """Since anything has happened, as far as files tell."""
    bench: BenchProgress | None = None
    """How the latest measurement of its models stands."""
    alone: bool = False
    """Whether its models are measured and nothing is trained."""

    def counts(self) -> dict[str, int]:
        """Number of trials by state."""
        return dict(Counter(row.state for row in self.rows))

    def shown_counts(self) -> dict[str, int]:
        """Number of trials by the state that tables show."""
        return dict(Counter(row.shown_state for row in self.rows))

    def settled(self) -> bool:
        """Whether nothing works on any trial, nor will by itself."""
        return not self.busy() and not self.asks()

    def busy(self) -> bool:
        """Whether something works on a trial or a measurement, or it waits for that."""
        measuring = self.bench is not None and self.bench.active
        return measuring or any(row.state in ACTIVE and not row.held for row in self.rows)

    def asks(self) -> bool:
        """Whether a search is to ask for more points as soon as it can."""
        paused = any(row.held for row in self.rows)
        return self.search is not None and self.search.asks and not paused

    def stalls(self) -> bool:
        """Whether a search is to ask for more points, and nobody seems to."""
        return self.asks() and not self.busy() and self.quiet_s >= STALLED_AFTER_S

    def all_completed(self) -> bool:
        """Whether every trial has a result, and what was measured has not failed."""
        if self.bench is not None and self.bench.state == "failed":
            return False
        return self.alone or all(row.state in ("completed", "pruned") for row in self.rows)

    def as_json(self) -> dict[str, Any]:
        """What `status --json` prints."""
        return {
            "schema_version": STATUS_SCHEMA_VERSION,
            "sweep": self.sweep,
            "path": str(self.path),
            "counts": self.counts(),
            "search": None if self.search is None else asdict(self.search),
            "bench": None if self.bench is None else asdict(self.bench),
            "trials": [asdict(row) for row in self.rows],
        }


class Monitor:
    """Looks at a sweep again and again; trials with a result are read once."""

    def __init__(self, sweep_dir: SweepDir, backend: Backend) -> None:
        self.sweep_dir = sweep_dir
        self.backend = backend
        self.plan: PlanRecord = sweep_dir.read_plan()
        self.searched = SearchDir(sweep_dir).exists()
        """Whether the sweep is a search, whose trials become more."""
        self._completed: dict[str, Row] = {}
        self._alive_unix_s = 0.0

    def look(self) -> Snapshot:
        """The sweep now. Raises RunDirError when the sweep folder itself cannot be read."""
        search = read_progress(self.sweep_dir) if self.searched else None
        if search is not None:
            self.plan = self.sweep_dir.read_plan()  # it has become longer
        wanted = {trial.trial_id for trial in self.plan.trials} - self._completed.keys()
        seen = observe(own_paths(self.sweep_dir, wanted), self.backend)
        now = time.time()
        rows = []
        for planned in self.plan.trials:
            row = self._completed.get(planned.trial_id)
            if row is None:
                row = _row(planned, seen.get(planned.trial_id, NOTHING), now)
                if row.state == "completed":
                    self._completed[planned.trial_id] = row
            rows.append(row)
        plan = self.plan
        return Snapshot(
            plan.sweep,
            self.sweep_dir.path,
            plan.axes,
            tuple(rows),
            search,
            quiet_s=max(0.0, now - self._last_sign(seen.values())),
            bench=read_bench_progress(self.sweep_dir, self.backend),
            alone=plan.bench is not None and plan.bench.get("when") == "alone",
        )

    def _last_sign(self, seen: Iterable[Observation]) -> float:
        """When a trial was last heard of, or trials were added, as Unix time."""
        beats = [one.status.heartbeat_unix_s or 0.0 for one in seen]
        with contextlib.suppress(FileNotFoundError):
            beats.append(self.sweep_dir.plan_file.stat().st_mtime)
        self._alive_unix_s = max(self._alive_unix_s, *beats, 0.0)
        return self._alive_unix_s


def _row(planned: PlannedTrial, seen: Observation, now: float) -> Row:
    status = seen.status
    beat = status.heartbeat_unix_s if seen.condition == "running" else None
    running = seen.condition == "running"
    job = seen.job if seen.condition in ACTIVE else None
    return Row(
        trial_id=planned.trial_id,
        group_id=planned.group_id,
        name=planned.name,
        role=planned.role,
        seed=planned.seed,
        swept=dict(planned.swept),
        state=seen.condition,
        failure=status.failure,
        reason=seen.problem or status.reason,
        attempt=status.attempt,
        step=status.step,
        total_steps=status.total_steps,
        epoch=status.epoch,
        val_top1=_val_top1(seen),
        train_images_per_s=status.train_images_per_s if running else None,
        train_loss=status.train_loss if running else None,
        eta_s=status.eta_s if running else None,
        heartbeat_age_s=None if beat is None else round(max(0.0, now - beat), 1),
        job=job.job_id if job else None,
        path=None if seen.path is None else str(seen.path),
        unreadable_images=status.unreadable_images,
        first_unreadable=status.first_unreadable,
        backend=job.backend if job else None,
        job_detail=(seen.report.detail or None) if job and seen.report else None,
        held=seen.held,
        cause=None if seen.condition == "completed" else status.cause,
    )


def _val_top1(seen: Observation) -> float | None:
    """The result where there is one, else the latest evaluation."""
    return seen.status.val_top1 if seen.summary is None else seen.summary.val_top1


def by_group(rows: tuple[Row, ...]) -> Mapping[str, list[Row]]:
    """Rows by group, in plan order."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.group_id, []).append(row)
    return groups
