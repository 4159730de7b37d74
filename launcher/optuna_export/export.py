"""From a sweep folder to a storage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from launcher.backends.base import Backend
from launcher.observe import observe
from launcher.optuna_export.storage import Study, write_study
from launcher.optuna_export.trials import frozen_trials, goals_of, parameters_of
from launcher.search.records import SearchDir
from launcher.sweep_dir import SweepDir
from launcher.trial_dirs import own_paths


def export_sweep(
    sweep_dir: SweepDir, backend: Backend, target: str, *, objectives: Sequence[str], force: bool
) -> Counter[str]:
    """Write the sweep as it stands now; returns how many trials are in each of Optuna's states.

    Args:
        sweep_dir: the sweep, a grid or a search.
        backend: is asked about trials that are not finished.
        target: an SQLAlchemy URL, or the path of a journal file.
        objectives: metrics of finished trials; none: the search's, or accuracy.
        force: replace what is there.

    Raises:
        LaunchError: an objective that no trial reports, or a target that cannot be written.
        RunDirError: a file of the sweep cannot be read.
    """
    plan = sweep_dir.read_plan()
    search_dir = SearchDir(sweep_dir)
    record = search_dir.read_search() if search_dir.exists() else None
    goals = goals_of(objectives, record.search if record else None)
    parameters = parameters_of(plan, record.space if record else None)
    paths = own_paths(sweep_dir, {trial.trial_id for trial in plan.trials})
    trials = frozen_trials(plan, observe(paths, backend), parameters, goals)
    about: dict[str, Any] = {"sweep": plan.sweep, "folder": str(sweep_dir.path)}
    if record is not None and record.search.constraints:
        about["constraints"] = list(record.search.constraints)
    write_study(Study(sweep_dir.path.name, goals, trials, about), target, force=force)
    return Counter(trial.state.name.lower() for trial in trials)
