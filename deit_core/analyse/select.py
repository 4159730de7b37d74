"""Which runs are compared, under which names, and on which images."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from deit_core.config import DataConfig
from deit_core.errors import AnalysisError, RunDirError
from deit_core.finished import FinishedRun, open_finished
from deit_core.records import PlanRecord
from deit_core.run_dir import RunDir, read_json

_VAL_FIELDS = ("source", "root", "category", "image_column", "label_column", "val_images")


def open_runs(paths: Sequence[Path]) -> list[FinishedRun]:
    """The runs of some run directories and sweep folders, each once.

    Of a sweep folder, its completed students; a teacher is found by the students it taught.

    Raises:
        RunDirError: a folder is neither, a run is not completed, or a sweep has no such student.
    """
    found: dict[str, FinishedRun] = {}
    for path in paths:
        # A trial may be linked from several sweeps: one place on disk, one run.
        for folder in _students(path) if (path / "plan.json").exists() else [path]:
            found.setdefault(os.path.realpath(folder), open_finished(folder))
    return list(found.values())


def _students(sweep: Path) -> list[Path]:
    plan_file = sweep / "plan.json"
    plan = PlanRecord.from_json(read_json(plan_file), str(plan_file))
    folders = [sweep / "trials" / t.trial_id for t in plan.trials if t.role == "student"]
    completed = [folder for folder in folders if RunDir(folder).read_status().state == "completed"]
    if not completed:
        raise RunDirError(
            f"none of the {len(folders)} students of {sweep} is completed; let the sweep finish"
        )
    return completed


def unique_names(runs: Sequence[FinishedRun]) -> list[str]:
    """The trials' names; with their ids where two sweeps use the same name."""
    count = Counter(run.trial.name for run in runs)
    return [
        run.trial.name if count[run.trial.name] == 1 else f"{run.trial.name} ({run.trial.trial_id})"
        for run in runs
    ]


def common_val(runs: Sequence[FinishedRun], images: int | None) -> DataConfig:
    """The val set of all the runs, cut down to `images` of it, balanced over the classes.

    Raises:
        AnalysisError: two runs were evaluated on different images, or on fewer than asked for.
    """
    first = _limited(runs[0], images)
    for run in runs[1:]:
        other = _limited(run, images)
        fields = [*_VAL_FIELDS, *(["subset_seed"] if first.val_images is not None else [])]
        differ = [name for name in fields if getattr(first, name) != getattr(other, name)]
        if differ:
            said = ", ".join(
                f"data.{name} is {getattr(first, name)} and {getattr(other, name)}"
                for name in differ
            )
            raise AnalysisError(
                f"{runs[0].run.path} and {run.run.path} were evaluated on different images: "
                f"{said}; compare runs of the same val set"
            )
        if run.summary.num_classes != runs[0].summary.num_classes:
            raise AnalysisError(
                f"{runs[0].run.path} knows {runs[0].summary.num_classes} classes, {run.run.path} "
                f"{run.summary.num_classes}; compare runs of the same classes"
            )
    return first


def _limited(run: FinishedRun, images: int | None) -> DataConfig:
    data = run.config.data
    if images is None:
        return data
    if images > run.summary.val_images:
        raise AnalysisError(
            f"{images} images are asked for, but {run.run.path} was evaluated on "
            f"{run.summary.val_images}; ask for at most that many"
        )
    return data.model_copy(update={"val_images": images})
