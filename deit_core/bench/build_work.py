"""From a model's config to the works that do its iterations."""

from __future__ import annotations

from collections.abc import Generator

import torch

from deit_core.bench.subject import Subject, open_train
from deit_core.bench.teacher import teacher_of
from deit_core.bench.work import InferenceWork, LoadedTrainingWork, TrainingWork
from deit_core.data.loader import TrainBatch, train_batches
from deit_core.data.workers import default_workers
from deit_core.distill.teacher import Teacher
from deit_core.throughput_records import Quantity
from deit_core.train.build import build_timetable
from deit_core.train.build_learner import build_learner
from deit_core.train.learner import Learner
from deit_core.train.precision import autocast_factory

_STEPS_PER_EPOCH = 1000
"""Of the learning rate's schedule, which no speed depends on."""


def build_inference(subject: Subject) -> InferenceWork:
    """The student alone, as it was trained: same precision, compiled or not."""
    config = subject.config
    model = _learner(subject).model
    channels, side = subject.image_shape
    autocast = autocast_factory(subject.device, config.train.precision)
    return InferenceWork(model, (channels, side, side), autocast, subject.threads)


def build_training(subject: Subject, quantity: Quantity) -> tuple[TrainingWork, Teacher | None]:
    """Student, optimiser, EMA and teacher, as training builds them.

    Raises:
        UserError: a file, the teacher or the data is missing or does not fit.
    """
    config = subject.config
    learner = _learner(subject)
    teacher = teacher_of(subject) if learner.task.needs_teacher else None
    channels, side = subject.image_shape
    kind = LoadedTrainingWork if quantity == "training_with_data" else TrainingWork
    work = kind(
        learner,
        teacher,
        (channels, side, subject.num_classes),
        autocast_factory(subject.device, config.train.precision),
        subject.threads,
    )
    if isinstance(work, LoadedTrainingWork):
        _connect_loader(work, subject)
    return work, teacher


def _learner(subject: Subject) -> Learner:
    config = subject.config
    if config.train.compile:
        _allow_compilations()
    return build_learner(
        config,
        num_classes=subject.num_classes,
        timetable=build_timetable(config, _STEPS_PER_EPOCH),
        device=subject.device,
    )


def _allow_compilations() -> None:
    """Every batch size of the sweep is compiled; training allows for two."""
    limits = torch._dynamo.config
    limits.cache_size_limit += 32
    limits.accumulated_cache_size_limit += 32


def _connect_loader(work: LoadedTrainingWork, subject: Subject) -> None:
    config = subject.config
    source = open_train(config)
    workers = config.data.workers
    if workers is None:
        workers = default_workers(in_memory=source.in_memory, img_size=subject.image_shape[1])

    def batches(batch_size: int, first_step: int) -> Generator[TrainBatch, None, None]:
        train = config.train.model_copy(update={"global_batch_size": batch_size})
        return train_batches(
            source,
            config.model_copy(update={"train": train}),
            num_classes=subject.num_classes,
            first_step=first_step,
            last_step=2**31,
            device=subject.device,
        )

    work.feed_from(batches, workers)
