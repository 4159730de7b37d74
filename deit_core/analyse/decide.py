"""Everyone whose decisions are compared: the heads of the runs, and their teachers.

Shape suffixes: B batch, C image channels, S image side, L classes, N images of val, M decision
makers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from deit_core.distill.teacher import Teacher
from deit_core.models import Fusion, fuse, head_logits
from deit_core.records import HeadName
from deit_core.train.evaluate import HeadScore

AutocastFactory = Callable[[], AbstractContextManager[object]]


class Ballot:
    """What one decision maker said of every image so far, and how good that was."""

    def __init__(self, device: torch.device) -> None:
        self._score = HeadScore(device)
        self._votes: list[Tensor] = []

    def add(self, logits_BL: Tensor, labels_B: Tensor) -> None:
        """Count one batch."""
        self._score.add(logits_BL, labels_B)
        # As in HeadScore: ties are broken alike, so accuracy is 1 - disagreement with the labels.
        top5 = logits_BL.float().topk(min(5, logits_BL.shape[1]), dim=1).indices
        self._votes.append(top5[:, 0])

    def decisions(self) -> Tensor:
        """The class given to each image, (N,), on the CPU."""
        return torch.cat(self._votes).cpu()

    def accuracy(self) -> dict[str, float]:
        """`top1` and `top5` in percent, `loss`."""
        return {key.removeprefix("val_"): value for key, value in self._score.result().items()}


class Voter(Protocol):
    """Anything that answers with one set of logits or several."""

    def logits(self, images_BCSS: Tensor) -> Mapping[str, Tensor]:
        """(B, L) for each of its decision makers, by name."""


@dataclass(frozen=True)
class RunVoter:
    """A run's model: a decision maker for each trained head, and one for the fusion of two."""

    model: nn.Module
    """As `deit_core.finished.load_model` returns it, on the device."""
    names: Mapping[HeadName, str]
    """Of its heads, in the comparison."""
    fusion: Fusion
    """How two heads predict together."""
    autocast: AutocastFactory
    """The precision it was trained and evaluated in."""

    def logits(self, images_BCSS: Tensor) -> Mapping[str, Tensor]:
        """See `Voter.logits`."""
        found: dict[HeadName, Tensor] = {}
        with self.autocast():
            heads = head_logits(self.model, images_BCSS)
            found["cls"] = heads.cls_logits
            if "dist" in self.names:
                assert heads.dist_logits is not None
                found["dist"] = heads.dist_logits
                found["fused"] = fuse(heads.cls_logits, heads.dist_logits, self.fusion)
        return {self.names[head]: logits for head, logits in found.items()}


@dataclass(frozen=True)
class TeacherVoter:
    """A frozen teacher, in the precision in which it taught."""

    teacher: Teacher
    name: str
    autocast: AutocastFactory

    def logits(self, images_BCSS: Tensor) -> Mapping[str, Tensor]:
        """See `Voter.logits`."""
        with self.autocast():
            return {self.name: self.teacher(images_BCSS)}
