"""From a sweep folder to a storage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deit_core.errors import RunDirError
from deit_core.run_dir import RunDir
from launcher.backends.base import Backend
from launcher.errors import LaunchError
from launcher.observe import Observation, observe
from launcher.optuna_export.storage import Study, write_study
from launcher.optuna_export.trials import frozen_trials, goals_of, parameters_of
from launcher.search.metrics import missing_metric
from launcher.search.records import SearchDir
from launcher.sweep_dir import SweepDir
from launcher.text import count
from launcher.trial_dirs import own_paths

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class Exported:
    """What was written."""

    states: Counter[str]
    """How many trials are in each of Optuna's states."""
    unreported: int
    """How many of the failed ones are completed trials that lack an objective."""


def export_sweep(
    sweep_dir: SweepDir, backend: Backend, target: str, *, objectives: Sequence[str], force: bool
) -> Exported:
    """Write the sweep as it stands now.

    Args:
        sweep_dir: the sweep, a grid or a search.
        backend: is asked about trials that are not finished.
        target: an SQLAlchemy URL, or the path of a journal file.
        objectives: metrics of finished trials; none: the search's, or accuracy.
        force: replace what is there.

    Raises:
        LaunchError: no completed trial reports an objective, or the target cannot be written.
        RunDirError: a file of the sweep cannot be read.
    """
    plan = sweep_dir.read_plan()
    search_dir = SearchDir(sweep_dir)
    record = search_dir.read_search() if search_dir.exists() else None
    goals = goals_of(objectives, record.search if record else None)
    parameters = parameters_of(plan, record.space if record else None)
    paths = own_paths(sweep_dir, {trial.trial_id for trial in plan.trials})
    seen = observe(paths, backend)
    trials = frozen_trials(plan, seen, parameters, goals)
    completed = [trial for trial in trials if trial.user_attrs["state"] == "completed"]
    for name in goals.objectives:
        _require_reported(name, completed, seen)
    about: dict[str, Any] = {"sweep": plan.sweep, "folder": str(sweep_dir.path)}
    if record is not None and record.search.constraints:
        about["constraints"] = list(record.search.constraints)
    write_study(Study(sweep_dir.path.name, goals, trials, about), target, force=force)
    return Exported(
        states=Counter(trial.state.name.lower() for trial in trials),
        unreported=sum(trial.state.name == "FAIL" for trial in completed),
    )


def _require_reported(
    metric: str, completed: Sequence[FrozenTrial], seen: Mapping[str, Observation]
) -> None:
    """Refuse an objective by which every completed trial would count as failed."""
    if not completed or any(metric in trial.user_attrs for trial in completed):
        return
    reasons = {_why_missing(metric, seen[trial.user_attrs["trial_id"]]) for trial in completed}
    why = reasons.pop() if len(reasons) == 1 else None
    of = count(len(completed), "completed trial")
    raise LaunchError(
        f"no trial reports {metric}: {why or f'none of {of} has it'}; give another --objective"
    )


def _why_missing(metric: str, seen: Observation) -> str | None:
    try:
        config = None if seen.path is None else RunDir(seen.path).read_config()
    except RunDirError:
        return None
    return None if config is None else missing_metric(metric, config)
