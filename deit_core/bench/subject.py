"""One model to measure: from its config to the works that do its iterations."""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import torch

from deit_core.bench.work import InferenceWork, LoadedTrainingWork, TrainingWork
from deit_core.config import RunConfig, parse_run_config
from deit_core.cores import job_cores
from deit_core.data.loader import TrainBatch, train_batches
from deit_core.data.sources import ImageSource, open_source
from deit_core.data.workers import default_workers
from deit_core.distill.teacher import Teacher, load_teacher
from deit_core.errors import RunDirError
from deit_core.identity import resolve
from deit_core.run_dir import RunDir
from deit_core.throughput_records import BenchTarget, Quantity
from deit_core.train.build import build_timetable
from deit_core.train.build_learner import build_learner
from deit_core.train.env import choose_device
from deit_core.train.learner import Learner
from deit_core.train.precision import autocast_factory

_STEPS_PER_EPOCH = 1000
"""Of the learning rate's schedule, which no speed depends on."""


@dataclass(frozen=True)
class Subject:
    """What is known of a model before it is built."""

    target: BenchTarget
    config: RunConfig
    """Resolved."""
    device: torch.device
    threads: int
    num_classes: int

    @property
    def image_shape(self) -> tuple[int, int]:
        """Channels and side of an image."""
        model = self.config.model
        assert model.in_chans is not None
        assert model.img_size is not None
        return model.in_chans, model.img_size


def open_subject(target: BenchTarget) -> Subject:
    """Read a target's config.

    Raises:
        UserError: it is not valid, or asks for a device that is not there.
    """
    config = resolve(parse_run_config(target.config))
    return Subject(
        target=target,
        config=config,
        device=choose_device(config.train),
        threads=config.train.threads or job_cores(os.environ),
        num_classes=config.model.num_classes or _classes_of(target, config),
    )


def _classes_of(target: BenchTarget, config: RunConfig) -> int:
    """The class count that only the data knows: of a finished run, or from the data itself."""
    for path in target.run_dirs:
        try:
            summary = RunDir(path).read_summary()
        except RunDirError:
            continue
        if summary is not None:
            return summary.num_classes
    return len(_open_train(config).class_names)


def _open_train(config: RunConfig) -> ImageSource:
    assert config.model.in_chans is not None
    return open_source(config.data, in_chans=config.model.in_chans, split="train")


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
    teacher = _teacher(subject) if learner.task.needs_teacher else None
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


def _teacher(subject: Subject) -> Teacher:
    config = subject.config
    assert config.teacher is not None
    channels, side = subject.image_shape
    return load_teacher(
        config.teacher,
        run_dir=Path(subject.target.run_dirs[0]) if subject.target.run_dirs else Path(),
        data=config.data,
        num_classes=subject.num_classes,
        in_chans=channels,
        img_size=side,
        device=subject.device,
    )


def _connect_loader(work: LoadedTrainingWork, subject: Subject) -> None:
    config = subject.config
    source = _open_train(config)
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


def train_images(subject: Subject) -> int:
    """How many training images there are: no batch of the loader is larger."""
    return len(_open_train(subject.config))


def describe_teacher(subject: Subject) -> str | None:
    """The teacher of the step in words; None where there is none."""
    teacher = subject.config.teacher
    if teacher is None or subject.config.distill.kind == "none":
        return None
    name = f"trial {teacher.trial}" if teacher.trial is not None else str(teacher.name)
    return f"{name}, channels last" if teacher.channels_last else name
