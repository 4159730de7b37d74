"""A model ready for one quantity, and how much it computes."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn

from deit_core.bench.build_work import build_inference, build_training
from deit_core.bench.conditions import attention_kernel, counted_macs
from deit_core.bench.raw import RawRecord
from deit_core.bench.search import BatchSizes, find_batch_sizes
from deit_core.bench.stage import Stage
from deit_core.bench.subject import Subject, train_images
from deit_core.bench.watch import Watch
from deit_core.bench.work import Work
from deit_core.flops import BACKWARD, FLOPS_PER_MAC, student_cost
from deit_core.throughput_records import BenchProtocol, Quantity
from deit_core.train.precision import autocast_factory


@dataclass(eq=False)
class Entry:
    """One model under measurement, over all quantities."""

    subject: Subject
    raw: RawRecord
    attention: str | None = None
    peak_tflops: float | None = None


@dataclass(eq=False)
class Built:
    """One model, built for one quantity."""

    entry: Entry
    work: Work
    flops_per_image: float
    """Of one iteration."""
    sizes: BatchSizes = field(default_factory=lambda: BatchSizes(()))
    """Empty until they are chosen."""


def build(entry: Entry, quantity: Quantity) -> Built:
    """Build the model; its size is noted in the record.

    Raises:
        UserError: a file, the teacher or the data is missing or does not fit.
    """
    subject = entry.subject
    channels, side = subject.image_shape
    image = torch.zeros(1, channels, side, side, device=subject.device)
    if quantity == "inference":
        inference = build_inference(subject)
        macs = _student_macs(entry, inference.model, image)
        autocast = autocast_factory(subject.device, subject.config.train.precision)
        entry.attention = attention_kernel(inference.model, image, autocast)
        return Built(entry, inference, FLOPS_PER_MAC * macs)
    training, teacher = build_training(subject, quantity)
    step_macs = _student_macs(entry, training.student, image) * (1 + BACKWARD)
    if teacher is not None:
        step_macs += counted_macs(teacher, image)
    return Built(entry, training, FLOPS_PER_MAC * step_macs)


def _student_macs(entry: Entry, model: nn.Module, image: torch.Tensor) -> int:
    """By formula; counted, where no formula knows the model."""
    raw, subject = entry.raw, entry.subject
    raw.parameters = sum(parameter.numel() for parameter in model.parameters())
    if raw.macs_per_image is None:
        cost = student_cost(subject.config, subject.num_classes)
        training = model.training
        raw.macs_per_image = (
            counted_macs(model.eval().forward, image) if cost is None else round(cost.macs)
        )
        model.train(training)
    return raw.macs_per_image


def choose_sizes(
    built: Built, quantity: Quantity, protocol: BenchProtocol, stage: Stage, watch: Watch
) -> BatchSizes:
    """The batch sizes to measure.

    Raises:
        RuntimeError: not even one image fits.
        StoppedError: a stop is requested.
    """
    if quantity == "training_with_data":
        return _size_with_data(built, protocol, stage, watch)
    first = 1 if quantity == "inference" else 2  # no batch statistics of a single image
    if built.entry.subject.config.train.compile:  # each size is compiled: leave out the small ones
        first = max(first, _power_of_two(protocol.fixed_batch_size))
    first = min(first, _power_of_two(protocol.largest_batch_size))
    return find_batch_sizes(built.work, first, protocol, stage, watch)


def _size_with_data(
    built: Built, protocol: BenchProtocol, stage: Stage, watch: Watch
) -> BatchSizes:
    """One size: that of the training step without the loader, if the data has so many images."""
    subject = built.entry.subject
    wanted = min(protocol.fixed_batch_size, _power_of_two(train_images(subject)))
    without = next((one for one in built.entry.raw.speeds if one.quantity == "training"), None)
    if without is not None:
        sizes = BatchSizes(tuple(point.batch_size for point in without.points if point.blocks))
        wanted = min(wanted, sizes.fixed(wanted))
    known = without is not None or subject.device.type == "cuda"
    limits = {"fixed_batch_size": wanted, "largest_batch_size": wanted}
    limited = protocol.model_copy(update=limits)
    found = find_batch_sizes(built.work, wanted if known else 2, limited, stage, watch)
    return BatchSizes((found.fixed(wanted),))


def _power_of_two(size: int) -> int:
    """The largest power of two up to a size."""
    return 1 << (size.bit_length() - 1)
