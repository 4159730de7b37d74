"""The losses of DeiT as pure functions of logits (arXiv 2012.12877, section 4).

Shape suffixes: B batch, C classes.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor

Reduction = Literal["batchmean", "numel"]
LabelLoss = Literal["cross_entropy", "bce"]


def soft_target_cross_entropy(logits_BC: Tensor, targets_BC: Tensor) -> Tensor:
    """Cross-entropy to class probabilities (mixed, smoothed), mean over the batch.

    For smoothed one-hot targets it is the reference's label-smoothing loss
    (1 - e) * nll + e * mean(-log p), as both are linear in the targets.
    """
    return F.cross_entropy(logits_BC, targets_BC)


def binary_cross_entropy(logits_BC: Tensor, targets_BC: Tensor) -> Tensor:
    """Binary cross-entropy of each class on its own, mean over batch and classes.

    A class is true where its target is above 0, so both classes of a mixed image are, whatever
    their shares (facebookresearch/deit, `--bce-loss`). Smoothing would make every class true.

    Args:
        logits_BC: of the class head.
        targets_BC: class probabilities, mixed but not smoothed.
    """
    return F.binary_cross_entropy_with_logits(logits_BC, (targets_BC > 0).to(logits_BC.dtype))


def soft_distillation_loss(
    dist_logits: Tensor,
    teacher_logits: Tensor,
    *,
    temperature: float,
    reduction: Reduction = "batchmean",
) -> Tensor:
    """tau**2 * KL(softmax(teacher / tau) || softmax(student / tau)).

    tau**2 keeps the gradient's size independent of tau (arXiv 1503.02531).

    Args:
        dist_logits: of the head that is distilled, (B, C).
        teacher_logits: (B, C).
        temperature: tau.
        reduction: `batchmean`: the divergence, mean over the batch. `numel`: divided by B * C, as
            the reference does; that is weaker by the number of classes, 1000 times on ImageNet.

    Raises:
        ValueError: another reduction, a temperature that is not positive and finite, two class
            counts, or no image.
    """
    _check_classes(dist_logits, teacher_logits)
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature is {temperature}; give a positive number")
    if reduction not in get_args(Reduction):
        raise ValueError(f"reduction is {reduction!r}; valid: {', '.join(get_args(Reduction))}")
    divergence = F.kl_div(
        F.log_softmax(dist_logits / temperature, dim=1),
        F.log_softmax(teacher_logits / temperature, dim=1),
        reduction="sum",
        log_target=True,
    )
    terms = dist_logits.shape[0] if reduction == "batchmean" else dist_logits.numel()
    return divergence * (temperature**2 / terms)


def hard_distillation_loss(dist_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Cross-entropy to the teacher's decision, which is neither smoothed nor mixed.

    Args:
        dist_logits: of the head that is distilled, (B, C).
        teacher_logits: (B, C).

    Raises:
        ValueError: two class counts, or no image.
    """
    _check_classes(dist_logits, teacher_logits)
    return F.cross_entropy(dist_logits, teacher_logits.argmax(dim=1))


def _check_classes(dist_logits: Tensor, teacher_logits: Tensor) -> None:
    """A teacher of other classes would be broadcast, or looked up, without a word."""
    if dist_logits.ndim != 2 or not dist_logits.numel():
        raise ValueError(f"logits are {tuple(dist_logits.shape)}; give (images, classes)")
    if dist_logits.shape != teacher_logits.shape:
        raise ValueError(
            f"the student's logits are {tuple(dist_logits.shape)}, the teacher's "
            f"{tuple(teacher_logits.shape)}; both must be of the same images and classes"
        )
