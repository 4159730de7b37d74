"""Accuracy and loss on val: class head, distillation head, their fusion, and the EMA weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deit_core.data.eval_sets import RealLabels
from deit_core.data.loader import EvalBatch
from deit_core.errors import DataError
from deit_core.models import Fusion, HeadLogits, head_logits
from deit_core.models import fuse as fuse_heads
from deit_core.train.correct import CorrectImages
from deit_core.train.dist import ALONE, Ranks

AutocastFactory = Callable[[], AbstractContextManager[object]]


class HeadScore:
    """Sums over val for one set of logits; kept on the device until `result`."""

    def __init__(self, device: torch.device) -> None:
        self._sums = torch.zeros(4, dtype=torch.float64, device=device)

    def add(self, logits_BC: Tensor, labels_B: Tensor) -> Tensor:
        """Count one batch; every image once, no padding. Returns which are right, shape (B,)."""
        logits = logits_BC.float()
        top5 = logits.topk(min(5, logits.shape[1]), dim=1).indices
        hits = top5 == labels_B[:, None]
        loss = F.cross_entropy(logits, labels_B, reduction="none").double().sum()
        images = torch.full_like(loss, len(labels_B))
        counts = [hits[:, 0].sum().double(), hits.any(dim=1).sum().double()]
        self._sums += torch.stack([*counts, loss, images])
        return hits[:, 0]

    @property
    def images(self) -> int:
        """How many were counted."""
        return int(self._sums[3])

    def merge(self, ranks: Ranks) -> None:
        """Add up what all processes have counted."""
        ranks.sum(self._sums)

    def result(self, suffix: str = "", prefix: str = "val") -> dict[str, float]:
        """top-1 and top-5 in percent, mean cross-entropy; keys like `val_top1_cls`."""
        *sums, images = self._sums.tolist()
        top1, top5, loss = (value / max(1, images) for value in sums)
        return {
            f"{prefix}_top1{suffix}": 100 * top1,
            f"{prefix}_top5{suffix}": 100 * top5,
            f"{prefix}_loss{suffix}": loss,
        }


class RealScore:
    """Top-1 on the ReaL labels of val, in percent of the images that have any."""

    def __init__(self, labels: RealLabels, device: torch.device) -> None:
        self._labels = labels
        self._sums = torch.zeros(2, dtype=torch.float64, device=device)

    def add(self, logits_BC: Tensor, indices_B: Tensor) -> None:
        """Count one batch."""
        counts = self._labels.matches(logits_BC.argmax(dim=1), indices_B)
        self._sums += torch.tensor(counts, dtype=torch.float64, device=self._sums.device)

    def merge(self, ranks: Ranks) -> None:
        """Add up what all processes have counted."""
        ranks.sum(self._sums)

    def result(self) -> float:
        """The accuracy."""
        hits, counted = self._sums.tolist()
        return float(100 * hits / max(1.0, counted))


class ModelScore:
    """Scores of every head of one student (and of its EMA weights) over one pass of val.

    Args:
        model: the student.
        ema: its averaged weights.
        fuse: whether both heads have learned.
        device: where the sums are kept.
        real: further labels of the same images, for the fused heads.
        correct: takes down which images the fused heads get right.
    """

    def __init__(
        self,
        model: nn.Module,
        ema: nn.Module | None,
        *,
        fuse: bool,
        device: torch.device,
        real: RealLabels | None = None,
        correct: CorrectImages | None = None,
    ) -> None:
        self._model, self._ema, self._fuse = model, ema, fuse
        self._fusion: Fusion = getattr(model, "fusion", "logits")
        kinds = ["fused", "cls", *(["dist"] if fuse else []), *(["ema"] if ema else [])]
        self._scores = {kind: HeadScore(device) for kind in kinds}
        self._real = None if real is None else RealScore(real, device)
        self._correct = correct

    def add(self, batch: EvalBatch) -> None:
        """Run the student on a batch of val."""
        images, labels = batch.images, batch.labels
        heads = head_logits(self._model, images)
        self._scores["cls"].add(heads.cls_logits, labels)
        fused = self._fused(heads)
        hits = self._scores["fused"].add(fused, labels)
        if self._correct is not None:
            self._correct.add(hits, batch.indices)
        if self._real is not None:
            self._real.add(fused, batch.indices)
        if self._fuse:
            assert heads.dist_logits is not None
            self._scores["dist"].add(heads.dist_logits, labels)
        if self._ema is not None:
            self._scores["ema"].add(self._fused(head_logits(self._ema, images)), labels)

    def _fused(self, heads: HeadLogits) -> Tensor:
        return fused_logits(heads, fuse=self._fuse, fusion=self._fusion)

    def merge(self, ranks: Ranks) -> None:
        """Add up what all processes have counted."""
        for score in self._scores.values():
            score.merge(ranks)
        if self._real is not None:
            self._real.merge(ranks)
        if self._correct is not None:
            self._correct.merge(ranks)

    def result(self) -> dict[str, float]:
        """All metrics of the pass."""
        metrics = self._scores["fused"].result()
        metrics |= self._scores["cls"].result("_cls")
        if "dist" in self._scores:
            metrics |= self._scores["dist"].result("_dist")
        if "ema" in self._scores:
            metrics |= self._scores["ema"].result(prefix="val_ema")
        if self._real is not None:
            metrics["val_real_top1"] = self._real.result()
        return metrics


def fused_logits(heads: HeadLogits, *, fuse: bool, fusion: Fusion = "logits") -> Tensor:
    """What both heads predict together; the class head alone if the other is untrained.

    Trained without distillation, a distilled model's second head never saw a gradient; averaging
    it in, as the reference does, would only add noise.
    """
    if not fuse:
        return heads.cls_logits
    assert heads.dist_logits is not None
    return fuse_heads(heads.cls_logits, heads.dist_logits, fusion)


@torch.no_grad()
def evaluate_models(
    models: Mapping[str, ModelScore],
    batches: Iterable[EvalBatch],
    autocast: AutocastFactory,
    modules: Sequence[nn.Module],
    ranks: Ranks = ALONE,
) -> tuple[dict[str, dict[str, float]], int]:
    """Evaluate several models on one pass of val, each process on its batches.

    Returns:
        Metrics by the keys of `models`, and the number of images they were measured on: over all
        processes, each image once.

    Raises:
        DataError: no image could be read.
    """
    images = 0
    with evaluation_mode(modules), autocast():
        for batch in batches:
            if not len(batch.labels):
                continue
            for score in models.values():
                score.add(batch)
            images += len(batch.labels)
    for score in models.values():
        score.merge(ranks)
    total = int(ranks.sum(torch.tensor(images, device=_device_of(modules))))
    if not total:
        raise DataError("none of the val images can be read; check the files under data.root")
    return {key: score.result() for key, score in models.items()}, total


def _device_of(modules: Sequence[nn.Module]) -> torch.device:
    return next(modules[0].parameters()).device


class evaluation_mode(AbstractContextManager[None]):  # noqa: N801 - reads as a with-statement
    """Modules in eval mode inside the block, back in their own mode after it."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self._modules = modules
        self._training = [module.training for module in modules]

    def __enter__(self) -> None:
        for module in self._modules:
            module.eval()

    def __exit__(self, *_: object) -> None:
        for module, training in zip(self._modules, self._training, strict=True):
            module.train(training)


@torch.no_grad()
def evaluate_teacher(
    teacher: Callable[[Tensor], Tensor],
    batches: Iterator[EvalBatch] | Iterable[EvalBatch],
    autocast: AutocastFactory,
    device: torch.device,
    ranks: Ranks = ALONE,
) -> float:
    """Top-1 of the teacher on val, in percent."""
    score = HeadScore(device)
    with autocast():
        for batch in batches:
            if len(batch.labels):
                score.add(teacher(batch.images), batch.labels)
    score.merge(ranks)
    if not score.images:
        raise DataError("none of the val images can be read; check the files under data.root")
    return score.result()["val_top1"]
