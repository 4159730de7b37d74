"""A sweep's results as read at one moment: all that a report is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from deit_core.attempts import AttemptRecord
from deit_core.config import RunConfig
from deit_core.imported import ImportedRecord, ImportedSummary
from deit_core.records import (
    AnalysisRecord,
    EnvRecord,
    PlannedTrial,
    PlanRecord,
    State,
    StatusRecord,
    SummaryRecord,
)
from deit_core.throughput_records import ThroughputRecord
from reports.curves import Curve

TrialState = State | Literal["missing", "damaged"]
_UNFINISHED = frozenset({"pending", "running", "preempted", "missing"})


@dataclass(frozen=True)
class TrialResult:
    """One planned trial and what was found of it. Equal records are shared between trials."""

    planned: PlannedTrial
    state: TrialState
    reason: str | None = None
    """Why there is no result, in words; null for a trial that has one."""
    status: StatusRecord | None = None
    summary: SummaryRecord | None = None
    env: EnvRecord | None = None
    """Without its patch."""
    config: RunConfig | None = None
    """Shared by the seeds of a variant: `seed` in it is that of one of them."""
    throughput: ThroughputRecord | None = None
    analysis: AnalysisRecord | None = None
    attempts: tuple[AttemptRecord, ...] = ()
    curve: Curve | None = None
    correct: Mapping[str, Any] | None = None
    """val_correct.json as it stands: which val images were classified right."""
    imported: ImportedRecord | None = None
    """What is known of a run that another program trained; it has no config and no summary."""
    problems: tuple[str, ...] = ()
    """Files of it, or lines of them, that could not be read and were left out, in words."""

    @property
    def result(self) -> SummaryRecord | ImportedSummary | None:
        """The summary of a trial that completed, else None. Of an imported run much is unknown."""
        if self.state != "completed":
            return None
        return self.imported.summary if self.imported else self.summary


@dataclass(frozen=True)
class SweepResults:
    """A sweep folder as read at one moment."""

    folder: str
    """The name of the sweep's folder."""
    links: str
    """The folder of run directories as seen from the report, such as `../trials`, as a URL."""
    plan: PlanRecord
    sweep_yaml: str | None
    trials: tuple[TrialResult, ...]
    """Plan order, but teachers last: the order of every table."""
    search: Mapping[str, Any] | None = None
    """What a search wrote down (`reports.search.files`); null for a grid."""
    problems: tuple[str, ...] = ()
    """What of the sweep's own files could not be read."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further plain data that a section asked for when the folder was read."""

    @property
    def students(self) -> tuple[TrialResult, ...]:
        """Trials that are compared: all but the teachers."""
        return tuple(trial for trial in self.trials if trial.planned.role == "student")

    @property
    def single_run(self) -> bool:
        """Whether there is one run and nothing to compare it with, as of `deit-launch train`."""
        return len(self.students) == 1

    @property
    def teachers(self) -> tuple[TrialResult, ...]:
        """Trials that only train a teacher."""
        return tuple(trial for trial in self.trials if trial.planned.role == "teacher")

    @property
    def unfinished(self) -> int:
        """Planned trials, teachers included, that have not ended, or not begun."""
        return sum(trial.state in _UNFINISHED for trial in self.trials)

    def link(self, trial: TrialResult) -> str | None:
        """The run directory as seen from the report, or None where there is none."""
        return None if trial.state == "missing" else f"{self.links}/{trial.planned.trial_id}"
