"""Read a sweep folder: its plan, and what each planned trial left behind.

A trial whose directory is missing or damaged is a result too: it is kept, with the reason, and
the report goes on. Only a sweep folder without a readable plan is an error.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from deit_core.attempts import read_attempts
from deit_core.config import RunConfig
from deit_core.errors import RunDirError, SchemaError
from deit_core.records import (
    EnvRecord,
    PlannedTrial,
    PlanRecord,
    Record,
    StatusRecord,
    SummaryRecord,
)
from deit_core.run_dir import RunDir, read_json
from deit_core.throughput_records import ThroughputRecord
from reports.curves import points_per_trial, read_curve
from reports.errors import ReportError
from reports.results import SweepResults, TrialResult
from reports.search_data import read_search
from reports.text import count

LATEST = Path("reports/latest")
_FIRST_SWEEP = "run `deit-launch sweep SWEEP.yaml` first, or name a sweep folder"
RecordT = TypeVar("RecordT", bound=Record)
ValueT = TypeVar("ValueT")


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


def load_sweep(path: Path, output: Path | None = None) -> SweepResults:
    """Read the sweep folder `path` (already resolved).

    Args:
        path: the folder.
        output: where the report will lie, for its links; `path`/report if not given.

    Raises:
        ReportError: the plan lists no student.
        RunDirError: plan.json cannot be read.
        SchemaError: plan.json is damaged or from a newer version.
    """
    plan_file = path / "plan.json"
    plan = PlanRecord.from_json(read_json(plan_file), str(plan_file))
    if not any(trial.role == "student" for trial in plan.trials):
        raise ReportError(f"{plan_file} lists no trial to compare; run the sweep again")
    reader = _Reader(path, points_per_trial(len(plan.trials)))
    trials = tuple(reader.read(planned) for planned in plan.trials)
    return SweepResults(
        folder=path.name,
        links=Path(os.path.relpath(path / "trials", output or path / "report")).as_posix(),
        plan=plan,
        sweep_yaml=_read_text(path / "sweep.yaml"),
        trials=tuple(sorted(trials, key=lambda trial: trial.planned.role == "teacher")),
        search=read_search(path),
    )


def _read_text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


class _Reader:
    """Reads the trials of one sweep.

    Thousands share a few configs and environments: each is validated and kept once.
    """

    def __init__(self, sweep: Path, most_points: int) -> None:
        self._trials = sweep / "trials"
        self._most_points = most_points
        self._configs: dict[str, RunConfig] = {}
        self._shared: dict[bytes, Record | None] = {}

    def read(self, planned: PlannedTrial) -> TrialResult:
        """One planned trial; whatever is wrong with it is part of the result."""
        path = self._trials / planned.trial_id
        try:
            if not path.is_dir():
                return TrialResult(planned, "missing", _why_missing(path))
            return self._read(RunDir(path), planned)
        except (RunDirError, SchemaError) as error:
            return TrialResult(planned, "damaged", str(error))
        except OSError as error:
            return TrialResult(planned, "damaged", f"cannot read {path}: {error.strerror}")

    def _read(self, run: RunDir, planned: PlannedTrial) -> TrialResult:
        """Read a run directory that is there. Raises RunDirError where it contradicts itself."""
        trial_id = run.read_trial().trial_id
        if trial_id != planned.trial_id:
            raise RunDirError(f"{run.path} holds trial {trial_id}, not {planned.trial_id}")
        status, summary = run.read_status(), run.read_summary()
        _check_whole(run, status, summary)
        problems: list[str] = []
        curve, damaged = read_curve(run.metrics_file, self._most_points)
        if damaged:
            problems.append(f"metrics.jsonl: {count(damaged, 'damaged line')} left out")
        return TrialResult(
            planned=planned,
            state=status.state,
            reason=None if status.state == "completed" else _why_no_result(status),
            status=status,
            summary=summary,
            env=self._share(run.env_file, _env_of, problems),
            config=self._config(run),
            throughput=self._share(run.throughput_file, ThroughputRecord.from_json, problems),
            analysis=_optional(run.read_analysis, problems),
            attempts=_optional(lambda: read_attempts(run), problems) or (),
            curve=curve,
            correct=_optional(lambda: _plain(run.val_correct_file), problems),
            problems=tuple(problems),
        )

    def _config(self, run: RunDir) -> RunConfig:
        """Raises RunDirError."""
        if not run.config_file.exists():
            return run.read_config()  # which says what is wrong
        values = read_json(run.config_file)
        if isinstance(values, dict):
            values.pop("seed", None)
        key = json.dumps(values, sort_keys=True)
        if key not in self._configs:
            self._configs[key] = run.read_config()
        return self._configs[key]

    def _share(
        self, path: Path, parse: Callable[[Any, str], RecordT], problems: list[str]
    ) -> RecordT | None:
        """The record in a file that many trials have alike; None where there is none."""
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        if data not in self._shared:
            try:
                self._shared[data] = parse(json.loads(data), str(path))
            except (ValueError, SchemaError) as error:
                said = str(error) if isinstance(error, SchemaError) else "it is not JSON"
                problems.append(f"{path.name} left out: {said}")
                return None
        return cast("RecordT | None", self._shared[data])


def _env_of(values: Any, where: str) -> EnvRecord:
    return EnvRecord.from_json(values, where).model_copy(update={"git_patch": None})


def _plain(path: Path) -> dict[str, Any] | None:
    """A JSON object as it stands, or None where there is no file. Raises RunDirError."""
    if not path.exists():
        return None
    values = read_json(path)
    if not isinstance(values, dict):
        raise RunDirError(f"{path} is damaged: it holds no object")
    return values


def _optional(read: Callable[[], ValueT], problems: list[str]) -> ValueT | None:
    """What is read, or None with a word on why not."""
    try:
        return read()
    except (RunDirError, SchemaError) as error:
        problems.append(f"left out: {error}")
        return None


def _check_whole(run: RunDir, status: StatusRecord, summary: SummaryRecord | None) -> None:
    """Raises RunDirError where the files of a run contradict each other."""
    if summary is not None and not run.status_file.exists():
        raise RunDirError(f"{run.path} is half deleted: {run.status_file.name} is missing")
    if status.state == "completed":
        if summary is None:
            raise RunDirError(f"{run.path} is half deleted: {run.summary_file.name} is missing")
        if summary.val_top1 is None:
            raise RunDirError(f"{run.summary_file} holds no accuracy")


def _why_missing(path: Path) -> str:
    if path.is_symlink():
        return f"reused from {os.readlink(path)}, which is gone"
    return "no run directory: not started yet, or deleted"


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
