"""The losses of DeiT as pure functions of logits (arXiv 2012.12877, section 4).

Shape suffixes: B batch, C classes.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

Reduction = Literal["batchmean", "numel"]


def soft_target_cross_entropy(logits_BC: Tensor, targets_BC: Tensor) -> Tensor:
    """Cross-entropy to class probabilities (mixed, smoothed), mean over the batch."""
    return F.cross_entropy(logits_BC, targets_BC)


def soft_distillation_loss(
    student_BC: Tensor,
    teacher_BC: Tensor,
    *,
    temperature: float,
    reduction: Reduction = "batchmean",
) -> Tensor:
    """tau**2 * KL(softmax(teacher / tau) || softmax(student / tau)).

    tau**2 keeps the gradient's size independent of tau (arXiv 1503.02531).

    Args:
        student_BC: logits of the head that is distilled.
        teacher_BC: the teacher's logits.
        temperature: tau.
        reduction: `batchmean`: the divergence, mean over the batch. `numel`: divided by B * C, as
            the reference does; that is weaker by the number of classes.
    """
    divergence = F.kl_div(
        F.log_softmax(student_BC / temperature, dim=1),
        F.log_softmax(teacher_BC / temperature, dim=1),
        reduction="sum",
        log_target=True,
    )
    terms = student_BC.shape[0] if reduction == "batchmean" else student_BC.numel()
    return divergence * (temperature**2 / terms)


def hard_distillation_loss(student_BC: Tensor, teacher_BC: Tensor) -> Tensor:
    """Cross-entropy to the teacher's decision, which is neither smoothed nor mixed."""
    return F.cross_entropy(student_BC, teacher_BC.argmax(dim=1))
