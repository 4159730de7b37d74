"""Where each trial of a sweep lives: in its own folder, or in another sweep that has it already."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from deit_core.errors import RunDirError
from deit_core.pruning import read_pruner
from deit_core.records import TrialRecord
from deit_core.run_dir import RunDir
from launcher.expand import Trial
from launcher.observe import has_result
from launcher.repair import surviving_status
from launcher.sweep_dir import SweepDir, one_line_errors, replace_link, sweep_folders


def locate(runs: Path, sweep_dir: SweepDir, trial_ids: Collection[str]) -> dict[str, Path]:
    """Real paths of the run directories that exist for these trials.

    The sweep's own come first. Another sweep's is shared when it is completed, else when it is
    unfinished; a failed one is not, nor one that may yet be pruned by the other sweep's trials: the
    new sweep trains it in a folder of its own.

    Raises:
        RunDirError: a folder or a status cannot be read.
    """
    wanted = set(trial_ids)
    found = own_paths(sweep_dir, wanted)
    elsewhere: dict[str, list[Path]] = {}
    for folder in sweep_folders(runs):
        if folder.name != sweep_dir.path.name:
            for path in _real_trials(folder, wanted - found.keys()):
                elsewhere.setdefault(path.name, []).append(path)
    for trial_id, paths in elsewhere.items():
        best = _best(paths)
        if best is not None:
            found[trial_id] = best
    return found


def own_paths(sweep_dir: SweepDir, wanted: set[str]) -> dict[str, Path]:
    """Real paths of those trials that the sweep folder holds or links. Raises RunDirError."""
    if not sweep_dir.trials.is_dir():
        return {}
    with one_line_errors("read the sweep's trials"), os.scandir(sweep_dir.trials) as entries:
        mine = [entry for entry in entries if entry.name in wanted and entry.is_dir()]
    root = sweep_dir.trials.resolve()
    return {
        entry.name: Path(entry.path).resolve() if entry.is_symlink() else root / entry.name
        for entry in mine
    }


def _real_trials(folder: Path, wanted: set[str]) -> list[Path]:
    trials = SweepDir(folder).trials.resolve()
    if not wanted or not trials.is_dir():
        return []
    with one_line_errors("read another sweep's trials"), os.scandir(trials) as entries:
        return [
            Path(entry.path)
            for entry in entries
            if entry.name in wanted and entry.is_dir(follow_symlinks=False)
        ]


def _best(paths: Iterable[Path]) -> Path | None:
    """The copy of a trial worth sharing."""
    unfinished = []
    for path in paths:
        run = RunDir(path)
        if has_result(run):
            return path
        try:
            open_ended = run.read_status().state not in ("failed", "pruned")
            if run.exists() and open_ended and not _may_be_pruned(run):
                unfinished.append(path)
        except RunDirError:
            continue  # damaged: nothing to share
    return unfinished[0] if unfinished else None


def _may_be_pruned(run: RunDir) -> bool:
    pruner = read_pruner(run)
    return pruner is not None and pruner.mode == "prune" and not pruner.exempt


def create_trials(
    sweep_dir: SweepDir, trials: Iterable[Trial], found: Mapping[str, Path]
) -> dict[str, Path]:
    """Make the run directories and links that are missing; returns every trial's real path.

    Raises:
        RunDirError: no permission or no space.
    """
    paths = {}
    with one_line_errors("create the sweep's trials"):
        sweep_dir.trials.mkdir(parents=True, exist_ok=True)
        sweep_dir.tensorboard.mkdir(exist_ok=True)
    root = sweep_dir.trials.resolve()
    for trial in trials:
        path = found.get(trial.trial_id)
        if path is None or path.parent == root:
            paths[trial.trial_id] = _create(sweep_dir, root, trial)
        else:
            paths[trial.trial_id] = path
            _share(sweep_dir, trial, RunDir(path))
    return paths


def _create(sweep_dir: SweepDir, root: Path, trial: Trial) -> Path:
    run = RunDir(root / trial.trial_id)
    if not run.exists():
        with one_line_errors("replace a dead link"):  # of a trial that was deleted with its sweep
            for link in (sweep_dir.trials / trial.trial_id, sweep_dir.tensorboard / trial.name):
                if link.is_symlink():
                    link.unlink()
        if not _is_half_deleted(run):
            run.create(trial_record(trial), trial.config)
    return run.path


def _is_half_deleted(run: RunDir) -> bool:
    """Whether a run has begun here whose files are gone; `observe` says which."""
    return run.metrics_file.exists() or surviving_status(run).attempt > 0


def trial_record(trial: Trial) -> TrialRecord:
    """trial.json of a trial that is made for the sweep."""
    return TrialRecord(
        trial_id=trial.trial_id,
        group_id=trial.group_id,
        name=trial.name,
        role=trial.role,
        seed=trial.seed,
        swept=trial.swept,
        tensorboard=f"../../tensorboard/{trial.name}",
    )


def _share(sweep_dir: SweepDir, trial: Trial, run: RunDir) -> None:
    """Link a trial of another sweep, and its event files under this sweep's name for it."""
    link = sweep_dir.trials / trial.trial_id
    events = sweep_dir.tensorboard / trial.name
    with one_line_errors("link a trial of another sweep"):
        if not link.is_dir():  # none yet, or to a copy that was deleted
            replace_link(link, run.path)
            if events.is_symlink():
                events.unlink()
        if not events.exists():
            target = run.tensorboard_dir()
            target.mkdir(parents=True, exist_ok=True)
            replace_link(events, target)
