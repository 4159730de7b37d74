"""Memory of one process of a job: students side by side, and their teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deit_core.config import RunConfig
from deit_core.flops import student_cost, teacher_cost
from deit_core.model_cost import ModelCost
from launcher.cost.interval import Interval

FLOAT_BYTES = 4
_GIB = 2**30

_FIXED_GIB = Interval(0.3, 0.6, 1.2)
"""Libraries and, on a GPU, its context and the workspaces of matrix products."""
_ACTIVATIONS = Interval(0.9, 1.1, 1.6)
"""What a forward pass really keeps over the formula: the formulas agree with what autograd saves to
3 % for DeiT and CaiT and to 15 % for most convnets (EfficientNet keeps 1.7 times as much); above
come gradients in flight and what an allocator cannot use."""
_STATES = Interval(1.0, 1.1, 2.0)
"""What weights and optimisers really take: above with the copy that a checkpoint is made of, and
with what several students leave unusable between them (measured: 1.7 GiB for three students of
1.1 GiB each on a CPU, where the sum of their states says 1.3)."""
_HALF_PRECISION = Interval(0.5, 0.65, 0.8)
"""Bytes of an activation under autocast over those in fp32: norms and sums stay in fp32."""
_TEACHER_ACTIVATIONS = Interval(0.03, 0.1, 0.4)
"""Largest share of its activations that a teacher, which keeps none, holds at once."""


def moments(config: RunConfig) -> int:
    """Numbers that the optimiser keeps for each parameter."""
    if config.optim.name == "adamw":
        return 2
    return 1 if config.optim.momentum else 0


def state_numbers(config: RunConfig) -> int:
    """Numbers of a checkpoint for each parameter: weight, optimiser's moments, moving average."""
    return 1 + moments(config) + (config.train.ema_decay is not None)


def memory_gib(
    configs: Sequence[RunConfig],
    trained: Mapping[str, RunConfig] | None = None,
    *,
    processes: int = 1,
) -> Interval | None:
    """Memory in GiB of each process of a job that trains these side by side.

    Args:
        configs: of the trials of the job, at least one.
        trained: configs of trials that are teachers, by trial id.
        processes: that share the batch.

    Returns:
        None where a model is one that no formula knows.
    """
    students = [student_cost(config) for config in configs]
    known = [cost for cost in students if cost is not None]
    teacher = None
    for config in configs:
        if teacher is None and config.teacher is not None and config.distill.kind != "none":
            teacher = teacher_cost(config, (trained or {}).get(config.teacher.trial or ""))
            if teacher is None:
                return None
    if len(known) < len(students):
        return None
    return memory_of(list(zip(configs, known, strict=True)), teacher, processes)


def memory_of(
    students: Sequence[tuple[RunConfig, ModelCost]], teacher: ModelCost | None, processes: int
) -> Interval:
    """Memory in GiB of each process of a job, from the sizes of its models.

    Every student keeps its weights, gradients, optimiser and average all the time. Students take
    their steps in turn, so the activations of the largest alone count. Loader processes, and the
    images of a data set that is held in memory, are not included.
    """
    shared = students[0][0]
    width = Interval(1.0, 1.0, 1.0) if shared.train.precision == "fp32" else _HALF_PRECISION
    states = sum(_state_gib(config, cost) for config, cost in students)
    passing = max(cost.activations for _, cost in students) * _images(shared, processes)
    needed = _FIXED_GIB + _STATES * states + _kept(_ACTIVATIONS, width, passing)
    if teacher is None:
        return needed
    weights = teacher.parameters * FLOAT_BYTES / _GIB
    through = teacher.activations * _images(shared, processes)
    held = Interval(weights, weights, weights)
    return needed + held + _kept(_TEACHER_ACTIVATIONS, width, through)


def _state_gib(config: RunConfig, cost: ModelCost) -> float:
    """Weights, gradients, optimiser, average; under autocast also a copy of the weights."""
    numbers = state_numbers(config) + 1 + (0.5 if config.train.precision != "fp32" else 0.0)
    return cost.parameters * numbers * FLOAT_BYTES / _GIB


def _images(config: RunConfig, processes: int) -> int:
    """Images of one forward pass of a process."""
    share = -(-config.train.global_batch_size // processes)
    return min(share, config.train.micro_batch_size or share)


def _kept(factor: Interval, width: Interval, numbers: float) -> Interval:
    """GiB of activations."""
    gib = numbers * FLOAT_BYTES / _GIB
    return Interval(
        factor.low * width.low * gib,
        factor.point * width.point * gib,
        factor.high * width.high * gib,
    )
