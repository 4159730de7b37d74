"""Read a sweep folder: its plan, and what each planned trial left behind.

A trial whose directory is missing or damaged is a result too: it is kept, with the reason, and
the report goes on. Only a sweep folder without a readable plan is an error.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deit_core.config import RunConfig
from deit_core.errors import RunDirError
from deit_core.records import (
    EnvRecord,
    PlannedTrial,
    PlanRecord,
    State,
    StatusRecord,
    SummaryRecord,
)
from deit_core.run_dir import RunDir, read_json
from reports.errors import ReportError

LATEST = Path("reports/latest")
_FIRST_SWEEP = "run `deit-launch sweep SWEEP.yaml` first, or name a sweep folder"

TrialState = State | Literal["missing", "damaged"]


@dataclass(frozen=True)
class TrialResult:
    """One planned trial and what was found of it."""

    planned: PlannedTrial
    path: Path
    """The run directory as this sweep names it; may be a link, dangling, or absent."""
    state: TrialState
    reason: str | None = None
    """Why there is no result, in words; null for a trial that has one."""
    status: StatusRecord | None = None
    summary: SummaryRecord | None = None
    env: EnvRecord | None = None
    config: RunConfig | None = None

    @property
    def result(self) -> SummaryRecord | None:
        """The summary of a trial that completed, else None."""
        return self.summary if self.state == "completed" else None


@dataclass(frozen=True)
class SweepResults:
    """A sweep folder as read at one moment."""

    path: Path
    plan: PlanRecord
    sweep_yaml: str | None
    trials: tuple[TrialResult, ...]

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


def resolve_sweep(path: Path) -> Path:
    """The real path of a sweep folder, with links followed once and for all.

    Raises:
        ReportError: there is no such folder, or it is not a sweep folder.
    """
    real = Path(os.path.realpath(path))
    if not real.exists():
        if path.is_symlink():
            raise ReportError(f"{path} points to {real}, which is gone; {_FIRST_SWEEP}")
        if path == LATEST:
            raise ReportError(f"there is no {path} here yet; {_FIRST_SWEEP}")
        raise ReportError(f"there is no sweep folder {path}; {_FIRST_SWEEP}")
    if not real.is_dir():
        raise ReportError(f"{path} is a file; give the sweep folder that holds plan.json")
    if not (real / "plan.json").exists():
        raise ReportError(f"{path} is not a sweep folder: it has no plan.json; {_hint(real)}")
    return real


def _hint(folder: Path) -> str:
    """What to give instead of a folder that is no sweep."""
    sweeps = sorted(child.parent.name for child in folder.glob("*/plan.json"))
    if not sweeps:
        return _FIRST_SWEEP
    return f"it holds {len(sweeps)} of them, give one, such as {folder / sweeps[-1]}"


def load_sweep(path: Path) -> SweepResults:
    """Read the sweep folder `path` (already resolved).

    Raises:
        ReportError: the plan lists no student.
        RunDirError: plan.json cannot be read.
        SchemaError: plan.json is damaged or from a newer version.
    """
    plan_file = path / "plan.json"
    plan = PlanRecord.from_json(read_json(plan_file), str(plan_file))
    if not any(trial.role == "student" for trial in plan.trials):
        raise ReportError(f"{plan_file} lists no trial to compare; run the sweep again")
    trials = tuple(_load_trial(path / "trials" / trial.trial_id, trial) for trial in plan.trials)
    return SweepResults(path, plan, _read_text(path / "sweep.yaml"), _students_first(trials))


def _read_text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _load_trial(path: Path, planned: PlannedTrial) -> TrialResult:
    try:
        if not path.is_dir():
            return TrialResult(planned, path, "missing", _why_missing(path))
        return _read_trial(RunDir(path), planned)
    except RunDirError as error:
        return TrialResult(planned, path, "damaged", str(error))
    except OSError as error:
        return TrialResult(planned, path, "damaged", f"cannot read {path}: {error.strerror}")


def _why_missing(path: Path) -> str:
    if path.is_symlink():
        return f"reused from {os.readlink(path)}, which is gone"
    return "no run directory: not started yet, or deleted"


def _read_trial(run_dir: RunDir, planned: PlannedTrial) -> TrialResult:
    """Read a run directory that is there. Raises RunDirError where it contradicts itself."""
    trial_id = run_dir.read_trial().trial_id
    if trial_id != planned.trial_id:
        raise RunDirError(f"{run_dir.path} holds trial {trial_id}, not {planned.trial_id}")
    config, status = run_dir.read_config(), run_dir.read_status()
    summary, env = run_dir.read_summary(), run_dir.read_env()
    if summary is not None and not run_dir.status_file.exists():
        raise RunDirError(f"{run_dir.path} is half deleted: {run_dir.status_file.name} is missing")
    if status.state == "completed":
        if summary is None:
            raise RunDirError(
                f"{run_dir.path} is half deleted: {run_dir.summary_file.name} is missing"
            )
        if summary.val_top1 is None:
            raise RunDirError(f"{run_dir.summary_file} holds no accuracy")
    reason = None if status.state == "completed" else _why_no_result(status)
    return TrialResult(planned, run_dir.path, status.state, reason, status, summary, env, config)


def _why_no_result(status: StatusRecord) -> str:
    progress = f"at step {status.step}"
    if status.total_steps:
        progress += f" of {status.total_steps}"
    words = {
        "pending": "waits to be started",
        "running": f"was {progress} when this report was written",
        "preempted": f"stopped {progress}, to be resumed",
        "failed": f"{status.failure or 'failed'} {progress}",
        "pruned": f"stopped early by the search {progress}",
    }
    said = " ".join((status.reason or "").split())
    return f"{words[status.state]}: {said}" if said else words[status.state]


def _students_first(trials: Sequence[TrialResult]) -> tuple[TrialResult, ...]:
    """Plan order, but teachers last: the order of every table."""
    return tuple(sorted(trials, key=lambda trial: trial.planned.role == "teacher"))
