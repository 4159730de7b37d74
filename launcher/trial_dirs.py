"""Where each trial of a sweep lives: in its own folder, or in another sweep that has it already."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deit_core.errors import RunDirError
from deit_core.pruning import read_pruner
from deit_core.records import TrialRecord
from deit_core.run_dir import RunDir
from launcher.expand import Trial
from launcher.observe import has_result
from launcher.repair import surviving_status
from launcher.sweep_dir import SweepDir, one_line_errors, replace_link, sweep_folders


@dataclass(frozen=True)
class Sharing:
    """What a sweep can use of the trials of others."""

    prunes: bool = False
    """It stops trials early: none that another sweep may want to the end."""
    apart: bool = False
    """It measures how fast a trial is, which shows only where it does not share its job."""


def locate(
    runs: Path, sweep_dir: SweepDir, trial_ids: Collection[str], sharing: Sharing
) -> dict[str, Path]:
    """Real paths of the run directories that exist for these trials.

    The sweep's own come first. Another sweep's is shared when it is completed, else when it is
    unfinished; a failed one is not, nor an unfinished one that either of the two sweeps may prune,
    or whose speed counts: the new sweep trains it in a folder of its own. It does that as well
    where it links one that has turned out to be of no use to it.

    Raises:
        RunDirError: a folder or a status cannot be read.
    """
    wanted = set(trial_ids)
    root = sweep_dir.trials.resolve()
    found = {
        name: path
        for name, path in own_paths(sweep_dir, wanted).items()
        if path.parent == root or not _is_of_no_use(RunDir(path), sharing)
    }
    elsewhere: dict[str, list[Path]] = {}
    for folder in sweep_folders(runs):
        if folder.name != sweep_dir.path.name:
            for path in _real_trials(folder, wanted - found.keys()):
                elsewhere.setdefault(path.name, []).append(path)
    for trial_id, paths in elsewhere.items():
        best = _best(paths, sharing)
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


def _is_of_no_use(run: RunDir, sharing: Sharing) -> bool:
    """Whether a trial that another sweep has ended will never be what this one wants."""
    try:
        if has_result(run):
            return _is_measured_together(run, sharing)
        return not sharing.prunes and run.read_status().state == "pruned"
    except RunDirError:
        return False  # damaged: `observe` says so


def _is_measured_together(run: RunDir, sharing: Sharing) -> bool:
    summary = run.read_summary() if sharing.apart else None
    return summary is not None and summary.cohort_size > 1


def _best(paths: Iterable[Path], sharing: Sharing) -> Path | None:
    """The copy of a trial worth sharing."""
    unfinished = []
    for path in paths:
        run = RunDir(path)
        try:
            if has_result(run):
                if not _is_measured_together(run, sharing):
                    return path
            elif run.exists() and _may_be_waited_for(run, sharing):
                unfinished.append(path)
        except RunDirError:
            continue  # damaged: nothing to share
    return unfinished[0] if unfinished else None


def _may_be_waited_for(run: RunDir, sharing: Sharing) -> bool:
    if run.read_status().state in ("failed", "pruned"):
        return False
    pruner = read_pruner(run)
    if pruner is not None and pruner.mode == "prune" and not pruner.exempt:
        return False
    # Teachers are neither pruned nor timed.
    return not (sharing.prunes or sharing.apart) or run.read_trial().role == "teacher"


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
    link, events = sweep_dir.trials / trial.trial_id, sweep_dir.tensorboard / trial.name
    if link.is_symlink() or not run.exists():
        # Of a trial that was deleted with its sweep, or is of no use to this one.
        with one_line_errors("replace a link"):
            for one in (link, events):
                if one.is_symlink():
                    one.unlink()
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
