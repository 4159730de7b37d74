"""What pruning has done to a sweep, or would have done: for `deit-launch pruning`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from deit_core.errors import RunDirError
from deit_core.pruning import PrunerRecord, RungRecord, first_evaluation, read_rungs, rung_step
from deit_core.records import PlannedTrial
from deit_core.run_dir import RunDir
from launcher.errors import LaunchError
from launcher.repair import surviving_status
from launcher.sweep_dir import SweepDir
from launcher.trial_dirs import own_paths

PRUNING_SCHEMA_VERSION = 1
"""Raised when a field of `pruning --json` changes its meaning or goes away."""


@dataclass(frozen=True)
class ComparedTrial:
    """A trial that has begun, as far as pruning concerns it."""

    name: str
    bracket: int
    decisions: tuple[RungRecord, ...]
    epochs: float
    """Trained so far."""
    schedule_epochs: float
    """Of its whole schedule."""
    values: Mapping[float, float]
    """The metric at each rung that it has passed, where it is finite."""
    final: float | None = None
    """The metric of its last epoch, of a completed trial."""

    @property
    def leaves_at(self) -> RungRecord | None:
        """Where it was pruned, or would have been."""
        return next((one for one in self.decisions if one.decision != "continue"), None)


@dataclass(frozen=True)
class RungSummary:
    """What happened at one rung of one bracket."""

    bracket: int
    rung: float
    reached: int
    """Trials that were compared here."""
    left: int
    """Of these, pruned or, in `advice` mode, those that would have been."""
    cutoff: float | None
    """What the latest of them needed to go on."""
    kendall_tau: float | None
    """Rank agreement (tau-b) of the values here with those of the last epoch."""
    n: int
    """Completed trials that this is of."""


@dataclass(frozen=True)
class PruningReport:
    """The whole. The fields are those of `pruning --json`; epochs are sums over begun trials."""

    sweep: str
    metric: str
    direction: str
    mode: str
    rungs: tuple[RungSummary, ...]
    trials: int
    left: int
    epochs_run: float
    """Trained so far."""
    epochs_scheduled: float
    """Of their whole schedules."""
    epochs_with_pruning: float
    """The same without what comes after a trial was pruned, or would have been."""
    best: str | None
    """Of the completed trials."""
    best_value: float | None
    best_kept: bool | None
    """Whether the pruner lets the best one go on."""
    best_of_kept: str | None
    regret: float | None
    """How much better the best trial is than the best of those that the pruner lets go on."""

    def as_json(self) -> dict[str, Any]:
        """What `pruning --json` prints."""
        return {"schema_version": PRUNING_SCHEMA_VERSION, **asdict(self)}


def look_at_pruning(sweep_dir: SweepDir) -> PruningReport:
    """Gather and sum up; a trial that cannot be read is left out.

    Raises:
        LaunchError: the sweep has no pruner.
        RunDirError, SchemaError: its plan cannot be read.
    """
    plan = sweep_dir.read_plan()
    if plan.pruner is None:
        raise LaunchError(
            f"the sweep {plan.sweep} has no pruner; to see what one would do, add "
            f"`search: {{pruner: {{mode: advice}}}}` to its file"
        )
    pruner = PrunerRecord.from_json(plan.pruner, f"{sweep_dir.plan_file}: pruner")
    paths = own_paths(sweep_dir, {trial.trial_id for trial in plan.trials})
    students = [one for one in plan.trials if one.role == "student" and one.trial_id in paths]
    found = [_read(one, paths[one.trial_id], pruner) for one in students]
    return sum_up(plan.sweep, pruner, [trial for trial in found if trial is not None])


def _read(planned: PlannedTrial, path: Path, pruner: PrunerRecord) -> ComparedTrial | None:
    run = RunDir(path)
    try:
        status, decisions = surviving_status(run), tuple(read_rungs(run))
        total = status.total_steps
        if not total or not status.step:
            return None
        rows = {rung: first_evaluation(run, rung_step(rung, total)) for rung in pruner.rungs}
        last = first_evaluation(run, total) if run.summary_file.exists() else None
    except RunDirError:
        return None
    values = {rung: _finite((row or {}).get(pruner.metric)) for rung, row in rows.items()}
    return ComparedTrial(
        name=planned.name,
        bracket=pruner.bracket_of(planned.trial_id),
        decisions=decisions,
        epochs=status.epoch,
        schedule_epochs=status.epoch * total / status.step,
        values={rung: value for rung, value in values.items() if value is not None},
        final=_finite((last or {}).get(pruner.metric)),
    )


def _finite(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


# summing up ----------------------------------------------------------------------------------


def sum_up(sweep: str, pruner: PrunerRecord, trials: Sequence[ComparedTrial]) -> PruningReport:
    """The report of these trials. Pure."""

    def score(trial: ComparedTrial) -> float:
        return pruner.score(trial.final)

    ended = [trial for trial in trials if trial.final is not None]
    best = max(ended, key=score, default=None)
    kept = max((trial for trial in ended if trial.leaves_at is None), key=score, default=None)
    regret = None if best is None or kept is None else score(best) - score(kept)
    return PruningReport(
        sweep=sweep,
        metric=pruner.metric,
        direction=pruner.direction,
        mode=pruner.mode,
        rungs=_rungs(trials),
        trials=len(trials),
        left=sum(trial.leaves_at is not None for trial in trials),
        epochs_run=sum(trial.epochs for trial in trials),
        epochs_scheduled=sum(trial.schedule_epochs for trial in trials),
        epochs_with_pruning=sum(map(_epochs_with_pruning, trials)),
        best=None if best is None else best.name,
        best_value=None if best is None else best.final,
        best_kept=None if best is None else best.leaves_at is None,
        best_of_kept=None if kept is None else kept.name,
        regret=regret,
    )


def _epochs_with_pruning(trial: ComparedTrial) -> float:
    left = trial.leaves_at
    return trial.schedule_epochs if left is None else left.epoch


def _rungs(trials: Sequence[ComparedTrial]) -> tuple[RungSummary, ...]:
    decided = sorted(
        ((trial.bracket, record.rung, record.unix_s, record)
         for trial in trials for record in trial.decisions),
        key=lambda one: one[:3],
    )  # fmt: skip
    summaries = []
    for (bracket, rung), group in groupby(decided, key=lambda one: one[:2]):
        records = [record for *_, record in group]
        pairs = [
            (trial.values[rung], trial.final)
            for trial in trials
            if trial.bracket == bracket and rung in trial.values and trial.final is not None
        ]
        summaries.append(
            RungSummary(
                bracket=bracket,
                rung=rung,
                reached=len(records),
                left=sum(record.decision != "continue" for record in records),
                cutoff=records[-1].cutoff,
                kendall_tau=_kendall_tau(pairs),
                n=len(pairs),
            )
        )
    return tuple(summaries)


def _kendall_tau(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Tau-b of pairs; None where there is no order to compare."""
    if len(pairs) < 2:
        return None
    from scipy.stats import kendalltau  # takes a second to import

    tau = float(kendalltau(*zip(*pairs, strict=True)).statistic)
    return None if math.isnan(tau) else tau
