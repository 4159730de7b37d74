"""A killed run ends bit-equal to one never killed; a cohort equals separate runs."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from deit_core.data import sources
from deit_core.data.sources import arrays
from deit_core.run_dir import RunDir
from deit_core.train import evaluate
from deit_core.train.checkpoint import list_checkpoints, load_newest
from deit_core.train.student import Student
from tests.deit_core.rank_processes import train

WALL_CLOCK = {"unix_s", "train_images_per_s", "train_s", "finished_unix_s", "cohort_size"}
TOTAL_STEPS = 20  # 4 epochs of 80 images in batches of 16
Job = Callable[..., Any]
RunFactory = Callable[..., RunDir]


def without_clock(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in WALL_CLOCK}


def assert_same_result(one: RunDir, other: RunDir) -> None:
    """Equal bit for bit: weights, averaged weights, optimiser state, every row, the summary."""
    for file in ("weights_file", "ema_weights_file"):
        left, right = load_file(getattr(one, file)), load_file(getattr(other, file))
        assert left.keys() == right.keys()
        assert all(torch.equal(left[key], right[key]) for key in left)
    cpu = torch.device("cpu")
    left_state, right_state = (load_newest(run.checkpoint_dir, cpu) for run in (one, other))
    assert left_state is not None
    assert right_state is not None
    assert_same_tree(left_state[1]["optimizer"], right_state[1]["optimizer"])
    rows = [[without_clock(row) for row in run.read_metrics()] for run in (one, other)]
    assert rows[0] == rows[1]
    assert len(rows[0]) > 4
    summaries = [run.read_summary() for run in (one, other)]
    assert summaries[0] is not None
    assert summaries[1] is not None
    assert without_clock(summaries[0].model_dump()) == without_clock(summaries[1].model_dump())


def assert_same_tree(left: Any, right: Any) -> None:
    if isinstance(left, torch.Tensor):
        assert torch.equal(left, right)
    elif isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_same_tree(left[key], right[key])
    elif isinstance(left, list | tuple):
        for one, other in zip(left, right, strict=True):
            assert_same_tree(one, other)
    else:
        assert left == right


def after_step(number: int, step: int, rank: int) -> None:
    """Send a signal inside train_step of `step`, after the optimiser, before anything is saved."""
    original = Student.train_step

    def train_step(self: Student, *arguments: Any) -> None:
        original(self, *arguments)
        if self.step == step:
            os.kill(os.getpid(), number)

    Student.train_step = train_step  # type: ignore[method-assign]


def kill_between_saves(step: int, rank: int) -> None:
    """Die when the first student of a cohort has saved `step` and the others have not."""
    original = Student.save

    def save(self: Student, train_s: float) -> None:
        original(self, train_s)
        if self.step == step:
            os.kill(os.getpid(), signal.SIGKILL)

    Student.save = save  # type: ignore[method-assign]


def killed_in_step(step: int, run: RunDir) -> None:
    """Run a job that is killed in a step."""
    train(1, run, patch=partial(after_step, signal.SIGKILL, step), check=-signal.SIGKILL)


@pytest.fixture
def teacher(make_run: RunFactory, job: Job) -> RunDir:
    """A convnet, trained by the same trainer."""
    run = make_run(
        "placeholder",
        model={"name": "resnet10t", "img_size": 8, "in_chans": 1},
        train={"duration": "2ep", "global_batch_size": 16, "threads": 1, "device": "cpu"},
    )
    named = RunDir(run.path.with_name(run.read_trial().trial_id))
    run.path.rename(named.path)
    job(named)
    return named


@pytest.mark.parametrize("save_every_s", [1e-6, 300.0], ids=["each-step", "each-epoch"])
def test_resume_after_kill_at_a_random_step(
    make_run: RunFactory, job: Job, save_every_s: float
) -> None:
    straight = make_run("straight")
    job(straight)
    step = random.randrange(1, TOTAL_STEPS + 1)
    print(f"killed at step {step}")  # noqa: T201 - shown when the test fails
    killed = make_run("killed", train={"checkpoint_every_s": save_every_s})
    killed_in_step(step, killed)
    assert killed.read_status().state == "running"
    job(killed)
    status = killed.read_status()
    assert (status.state, status.attempt, status.step) == ("completed", 2, TOTAL_STEPS)
    assert_same_result(straight, killed)


def test_resume_from_a_damaged_checkpoint(
    make_run: RunFactory, job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    straight = make_run("straight")
    job(straight)
    killed = make_run("killed")
    killed_in_step(13, killed)
    newest = list_checkpoints(killed.checkpoint_dir)[0]
    assert newest.step == 10
    newest.path.write_bytes(newest.path.read_bytes()[:-100])
    job(killed)
    assert "is damaged (its checksum differs); falling back" in caplog.text
    assert_same_result(straight, killed)


def test_a_stop_signal_saves_and_the_next_job_goes_on(make_run: RunFactory, job: Job) -> None:
    straight = make_run("straight")
    job(straight)
    stopped = make_run("stopped")
    train(1, stopped, patch=partial(after_step, signal.SIGTERM, 7), check=85)
    status = stopped.read_status()
    assert (status.state, status.reason) == ("preempted", "stopped by SIGTERM at step 7")
    assert list_checkpoints(stopped.checkpoint_dir)[0].step == 7
    job(stopped)
    assert_same_result(straight, stopped)


@pytest.mark.parametrize("epoch", [2, 4], ids=["in between", "the last one"])
def test_a_stop_signal_cuts_an_evaluation_short(
    make_run: RunFactory, job: Job, monkeypatch: pytest.MonkeyPatch, epoch: int
) -> None:
    """A long pass of val must not outlast the grace period; the next job makes up for it."""
    straight = make_run("straight")
    job(straight)
    stopped = make_run("stopped")
    original = evaluate.ModelScore.add
    passes = 0

    def add(self: evaluate.ModelScore, *arguments: Any) -> None:
        nonlocal passes
        passes += 1
        if passes == 4 * (epoch - 1) + 1:  # 50 images in batches of 16
            os.kill(os.getpid(), signal.SIGTERM)
        original(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(evaluate.ModelScore, "add", add)
        job(stopped, check=85)
    assert passes == 4 * (epoch - 1) + 1
    status = stopped.read_status()
    assert (status.state, status.step) == ("preempted", 5 * epoch)
    assert stopped.read_metrics()[-1]["step"] < 5 * epoch
    job(stopped)
    assert_same_result(straight, stopped)


def test_a_resume_refuses_data_that_changed(make_run: RunFactory, job: Job) -> None:
    run = make_run("run")
    killed_in_step(7, run)
    other = arrays.open_digits("train", in_chans=1)
    other._images[0] = 255 - other._images[0]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sources, "open_digits", lambda split, *, in_chans: other)
        job(run, check=2)
    status = run.read_status()
    assert status.failure == "user_error"
    assert "the data changed after step 5 was saved" in str(status.reason)
    job(run)
    assert run.read_status().state == "completed"


def members(make_run: RunFactory, folder: str, teacher: RunDir) -> dict[str, RunDir]:
    """Students that differ in everything a cohort may differ in; one of them diverges."""
    taught = {"teacher": {"trial": teacher.path.name}}
    return {
        "none": make_run(f"{folder}-none", distill={"kind": "none"}),
        "soft": make_run(f"{folder}-soft", distill={"kind": "soft", "temperature": 3.0}, **taught),
        "diverging": make_run(f"{folder}-diverging", optim={"lr": 1e30, "warmup": "0ep"}),
        "hard": make_run(f"{folder}-hard", distill={"kind": "hard", "alpha": 0.7}, **taught),
        "deep": make_run(f"{folder}-deep", model={"depth": 3}, optim={"clip_grad_norm": 1.0}),
    }


def assert_same_cohort(alone: dict[str, RunDir], together: dict[str, RunDir]) -> None:
    for name, run in together.items():
        left, right = alone[name].read_status(), run.read_status()
        assert (left.state, left.reason, left.failure) == (right.state, right.reason, right.failure)
        if name == "diverging":
            assert right.state == "failed"
            assert right.failure == "diverged"
            assert right.reason is not None
            assert "the training loss became" in right.reason
        else:
            assert right.state == "completed"
            assert_same_result(alone[name], run)


def test_a_cohort_is_bit_equal_to_separate_runs(
    make_run: RunFactory, job: Job, teacher: RunDir
) -> None:
    alone = members(make_run, "alone", teacher)
    for name, run in alone.items():
        job(run, check=3 if name == "diverging" else 0)
    together = members(make_run, "together", teacher)
    job(*together.values(), check=3)
    assert_same_cohort(alone, together)
    summary = together["hard"].read_summary()
    assert summary is not None
    assert summary.cohort_size == 5
    assert summary.teacher_val_top1 is not None
    # A cohort whose members were saved at different steps goes on from each one's own step.
    killed = members(make_run, "killed", teacher)
    train(1, *killed.values(), patch=partial(kill_between_saves, 10), check=-signal.SIGKILL)
    steps = {list_checkpoints(run.checkpoint_dir)[0].step for run in killed.values()
             if list_checkpoints(run.checkpoint_dir)}  # fmt: skip
    assert steps == {5, 10}
    job(*killed.values(), check=3)
    assert_same_cohort(alone, killed)


def test_trials_that_do_not_share_a_stream_are_refused(make_run: RunFactory, job: Job) -> None:
    done = job(make_run("one"), make_run("two", seed=1), check=2)
    assert done.stderr.startswith("error: one and two cannot share a job: their data,")


def test_the_checkpoint_folder_of_another_trial_is_refused(make_run: RunFactory, job: Job) -> None:
    one, two = make_run("one"), make_run("two", seed=1)
    job(one)
    one.checkpoint_dir.rename(two.checkpoint_dir)
    job(two, check=2)
    status = two.read_status()
    assert status.failure == "user_error"
    assert status.reason is not None
    assert "belongs to trial" in status.reason
