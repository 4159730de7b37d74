"""Compiled students of a cohort: each is compiled for itself, however many there are.

Here with a backend that runs the captured graphs as they are: writing C++ takes ten seconds a
graph, and what is tested is which graphs there are.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partialmethod
from typing import Any

import numpy as np
import pytest
import torch
from torch._dynamo.exc import FailOnRecompileLimitHit
from torch._dynamo.utils import counters

from deit_core.config import parse_run_config
from deit_core.data.loader import TrainBatch
from deit_core.identity import resolve
from deit_core.train import compiling
from deit_core.train.build_learner import build_learner
from deit_core.train.compiling import compile_student
from deit_core.train.learner import Learner
from deit_core.train.timetable import Timetable
from tests.deit_core.conftest import micro_values

pytestmark = [
    pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]


@pytest.fixture(autouse=True)
def no_room(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing compiled yet, and no compilation allowed but those that a student brings along."""
    compile_ = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", partialmethod(compile_, backend="eager"))
    torch.compiler.reset()
    counters.clear()
    with torch._dynamo.config.patch(
        recompile_limit=0, accumulated_recompile_limit=0, fail_on_recompile_limit_hit=False
    ):
        yield
    torch.compiler.reset()


def student(embed_dim: int, **train: Any) -> Learner:
    model = {"depth": 1, "embed_dim": embed_dim, "num_heads": 1, "mlp_ratio": 1.0}
    values = micro_values(
        model={**model, "drop_rate": 0.0, "drop_path_rate": 0.0},
        train={"compile": True, "ema_decay": None, **train},
    )
    return build_learner(
        resolve(parse_run_config(values)),
        num_classes=10,
        timetable=Timetable(20, 5, 1, 5, 5, 300.0),
        device=torch.device("cpu"),
    )


def train(*students: Learner) -> None:
    """Two steps, side by side."""
    images, targets = torch.zeros(16, 1, 8, 8), torch.full((16, 10), 0.1)
    batch = TrainBatch(images, targets, targets.argmax(1), np.arange(16), ())
    for number in range(2):
        for learner in students:
            learner.step(number, batch, None, nullcontext)


def test_each_student_of_a_cohort_is_compiled_as_it_is_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten widths, and two sizes of a batch: two graphs each, and no student is left over."""
    monkeypatch.setattr(compiling, "COMPILATIONS", 2)
    train(student(4, micro_batch_size=12))
    assert counters["frames"] == {"total": 2, "ok": 2}
    torch.compiler.reset()
    counters.clear()
    train(*(student(width, micro_batch_size=12) for width in range(2, 12)))
    assert counters["frames"] == {"total": 20, "ok": 20}


def test_running_uncompiled_in_silence_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "COMPILATIONS", 1)
    with pytest.raises(FailOnRecompileLimitHit):
        train(student(2, micro_batch_size=12))


def test_ten_students_have_room_for_ten() -> None:
    for _ in range(10):
        compile_student(torch.nn.Linear(1, 1))
    assert torch._dynamo.config.recompile_limit == 80
    assert torch._dynamo.config.accumulated_recompile_limit == 80
