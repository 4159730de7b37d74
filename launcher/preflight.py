"""What is checked on this machine before anything is started: data and teachers that are there.

A mistake found here costs a second; found by the job, it costs its time in the queue.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from deit_core.config import DataConfig, RunConfig
from deit_core.data_layout import Split, count_classes, count_images
from deit_core.errors import CheckpointError, DataError, TeacherError
from deit_core.identity import KNOWN_SOURCES
from deit_core.layouts.imagenet import IMAGENET_CLASSES, v2_classes
from deit_core.tracking import check_trackers
from launcher.errors import SweepError
from launcher.expand import Trial


def check_inputs(trials: Iterable[Trial]) -> None:
    """Check the files that these trials will read.

    Raises:
        DataError: a data set or evaluation set is missing, its folders are not as they must be,
            or it has one class only, other classes than its labels are for, or fewer images than
            a batch or a subset asks for.
        CheckpointError: the weights to fine-tune are missing, empty or a folder.
        TeacherError: a teacher's checkpoint is, or it knows other classes.
        SweepError: model.num_classes is not what the data has.
        ConfigError: an experiment tracker cannot be used here.
    """
    classes: dict[DataConfig, int] = {}
    by_id: dict[str, int] = {}
    sizes = _Sizes()
    for trial in trials:
        data = trial.config.data
        if data not in classes:
            classes[data] = count_classes(data)
        by_id[trial.trial_id] = classes[data]
        check_trackers(trial.config.logging.wandb, trial.config.logging.mlflow)
        _check_model(trial, classes[data])
        _check_sizes(trial, sizes)
        _check_files(trial.config, classes[data])
        _check_teacher(trial.config, classes[data], by_id)


class _Sizes:
    """Sizes of splits, each counted once and no further than needed."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str | None, Split], tuple[int, int]] = {}

    def of(self, data: DataConfig, split: Split, enough: int) -> int:
        """The number of images, or any number from `enough` up. Raises DataError."""
        key = (data.source, data.root, split)
        count, limit = self._known.get(key, (0, 0))
        if count >= limit and enough > limit:
            count = count_images(data, split, enough=enough)
            self._known[key] = (count, enough)
        return count


def _check_sizes(trial: Trial, sizes: _Sizes) -> None:
    """Whether the subsets and the batch can be filled."""
    config, data = trial.config, trial.config.data
    whose = "in the teacher's config, " if trial.role == "teacher" else ""
    batch = config.train.global_batch_size
    wanted: dict[Split, int] = {
        "train": max(batch, data.train_images or 1),
        "val": data.val_images or 1,
    }
    for split, enough in wanted.items():
        found = sizes.of(data, split, enough)
        subset = data.train_images if split == "train" else data.val_images
        if subset is not None and subset > found:
            raise DataError(
                f"{whose}data.{split}_images: {subset} is more than the {found:,} images of "
                f"{split}; set it to {found} or less, or leave it out to take all"
            )
        if split == "train" and batch > (subset or found):
            raise DataError(f"{whose}{_batch_too_large(batch, subset, found)}")


def _batch_too_large(batch: int, subset: int | None, found: int) -> str:
    images = subset or found
    where = " of data.train_images" if subset else ""
    if images < 2:
        return f"train.global_batch_size: a batch needs 2 training images, but there is {images}"
    return (
        f"train.global_batch_size: {batch} is more than the {images:,} training images{where}; "
        f"set it to {images - images % 2} or less"
    )


def _check_model(trial: Trial, found: int) -> None:
    """Whether the data has as many classes as the model; of a well-known set, they are known."""
    given, data = trial.config.model.num_classes, trial.config.data
    if given in (None, found):
        return
    known = KNOWN_SOURCES.get(data.source)
    if known is not None and given == known.num_classes:
        raise DataError(
            f"data.source {data.source} has {given:,} classes, but {data.root} has {found:,}; "
            f"complete it, or set model.num_classes: {found} to train on this part of it"
        )
    raise SweepError(
        f"model.num_classes: {given} is given for {trial.name}, but its data has {found} "
        f"classes; leave it out to take the data's"
    )


def _check_files(config: RunConfig, classes: int) -> None:
    """Whether the weights to start from and the further evaluation sets are there."""
    finetune, real_labels = config.finetune, config.eval.real_labels
    if finetune is not None:
        problem = _file_problem(finetune.checkpoint, "a .safetensors, .pth or .pt file")
        if problem is not None:
            raise CheckpointError(f"finetune.checkpoint: {problem}")
    if real_labels is not None:
        problem = _file_problem(real_labels, "the path of real.json")
        if problem is not None:
            raise DataError(f"eval.real_labels: {problem}")
        if classes != IMAGENET_CLASSES:
            raise DataError(
                f"eval.real_labels: the data has {classes:,} classes, but ReaL's labels are "
                f"numbers of ImageNet's 1,000; leave it out, or use all of ImageNet's classes"
            )
    if config.eval.imagenet_v2 is not None:
        v2_classes(config.eval.imagenet_v2, classes)


def _file_problem(path: str, wanted: str) -> str | None:
    """Why this cannot be a file with something in it; None where it can."""
    if Path(path).is_dir():
        return f"{path} is a folder; give {wanted}"
    if not Path(path).is_file():
        return f"there is no file {path}; give {wanted}"
    return None if Path(path).stat().st_size else f"{path} is empty; give {wanted}"


def _check_teacher(config: RunConfig, classes: int, by_id: dict[str, int]) -> None:
    teacher = config.teacher
    if teacher is None:
        return
    if teacher.checkpoint is not None:
        problem = _file_problem(teacher.checkpoint, "a .pth, .pt or .safetensors file")
        if problem is not None:
            raise TeacherError(f"teacher.checkpoint: {problem}")
    known = by_id.get(teacher.trial or "")
    if known not in (None, classes):
        raise TeacherError(
            f"the teacher is trained on {known} classes, its students on {classes}; "
            f"give both the same data"
        )
