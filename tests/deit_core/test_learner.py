"""The parts of a student that compute, and what they are given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from deit_core.config import parse_run_config
from deit_core.distill.teacher import Teacher
from deit_core.identity import resolve
from deit_core.models.timm_models import create_timm_model
from deit_core.run_dir import RunDir
from deit_core.train.build_learner import build_learner
from deit_core.train.learner import Learner
from deit_core.train.timetable import Timetable
from tests.deit_core.conftest import micro_values

TEACHER = {"trial": "0" * 12}


def build(**sections: Any) -> Learner:
    return build_learner(
        resolve(parse_run_config(micro_values(**sections))),
        num_classes=10,
        timetable=Timetable(20, 5, 1, 5, 5, 300.0),
        device=torch.device("cpu"),
    )


@pytest.mark.parametrize("part", ["model", "average"])
def test_a_ruined_weight_of_either_set_is_found(part: str) -> None:
    """The average is evaluated and written too."""
    learner = build(train={"ema_decay": 0.9})
    assert learner.ema is not None
    assert learner.is_finite()
    model = learner.model if part == "model" else learner.ema.model
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] = torch.inf
    assert not learner.is_finite()


def trained_heads(learner: Learner) -> set[str]:
    optimised = {id(p) for group in learner.optimizer.param_groups for p in group["params"]}
    return {
        name
        for name, parameter in learner.model.named_parameters()
        if name.startswith("head") and parameter.requires_grad and id(parameter) in optimised
    }


def test_a_distillation_head_without_a_teacher_is_frozen() -> None:
    """It has no gradient: processes that add gradients up would wait for it."""
    plain, both = {"head.weight", "head.bias"}, {"head_dist.weight", "head_dist.bias"}
    assert trained_heads(build()) == plain
    taught = build(distill={"kind": "soft"}, teacher=TEACHER)
    assert trained_heads(taught) == plain | both


def test_the_teacher_sees_no_more_images_at_once_than_the_student(
    make_run: Callable[..., RunDir],
    job: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A micro-batch is as much as fits on the device, beside the larger teacher too."""
    teacher = create_timm_model("resnet10t", {"num_classes": 10, "in_chans": 1})
    path = tmp_path / "teacher.pth"
    torch.save(teacher.state_dict(), path)
    seen: list[int] = []
    answer = Teacher.__call__

    def watched(self: Teacher, images: Tensor) -> Tensor:
        seen.append(len(images))
        return answer(self, images)

    monkeypatch.setattr(Teacher, "__call__", watched)
    run = make_run(
        "run",
        distill={"kind": "hard"},
        teacher={"name": "resnet10t", "checkpoint": str(path), "pretrained": False},
        train={"duration": "2step", "micro_batch_size": 6},
        eval={"batch_size": 5, "every": "2step"},
    )
    job(run)
    assert seen[-6:] == [6, 6, 4, 6, 6, 4]
    assert max(seen) == 6
