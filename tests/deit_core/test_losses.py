"""The losses equal the reference's, value and gradient."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from deit_core.config import DistillConfig
from deit_core.distill.losses import (
    binary_cross_entropy,
    hard_distillation_loss,
    soft_distillation_loss,
    soft_target_cross_entropy,
)
from deit_core.distill.task import DistillationTask
from deit_core.models import HeadLogits

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = json.loads((GOLDEN / "losses.json").read_text())["cases"]
TENSORS = load_file(GOLDEN / "losses.safetensors")
ROWS = [
    pytest.param(
        case["id"], row, id=f"{case['id']}-{row['base']}-{row['type']}-{row['tau']}-{row['alpha']}"
    )
    for case in CASES
    for row in case["rows"]
]


def targets_of(case_id: str, base: str) -> Tensor:
    """(B, C) probabilities that stand for the reference's base loss."""
    if base == "softtarget_mixup":
        return TENSORS[f"{case_id}/mixup_targets"]
    labels = TENSORS[f"{case_id}/labels"]
    classes = TENSORS[f"{case_id}/cls_logits"].shape[1]
    smoothing = 0.1 if base == "ls0.1_int" else 0.0
    return one_hot(labels, classes).double() * (1 - smoothing) + smoothing / classes


def objective(case_id: str, row: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of a row, after its backward pass, and the logits it came from."""
    logits = {k: TENSORS[f"{case_id}/{k}_logits"].clone().requires_grad_() for k in ("cls", "dist")}
    given = {"alpha": row["alpha"], "temperature": row["tau"]}
    config = DistillConfig(
        kind=row["type"], reduction="numel", **{k: v for k, v in given.items() if v is not None}
    )
    task = DistillationTask(config, "bce" if row["base"] == "bce_onehot" else "cross_entropy")
    loss = task.loss(
        HeadLogits(logits["cls"], logits["dist"]),
        targets_of(case_id, row["base"]),
        TENSORS[f"{case_id}/teacher_logits"],
    )
    loss.backward()  # type: ignore[no-untyped-call]
    return loss, logits


@pytest.mark.parametrize(("case_id", "row"), ROWS)
def test_objective_and_gradients_equal_the_references(case_id: str, row: dict[str, Any]) -> None:
    loss, logits = objective(case_id, row)
    assert loss.item() == pytest.approx(row["loss"], rel=1e-12)
    for name in ("cls", "dist"):
        if f"grad_{name}_l2" in row:
            grad = logits[name].grad
            norm = 0.0 if grad is None else float(grad.norm())
            assert norm == pytest.approx(row[f"grad_{name}_l2"], rel=1e-12)


@pytest.mark.parametrize("key", [key for key in TENSORS if "/grad_" in key])
def test_whole_gradients_equal_the_references(key: str) -> None:
    case_id, gradient, setting = key.split("/")
    kind, tau, alpha = setting.replace("tau", "").replace("alpha", "").split("_")
    row = {"base": "softtarget_mixup", "type": kind, "tau": float(tau), "alpha": float(alpha)}
    _, logits = objective(case_id, row)
    grad = logits[gradient.removeprefix("grad_")].grad
    torch.testing.assert_close(grad, TENSORS[key], atol=1e-15, rtol=1e-12)


@pytest.mark.parametrize("case_id", ["loss_a", "loss_b"])
def test_float32_agrees_with_the_reference_to_five_digits(case_id: str) -> None:
    dist, teacher = (TENSORS[f"{case_id}/{k}_logits"].float() for k in ("dist", "teacher"))
    exact = [TENSORS[f"{case_id}/{k}_logits"] for k in ("dist", "teacher")]
    for loss in (
        lambda d, t: soft_distillation_loss(d, t, temperature=3.0, reduction="numel"),
        hard_distillation_loss,
    ):
        assert float(loss(dist, teacher)) == pytest.approx(float(loss(*exact)), rel=1e-5)


def test_bce_takes_every_class_with_a_share_as_true() -> None:
    logits = torch.tensor([[0.3, -1.0, 2.0]], dtype=torch.float64)
    mixed = torch.tensor([[0.9, 0.1, 0.0]], dtype=torch.float64)
    by_hand = [math.log1p(math.exp(-0.3)), math.log1p(math.exp(1.0)), math.log1p(math.exp(2.0))]
    assert float(binary_cross_entropy(logits, mixed)) == pytest.approx(sum(by_hand) / 3)


def test_bce_needs_no_float64_targets() -> None:
    logits = torch.tensor([[0.3, -1.0]], dtype=torch.float64)
    assert binary_cross_entropy(logits, torch.tensor([[1.0, 0.0]])).dtype == torch.float64


def test_batchmean_is_the_mean_divergence_by_hand() -> None:
    student = torch.tensor([[0.0, 0.0], [2.0, 0.0]], dtype=torch.float64)
    teacher = torch.tensor([[math.log(3), 0.0], [2.0, 0.0]], dtype=torch.float64)
    # p = (3/4, 1/4) against q = (1/2, 1/2) in the first row, no difference in the second
    divergence = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    loss = soft_distillation_loss(student, teacher, temperature=1.0)
    assert float(loss) == pytest.approx(divergence / 2)


def test_another_reduction_is_refused() -> None:
    logits = torch.zeros(2, 3)
    with pytest.raises(ValueError, match="reduction is 'mean'; valid: batchmean, numel"):
        soft_distillation_loss(logits, logits, temperature=1.0, reduction="mean")


def test_the_reductions_differ_by_the_number_of_classes() -> None:
    student, teacher = TENSORS["loss_a/dist_logits"], TENSORS["loss_a/teacher_logits"]
    mean, numel = (
        soft_distillation_loss(student, teacher, temperature=2.0, reduction=r)
        for r in ("batchmean", "numel")
    )
    assert float(mean) == pytest.approx(student.shape[1] * float(numel))


def test_a_student_equal_to_its_teacher_has_no_soft_loss() -> None:
    logits = TENSORS["loss_a/teacher_logits"]
    assert float(soft_distillation_loss(logits, logits, temperature=3.0)) == pytest.approx(0.0)


def test_soft_targets_of_one_class_are_plain_cross_entropy() -> None:
    logits, labels = TENSORS["loss_a/cls_logits"], TENSORS["loss_a/labels"]
    soft = soft_target_cross_entropy(logits, one_hot(labels, logits.shape[1]).double())
    assert float(soft) == pytest.approx(float(cross_entropy(logits, labels)))


@pytest.mark.parametrize("temperature", [0.1, 1.0, 4.0])
def test_extreme_logits_stay_finite(temperature: float) -> None:
    student = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    teacher = torch.tensor([[-1e4, 1e4, 0.0]])
    loss = soft_distillation_loss(student, teacher, temperature=temperature)
    loss = loss + hard_distillation_loss(student, teacher)
    loss = loss + binary_cross_entropy(student, teacher)
    loss.backward()
    assert torch.isfinite(loss)
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()


def test_what_would_be_wrong_in_silence_is_refused() -> None:
    logits = torch.zeros(4, 5)
    for temperature in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="temperature"):
            soft_distillation_loss(logits, logits, temperature=temperature)
    for loss in (hard_distillation_loss, partial(soft_distillation_loss, temperature=1.0)):
        with pytest.raises(ValueError, match=r"\(4, 5\), the teacher's \(4, 6\)"):
            loss(logits, torch.zeros(4, 6))
        for shape in ((0, 5), (5,)):
            with pytest.raises(ValueError, match=r"give \(images, classes\)"):
                loss(torch.zeros(shape), torch.zeros(shape))
