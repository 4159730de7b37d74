"""One model to measure, as its config describes it."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from deit_core.config import RunConfig, parse_run_config
from deit_core.cores import job_cores
from deit_core.data.sources import ImageSource, open_source
from deit_core.errors import RunDirError
from deit_core.identity import resolve
from deit_core.run_dir import RunDir
from deit_core.throughput_records import BenchTarget
from deit_core.train.env import choose_device


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
    return len(open_train(config).class_names)


def open_train(config: RunConfig) -> ImageSource:
    """The training split of a resolved config."""
    assert config.model.in_chans is not None
    return open_source(config.data, in_chans=config.model.in_chans, split="train")


def train_images(subject: Subject) -> int:
    """How many training images there are: no batch of the loader is larger."""
    return len(open_train(subject.config))


def describe_teacher(subject: Subject) -> str | None:
    """The teacher of the step in words; None where there is none."""
    teacher = subject.config.teacher
    if teacher is None or subject.config.distill.kind == "none":
        return None
    name = f"trial {teacher.trial}" if teacher.trial is not None else str(teacher.name)
    return f"{name}, channels last" if teacher.channels_last else name
