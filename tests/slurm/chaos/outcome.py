"""What a sweep has come to, and how two of the same trials differ."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deit_core.attempts import read_attempts
from deit_core.run_dir import RunDir
from deit_core.train.checkpoint import list_checkpoints

CLOCKED = frozenset({"unix_s", "train_images_per_s"})
"""Fields of metrics.jsonl that a clock makes."""
OF_THE_JOB = frozenset({"train_s", "finished_unix_s", "cohort_size"})
"""Fields of summary.json that say how a trial was run, not what came of it."""
REFUSED = "another process is training this trial"
"""What a trainer says that finds the lock of its trial taken."""


def trials_of(runs: Path) -> dict[str, RunDir]:
    """All trials of a runs folder with one sweep, by id."""
    return {path.name: RunDir(path) for path in sorted(runs.glob("*_chaos_*/trials/*"))}


def settled(runs: Path, count: int) -> bool:
    """Whether every trial has its result, and nobody works on it any more."""
    trials = trials_of(runs).values()
    return len(trials) == count and all(
        run.summary_file.exists() and not run.is_locked() and run.read_status().state == "completed"
        for run in trials
    )


def saved_steps(runs: Path) -> int:
    """Steps of all trials that a kill could no longer take away."""
    newest = [list_checkpoints(run.checkpoint_dir)[:1] for run in trials_of(runs).values()]
    return sum(file.step for files in newest for file in files)


@dataclass
class Findings:
    """What is wrong with a disturbed sweep; nothing, if all is well."""

    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    differ: list[str] = field(default_factory=list)

    @property
    def fine(self) -> bool:
        return not (self.lost or self.twice or self.differ)


def judge(quiet: Path, disturbed: Path) -> Findings:
    """Compare every trial with the one that was left in peace."""
    findings = Findings()
    expected, found = trials_of(quiet), trials_of(disturbed)
    for trial_id, run in expected.items():
        other = found.get(trial_id)
        if other is None or not other.summary_file.exists():
            findings.lost.append(trial_id)
            continue
        findings.twice += [f"{trial_id}: {why}" for why in _signs_of_twice(other)]
        findings.differ += [f"{trial_id}: {what}" for what in _differences(run, other)]
    findings.lost += sorted(found.keys() - expected.keys())
    return findings


def _signs_of_twice(run: RunDir) -> list[str]:
    attempts = read_attempts(run)
    summary = run.read_summary()
    completed = sum(attempt.cause == "completed" for attempt in attempts)
    signs = [f"{completed} completed attempts"] if completed > 1 else []
    after = [a for a in attempts if a.started_unix_s > summary.finished_unix_s]
    signs += [f"attempt {a.number} began after it was completed" for a in after]
    steps = [(row["kind"], row["step"]) for row in run.read_metrics()]
    signs += ["a row of metrics twice"] if len(steps) != len(set(steps)) else []
    logs = [run.stdout_file, run.stderr_file, *run.rank_logs()]
    refused = sum(log.read_text().count(REFUSED) for log in logs if log.exists())
    return signs + ([f"{refused} processes found it in use"] if refused else [])


def _differences(run: RunDir, other: RunDir) -> list[str]:
    what = []
    if run.weights_file.read_bytes() != other.weights_file.read_bytes():
        what.append("weights")
    if _rows(run) != _rows(other):
        what.append("metrics")
    if _values(run) != _values(other):
        what.append("summary")
    return what


def _rows(run: RunDir) -> list[dict[str, Any]]:
    return [_without(row, CLOCKED) for row in run.read_metrics()]


def _values(run: RunDir) -> dict[str, Any]:
    return _without(run.read_summary().model_dump(), OF_THE_JOB)


def _without(values: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}
