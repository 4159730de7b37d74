"""`python -m deit_core`: what it writes, and what it says when something is wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deit_core.run_dir import RunDir
from deit_core.train.checkpoint import list_checkpoints

Job = Callable[..., Any]
RunFactory = Callable[..., RunDir]


def test_a_finished_run_has_everything(make_run: RunFactory, job: Job) -> None:
    run = make_run("run")
    printed = job(run).stdout
    summary, status, env = run.read_summary(), run.read_status(), run.read_env()
    assert summary is not None
    assert env is not None
    evals = [row for row in run.read_metrics() if row["kind"] == "eval"]
    assert [row["epoch"] for row in evals] == [1, 2, 3, 4]
    assert all(row["val_images"] == 50 for row in evals)
    assert summary.val_top1 == evals[-1]["val_top1"]  # the last epoch, never the best
    assert summary.val_top1 == summary.val_top1_cls  # not distilled: the other head is untrained
    assert summary.val_top1_dist is None
    assert summary.val_ema_top1 == evals[-1]["val_ema_top1"]
    assert (summary.epochs, summary.steps, summary.train_images) == (4.0, 20, 80)
    assert (status.state, status.attempt, status.step) == ("completed", 1, 20)
    assert (env.device, env.threads) == ("cpu", 1)
    assert {"torch", "timm", "numpy"} <= env.versions.keys()
    assert "run: epoch 4.0  step 20/20" in printed
    train = [row for row in run.read_metrics() if row["kind"] == "train"]
    assert [row["step"] for row in train] == [3, 6, 9, 12, 15, 18]


def test_a_completed_trial_is_not_trained_again(make_run: RunFactory, job: Job) -> None:
    run = make_run("run")
    job(run)
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*.*") if path.is_file()}
    assert job(run).stdout == "run: already completed\n"
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_distilled_students_fuse_both_heads(make_run: RunFactory, job: Job) -> None:
    teacher = make_run(
        "teacher",
        model={"name": "resnet10t", "img_size": 8, "in_chans": 1},
        train={"duration": "1ep"},
    )
    job(teacher)
    named = teacher.path.rename(teacher.path.with_name(teacher.read_trial().trial_id))
    run = make_run("run", distill={"kind": "hard"}, teacher={"trial": named.name})
    job(run)
    row = run.read_metrics()[-1]
    heads = {row["val_loss"], row["val_loss_cls"], row["val_loss_dist"]}
    assert len(heads) == 3
    summary = run.read_summary()
    assert summary is not None
    assert summary.teacher_val_top1 == pytest.approx(RunDir(named).read_metrics()[-1]["val_top1"])


def test_evaluation_has_no_padding_errors(make_run: RunFactory, job: Job) -> None:
    """The batch size of the evaluation changes no accuracy: 50 images in batches of 7 or of 50."""
    rows = []
    for batch_size in (7, 50):
        run = make_run(f"batch{batch_size}", eval={"batch_size": batch_size})
        job(run)
        rows.append([row for row in run.read_metrics() if row["kind"] == "eval"])
    for one, other in zip(*rows, strict=True):
        assert one["val_top1"] == other["val_top1"]
        assert one["val_top5"] == other["val_top5"]
        assert one["val_loss"] == pytest.approx(other["val_loss"], rel=1e-5)


def test_a_student_that_cannot_be_built_does_not_stop_the_others(
    make_run: RunFactory, job: Job
) -> None:
    good = make_run("good")
    bad = make_run("bad", model={"name": "resnet18", "img_size": 8, "in_chans": 1,
                                 "kwargs": {"no_such_argument": 1}})  # fmt: skip
    job(bad, good, check=2)
    assert good.read_status().state == "completed"
    status = bad.read_status()
    assert (status.state, status.failure) == ("failed", "user_error")
    assert "no_such_argument" in str(status.reason)


@pytest.mark.parametrize(
    ("duration", "reason"),
    [("1step", "the weights are no longer finite|the val loss is not finite"),
     ("4ep", "the training loss became|the weights are no longer finite|val loss is not")],
)  # fmt: skip
def test_a_run_that_diverged_is_no_result(
    make_run: RunFactory, job: Job, duration: str, reason: str
) -> None:
    """Also when only the last update did it, which no training loss shows."""
    run = make_run("run", optim={"lr": 1e30, "warmup": "0ep"}, train={"duration": duration})
    job(run, check=3)
    status = run.read_status()
    assert (status.state, status.failure) == ("failed", "diverged")
    assert re.search(reason, str(status.reason))
    assert run.read_summary() is None
    assert list_checkpoints(run.checkpoint_dir) == []


def test_a_student_whose_files_cannot_be_made_does_not_stop_the_others(
    make_run: RunFactory, job: Job
) -> None:
    logging = {"every_steps": 3, "tensorboard": True}
    good, bad = (
        make_run("good", logging=logging),
        make_run("bad", model={"depth": 1}, logging=logging),
    )
    bad.tensorboard_dir().write_text("a file where a folder should be")
    job(bad, good, check=1)
    assert good.read_status().state == "completed"
    assert (bad.read_status().state, bad.read_status().failure) == ("failed", "crashed")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: run.config_file.unlink(), "half deleted: config.json is missing"),
        (lambda run: run.trial_file.unlink(), "half deleted: trial.json is missing"),
        (lambda run: run.config_file.write_text("{"), "config.json is damaged"),
        (
            lambda run: run.config_file.write_text(json.dumps({"modle": {}})),
            'does not fit this version: modle: unknown key; did you mean "model"',
        ),
        (
            lambda run: run.trial_file.write_text(json.dumps({"schema_version": 9})),
            "schema version 9, this program reads up to 1",
        ),
    ],
    ids=["no config", "no trial", "damaged config", "unknown key", "newer schema"],
)
def test_a_run_directory_that_is_not_whole(
    make_run: RunFactory, job: Job, damage: Callable[[RunDir], object], message: str
) -> None:
    run = make_run("run")
    damage(run)
    stderr = job(run, check=2).stderr
    assert message in stderr
    assert stderr.startswith("error: ")
    assert stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"train": {"global_batch_size": 512}}, "80"),
        ({"model": {"num_classes": 7}}, "7 is expected, but the data has 10 classes"),
        ({"data": {"train_images": 5000}}, "5000"),
        ({"train": {"device": "cuda"}}, "'cuda' is given, but torch sees no GPU"),
        (
            {"distill": {"kind": "soft"}, "teacher": {"trial": "f" * 12}},
            "f" * 12,
        ),
        (
            {"distill": {"kind": "soft"}, "teacher": {"name": "resnet18", "checkpoint": "/no.pth"}},
            "/no.pth",
        ),
    ],
    ids=["batch", "classes", "too few images", "no gpu", "no teacher trial", "no checkpoint"],
)
def test_what_only_the_job_can_find_out(
    make_run: RunFactory, job: Job, sections: dict[str, Any], message: str
) -> None:
    if "'cuda'" in message:
        torch = pytest.importorskip("torch")
        if torch.cuda.is_available():
            pytest.skip("there is a GPU")
    run = make_run("run", **sections)
    stderr = job(run, check=2).stderr
    assert message in stderr
    assert stderr.count("\n") == 1
    status = run.read_status()
    assert (status.state, status.failure) == ("failed", "user_error")
    assert message in str(status.reason)


def test_the_teacher_must_know_the_same_classes(
    make_run: RunFactory, job: Job, tmp_path: Path
) -> None:
    from deit_core.models import create_model, save_weights

    name = "deit_tiny_patch16_224"
    sizes = {"patch_size": 4, "embed_dim": 12, "num_heads": 2}
    model = create_model(name, num_classes=7, img_size=8, in_chans=1, **sizes)
    save_weights(model, tmp_path / "teacher.safetensors")
    run = make_run(
        "run",
        distill={"kind": "hard"},
        teacher={
            "name": name,
            "checkpoint": str(tmp_path / "teacher.safetensors"),
            "kwargs": sizes,
        },
    )
    stderr = job(run, check=2).stderr
    assert stderr.count("\n") == 1
    assert "7 classes" in stderr
    assert "10" in stderr


def test_a_directory_in_use_is_left_alone(make_run: RunFactory, job: Job) -> None:
    run = make_run("run")
    with run.lock():
        stderr = job(run, check=2).stderr
    assert "is in use: another process is training this trial" in stderr
    assert run.read_status().state == "pending"


def test_a_full_disk_keeps_the_last_checkpoint_and_says_so(
    make_run: RunFactory, job: Job, small_disk: Path
) -> None:
    wide = {"embed_dim": 32, "depth": 3}  # a checkpoint of some 0.6 MiB: one fits, not two
    run = make_run("run", model=wide)
    run.checkpoint_dir.symlink_to(small_disk)
    stderr = job(run, check=2).stderr
    assert stderr.count("\n") == 1
    assert "No space left on device" in stderr
    assert "the checkpoint of step 5 is intact" in stderr
    assert [file.step for file in list_checkpoints(small_disk)] == [5]
    assert run.read_status().failure == "user_error"
    run.checkpoint_dir.unlink()
    run.checkpoint_dir.mkdir()
    saved = list_checkpoints(small_disk)[0].path
    (run.checkpoint_dir / saved.name).write_bytes(saved.read_bytes())
    job(run)
    straight = make_run("straight", model=wide)
    job(straight)
    left, right = run.read_summary(), straight.read_summary()
    assert left is not None
    assert right is not None
    assert (left.val_loss, left.train_loss) == (right.val_loss, right.train_loss)


def test_help_is_quick_and_a_traceback_means_a_bug(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "deit_core", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "100"},
    )
    assert "RUN_DIR" in answer.stdout
    assert not [line for line in answer.stderr.splitlines() if line.endswith("| torch")]
