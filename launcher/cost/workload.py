"""How much there is to compute in a trial, from its config alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from deit_core.config import DataConfig, RunConfig
from deit_core.data_layout import KNOWN_SIZES, Split, count_images
from deit_core.duration import parse_duration
from deit_core.errors import DataError
from deit_core.flops import BACKWARD, FLOPS_PER_MAC, student_cost, teacher_cost
from deit_core.model_cost import ModelCost

IMAGENET_IMAGES: Mapping[Split, int] = {"train": 1_281_167, "val": 50_000}
"""Of ILSVRC 2012 (arXiv 1409.0575, Table 2)."""

_MOST_COUNTED = 200_000
"""Files of a folder that are counted for a plan; a larger one is known after its first run."""

SizeOf = Callable[[DataConfig, Split], int | None]
"""The images of a split that a trial uses; None where that is not known."""


@dataclass(frozen=True)
class Workload:
    """The work of one trial in all its processes together."""

    config: RunConfig
    student: ModelCost
    teacher: ModelCost | None
    steps: int
    evaluations: int
    val_images: int

    @cached_property
    def student_flops(self) -> float:
        """FLOPs of one optimiser step, without the teacher: forward and backward."""
        batch = self.config.train.global_batch_size
        return FLOPS_PER_MAC * (1 + BACKWARD) * self.student.macs * batch

    @cached_property
    def teacher_flops(self) -> float:
        """FLOPs of the teacher's forward pass in one step."""
        batch = self.config.train.global_batch_size
        return FLOPS_PER_MAC * self.teacher.macs * batch if self.teacher else 0.0

    @cached_property
    def evaluation_flops(self) -> float:
        """FLOPs of all evaluations; averaged weights are evaluated too."""
        models = 1 if self.config.train.ema_decay is None else 2
        return FLOPS_PER_MAC * self.student.macs * models * self.val_images * self.evaluations


def job_flops(loads: Sequence[Workload]) -> float:
    """FLOPs of one step of trials that train side by side: every student, and one teacher pass."""
    return sum(load.student_flops for load in loads) + max(load.teacher_flops for load in loads)


def work_per_student(loads: Sequence[Workload], processes: int) -> float:
    """FLOPs of a process for one student's step, with its share of the teacher.

    Students of a cohort take their steps one after the other, so the time of a job's step is their
    number times the time for this.
    """
    return job_flops(loads) / len(loads) / processes


def workload_of(
    config: RunConfig, trained: Mapping[str, RunConfig], size_of: SizeOf
) -> Workload | str:
    """The work of a trial, or what of it is not known.

    Args:
        config: the trial's.
        trained: configs of trials that are teachers, by trial id.
        size_of: tells the images of the data.
    """
    student = student_cost(config)
    if student is None:
        return f"the size of {config.model.name}"
    teacher = None
    if config.teacher is not None and config.distill.kind != "none":
        teacher = teacher_cost(config, trained.get(config.teacher.trial or ""))
        if teacher is None:
            return f"the size of the teacher {config.teacher.name or config.teacher.trial}"
    train, val = size_of(config.data, "train"), size_of(config.data, "val")
    if train is None or val is None:
        return f"how many images {config.data.source} has in {config.data.root}"
    per_epoch = max(1, train // config.train.global_batch_size)
    steps = max(1, parse_duration(config.train.duration).steps(per_epoch))
    every = max(1, parse_duration(config.eval.every).steps(per_epoch))
    return Workload(config, student, teacher, steps, -(-steps // every), val)


def published_size(data: DataConfig, split: Split) -> int | None:
    """The images that a trial uses, as far as its config or a look at small data tells."""
    given = data.train_images if split == "train" else data.val_images
    if given is not None:
        return given
    if data.source in KNOWN_SIZES:
        return KNOWN_SIZES[data.source][split]
    if data.source == "imagenet":
        return IMAGENET_IMAGES[split]
    try:
        found = count_images(data, split, enough=_MOST_COUNTED)
    except DataError:
        return None  # not here: where the plan is made need not be where the data are
    return None if found >= _MOST_COUNTED else found
