"""What is checked on this machine before anything is started: data and teachers that are there.

A mistake found here costs a second; found by the job, it costs its time in the queue.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from deit_core.config import DataConfig, RunConfig
from deit_core.data_layout import count_classes
from deit_core.errors import TeacherError
from launcher.errors import SweepError
from launcher.expand import Trial


def check_inputs(trials: Iterable[Trial]) -> None:
    """Check the files that these trials will read.

    Raises:
        DataError: a data set is missing or its folders are not as they must be.
        TeacherError: a teacher's checkpoint is missing, or it knows other classes.
        SweepError: model.num_classes is not what the data has.
    """
    classes: dict[DataConfig, int] = {}
    by_id: dict[str, int] = {}
    for trial in trials:
        data = trial.config.data
        if data not in classes:
            classes[data] = count_classes(data)
        by_id[trial.trial_id] = classes[data]
        _check_model(trial, classes[data])
        _check_teacher(trial.config, classes[data], by_id)


def _check_model(trial: Trial, found: int) -> None:
    given = trial.config.model.num_classes
    if given not in (None, found):
        raise SweepError(
            f"model.num_classes: {given} is given for {trial.name}, but its data has {found} "
            f"classes; leave it out to take the data's"
        )


def _check_teacher(config: RunConfig, classes: int, by_id: dict[str, int]) -> None:
    teacher = config.teacher
    if teacher is None:
        return
    if teacher.checkpoint is not None and not Path(teacher.checkpoint).is_file():
        raise TeacherError(
            f"teacher.checkpoint: there is no file {teacher.checkpoint}; give one that exists"
        )
    known = by_id.get(teacher.trial or "")
    if known not in (None, classes):
        raise TeacherError(
            f"the teacher is trained on {known} classes, its students on {classes}; "
            f"give both the same data"
        )
