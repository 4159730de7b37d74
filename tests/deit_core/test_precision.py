"""bf16, fp16, torch.compile, clipping and a channels-last teacher: each trains, and agrees with
fp32 as far as its own digits go."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from deit_core.config import DataConfig, TeacherConfig, parse_run_config
from deit_core.distill.teacher import load_teacher
from deit_core.identity import resolve
from deit_core.models.timm_models import create_timm_model
from deit_core.run_dir import RunDir
from deit_core.train import learner as learner_module
from deit_core.train.build_learner import build_learner
from deit_core.train.evaluate import HeadScore
from deit_core.train.learner import Learner
from deit_core.train.student import Student
from deit_core.train.timetable import Timetable
from tests.deit_core.conftest import micro_values

RunFactory = Callable[..., RunDir]
Job = Callable[..., Any]

EVERY_STEP = {"every_steps": 1}


def losses(run: RunDir) -> list[float]:
    return [row["train_loss"] for row in run.read_metrics() if row["kind"] == "train"]


def trained(make_run: RunFactory, job: Job, folder: str, **train: Any) -> RunDir:
    run = make_run(
        folder,
        augment={"strength": 0.0},
        optim={"lr": 2e-3},
        train={"duration": "40step", **train},
        logging=EVERY_STEP,
    )
    job(run)
    return run


@pytest.mark.parametrize(("precision", "digits"), [("bf16", 5e-2), ("fp16", 1e-2)])
def test_half_precision_follows_fp32(
    make_run: RunFactory, job: Job, precision: str, digits: float
) -> None:
    """Stated tolerance, each of 40 losses: 5 % in bf16 (8 bits), 1 % in fp16 (11 bits)."""
    exact = losses(trained(make_run, job, "fp32"))
    rough = losses(trained(make_run, job, precision, precision=precision))
    assert rough != exact
    assert rough == pytest.approx(exact, rel=digits)
    assert sum(rough[-5:]) < 0.9 * sum(rough[:5])


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_compiled_student_follows_the_plain_one(make_run: RunFactory, job: Job) -> None:
    """Stated tolerance: each step's loss to 1e-4, with stochastic depth and EMA on."""
    torch.compiler.reset()
    model = {"drop_rate": 0.0, "drop_path_rate": 0.2}
    plain = make_run("plain", logging=EVERY_STEP, model=model, train={"duration": "6step"})
    compiled = make_run(
        "compiled",
        logging=EVERY_STEP,
        model=model,
        train={"duration": "6step", "compile": True},
    )
    job(plain)
    job(compiled)
    assert losses(compiled) == pytest.approx(losses(plain), rel=1e-4)
    assert load_file(compiled.weights_file).keys() == load_file(plain.weights_file).keys()


def test_compiling_without_a_compiler_is_refused(
    make_run: RunFactory, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    run = make_run("run", train={"compile": True})
    job(run, check=2)
    assert "needs a C++ compiler" in str(run.read_status().reason)


def build(**sections: Any) -> Learner:
    config = resolve(parse_run_config(micro_values(**sections)))
    timetable = Timetable(20, 5, 1, 5, 5, 300.0)
    return build_learner(config, num_classes=10, timetable=timetable, device=torch.device("cpu"))


def gradient_norm(learner: Learner) -> float:
    gradients = [p.grad for p in learner.model.parameters() if p.grad is not None]
    return float(torch.stack([gradient.norm() for gradient in gradients]).norm())


def test_gradients_are_clipped_to_the_norm_that_is_asked_for(
    make_run: RunFactory, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In fp32 and, after unscaling, in fp16; a bound that is never reached changes nothing."""
    norms: list[float] = []
    update = Learner._update

    def watched(self: Learner) -> bool:
        skipped = update(self)
        norms.append(gradient_norm(self))
        return skipped

    free = make_run("free", logging=EVERY_STEP)
    loose = make_run("loose", optim={"clip_grad_norm": 1e6}, logging=EVERY_STEP)
    job(free)
    job(loose)
    assert losses(loose) == losses(free)
    monkeypatch.setattr(Learner, "_update", watched)
    for precision in ("fp32", "fp16"):
        norms.clear()
        job(make_run(precision, optim={"clip_grad_norm": 0.01}, train={"precision": precision}))
        assert len(norms) == 20
        assert norms == pytest.approx([0.01] * 20, rel=1e-3)


def test_an_fp16_overflow_is_skipped_and_counted(
    make_run: RunFactory, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a scale of 2**40 the first gradients overflow; the scale is halved until they do not."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    monkeypatch.setattr("deit_core.train.build_learner.loss_scaler", lambda *_: scaler)
    run = make_run("run", train={"precision": "fp16", "duration": "40step"}, logging=EVERY_STEP)
    job(run)
    summary = run.read_summary()
    assert summary is not None
    assert 5 < summary.skipped_steps < 40
    assert scaler.get_scale() == 2.0 ** (40 - summary.skipped_steps)
    rows = [row for row in run.read_metrics() if row["kind"] == "train"]
    assert [row["train_loss"] is None for row in rows[: summary.skipped_steps]].count(True)
    assert summary.steps == 40


def test_skipped_steps_are_counted_over_a_resume(
    make_run: RunFactory, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "deit_core.train.build_learner.loss_scaler",
        lambda *_: torch.amp.GradScaler("cpu", init_scale=2.0**40),
    )
    train = {"precision": "fp16", "duration": "40step"}
    straight, stopped = make_run("straight", train=train), make_run("stopped", train=train)
    job(straight)
    train_step = Student.train_step

    def stopping(self: Student, *arguments: Any) -> None:
        train_step(self, *arguments)
        if self.step == 30:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(Student, "train_step", stopping)
        job(stopped, check=85)
    job(stopped)
    summaries = straight.read_summary(), stopped.read_summary()
    assert summaries[0] is not None
    assert summaries[1] is not None
    assert summaries[1].skipped_steps == summaries[0].skipped_steps > 5


def test_evaluation_runs_in_the_precision_of_the_run(
    make_run: RunFactory, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds: set[torch.dtype] = set()
    add = HeadScore.add

    def watched(self: HeadScore, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        kinds.add(logits.dtype)
        return add(self, logits, labels)

    monkeypatch.setattr(HeadScore, "add", watched)
    for precision, kind in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        kinds.clear()
        job(make_run(precision, train={"precision": precision, "duration": "1step"}))
        assert kinds == {kind}


def test_fp16_that_overflows_at_any_scale_has_diverged(
    make_run: RunFactory, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learner_module, "MIN_LOSS_SCALE", 2.0**50)
    run = make_run("run", train={"precision": "fp16"})
    job(run, check=3)
    assert "use bf16 or fp32" in str(run.read_status().reason)


def test_the_loss_scale_survives_a_resume() -> None:
    one = build(train={"precision": "fp16"})
    state = one.state()
    state["scaler"] = {**state["scaler"], "scale": 8.0, "_growth_tracker": 3}
    other = build(train={"precision": "fp16"})
    other.load(state)
    assert other.scaler.get_scale() == 8.0


def test_a_channels_last_teacher_answers_as_any_other(tmp_path: Path) -> None:
    """Stated tolerance: 1e-5."""
    torch.manual_seed(0)
    teacher = create_timm_model("resnet10t", {"num_classes": 10, "in_chans": 3})
    path = tmp_path / "teacher.pth"
    torch.save(teacher.state_dict(), path)
    images = torch.randn(4, 3, 32, 32)
    answers = []
    for channels_last in (False, True):
        loaded = load_teacher(
            TeacherConfig(name="resnet10t", checkpoint=str(path), channels_last=channels_last),
            run_dir=tmp_path,
            data=DataConfig(source="digits", mean=(0.5,) * 3, std=(0.5,) * 3),
            num_classes=10,
            in_chans=3,
            img_size=32,
            device=torch.device("cpu"),
        )
        weight = next(p for p in loaded.model.parameters() if p.ndim == 4 and p.shape[2] > 1)
        assert weight.is_contiguous(memory_format=torch.channels_last) == channels_last
        answers.append(loaded(images))
    torch.testing.assert_close(answers[1], answers[0], rtol=1e-5, atol=1e-5)


def test_a_student_of_a_channels_last_teacher_trains_as_any_other(
    make_run: RunFactory, job: Job, tmp_path: Path
) -> None:
    """Stated tolerance: each step's loss to 1e-5."""
    torch.manual_seed(0)
    path = tmp_path / "teacher.pth"
    torch.save(create_timm_model("resnet10t", {"num_classes": 10}).state_dict(), path)
    taught = []
    for channels_last in (False, True):
        teacher = {"name": "resnet10t", "checkpoint": str(path), "kwargs": {"in_chans": 3}}
        run = make_run(
            f"channels last {channels_last}",
            distill={"kind": "soft"},
            teacher={**teacher, "channels_last": channels_last},
            train={"duration": "10step"},
            logging=EVERY_STEP,
        )
        job(run)
        taught.append(losses(run))
    assert len(taught[0]) == 10
    assert taught[1] == pytest.approx(taught[0], rel=1e-5)
