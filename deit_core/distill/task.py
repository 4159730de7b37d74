"""What one training step computes from the heads: the task knows the teacher, the loop does not."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from deit_core.config import DistillConfig
from deit_core.distill.losses import (
    LabelLoss,
    binary_cross_entropy,
    hard_distillation_loss,
    soft_distillation_loss,
    soft_target_cross_entropy,
)
from deit_core.models import HeadLogits


@dataclass(frozen=True)
class DistillationTask:
    """The objective of arXiv 2012.12877, section 4, for one student."""

    config: DistillConfig
    label_loss: LabelLoss = "cross_entropy"

    @property
    def needs_teacher(self) -> bool:
        """Whether the teacher's logits enter the loss."""
        return self.config.kind != "none"

    @property
    def trains_dist_head(self) -> bool:
        """Whether the distillation head learns; an untrained one must not enter the fusion."""
        return self.needs_teacher and self.config.token

    def loss(self, heads: HeadLogits, targets: Tensor, teacher_logits: Tensor | None) -> Tensor:
        """Scalar training loss.

        Args:
            heads: the student's logits, each (B, C).
            targets: (B, C) class probabilities, mixed and smoothed.
            teacher_logits: (B, C), for the same images; unused without distillation.

        Returns:
            (1 - alpha) * label loss of the class head + alpha * distillation term.
        """
        label_loss = binary_cross_entropy if self.label_loss == "bce" else soft_target_cross_entropy
        base = label_loss(_at_least_fp32(heads.cls_logits), targets)
        if not self.needs_teacher:
            return base
        assert teacher_logits is not None
        student = heads.dist_logits if self.config.token else heads.cls_logits
        assert student is not None
        term = self._term(_at_least_fp32(student), _at_least_fp32(teacher_logits))
        return (1 - self.config.alpha) * base + self.config.alpha * term

    def _term(self, student: Tensor, teacher: Tensor) -> Tensor:
        if self.config.kind == "hard":
            return hard_distillation_loss(student, teacher)
        return soft_distillation_loss(
            student,
            teacher,
            temperature=self.config.temperature,
            reduction=self.config.reduction,
        )


def _at_least_fp32(logits: Tensor) -> Tensor:
    """Log-probabilities in bfloat16 keep two digits: a KL divergence near 0 would be all noise."""
    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
