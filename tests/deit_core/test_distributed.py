"""Promise 3: the number of processes does not change the samples, and changes sums only in their
last digits. Real processes over gloo on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from deit_core.config import parse_run_config
from deit_core.data.loader import train_batches
from deit_core.data.mixing import mixes
from deit_core.data.shard import Shard
from deit_core.data.sources import open_source
from deit_core.errors import DataError, UserError
from deit_core.identity import resolve
from deit_core.run_dir import RunDir
from deit_core.train import build, build_learner
from deit_core.train.dist import ALONE, ranks_of
from deit_core.train.student import Student
from tests.deit_core.conftest import micro_values
from tests.deit_core.rank_processes import train

RunFactory = Callable[..., RunDir]

STEPS = 30
LONG: dict[str, dict[str, Any]] = {
    "train": {"duration": f"{STEPS}step"},
    "eval": {"every": "10step", "batch_size": 7},
    "logging": {"every_steps": 1},
}


def torchrun(ranks: int, *runs: RunDir) -> subprocess.CompletedProcess[str]:
    """Train run directories as a user would."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.run(
        [*command, f"--nproc-per-node={ranks}", "-m", "deit_core", *(str(r.path) for r in runs)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )


def losses(run: RunDir) -> list[float]:
    return [row["train_loss"] for row in run.read_metrics() if row["kind"] == "train"]


def evaluations(run: RunDir) -> list[dict[str, Any]]:
    return [row for row in run.read_metrics() if row["kind"] == "eval"]


def assert_same_training(one: RunDir, other: RunDir) -> None:
    assert len(losses(one)) == len(losses(other)) == STEPS
    assert losses(other) == pytest.approx(losses(one), rel=1e-5)
    for left, right in zip(evaluations(one), evaluations(other), strict=True):
        assert right["val_images"] == left["val_images"] == 50
        for key in ("val_loss", "val_loss_cls", "val_ema_loss"):
            assert right[key] == pytest.approx(left[key], rel=1e-4)


@pytest.fixture(scope="module")
def teacher_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher's weights: those of an untrained plain model will do."""
    from deit_core.models import create_model, save_weights

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    sizes = {"patch_size": 4, "in_chans": 1, "embed_dim": 16, "depth": 2, "num_heads": 2}
    model = create_model("deit_tiny_patch16_224", num_classes=10, img_size=8, **sizes)
    save_weights(model, path)
    return path


def distilled(teacher_file: Path) -> dict[str, Any]:
    sizes = {"patch_size": 4, "in_chans": 1, "embed_dim": 16, "depth": 2, "num_heads": 2}
    teacher = {
        "name": "deit_tiny_patch16_224",
        "checkpoint": str(teacher_file),
        "kwargs": {**sizes, "img_size": 8},
    }
    return {"distill": {"kind": "soft", "temperature": 2.0}, "teacher": teacher}


def test_two_and_four_ranks_train_as_one(make_run: RunFactory, teacher_file: Path) -> None:
    """Dropout, stochastic depth, mixing, erasing, a teacher, EMA and a cohort of two are on."""
    runs = {
        ranks: (
            make_run(f"{ranks}/soft", **LONG, **distilled(teacher_file)),
            make_run(f"{ranks}/none", **LONG),
        )
        for ranks in (1, 2, 4)
    }
    for ranks, cohort in runs.items():
        done = train(ranks, *cohort)
        assert done.output.count("completed at step") == len(cohort)  # only one rank speaks
        for run in cohort:
            summary = run.read_summary()
            assert summary is not None
            assert summary.world_size == ranks
    for ranks in (2, 4):
        for one, other in zip(runs[1], runs[ranks], strict=True):
            assert_same_training(one, other)


@pytest.mark.parametrize("micro", [3, 8], ids=["uneven", "halves"])
def test_accumulated_gradients_are_those_of_the_large_batch(
    make_run: RunFactory, job: Callable[..., Any], teacher_file: Path, micro: int
) -> None:
    whole = make_run("whole", **LONG, **distilled(teacher_file))
    in_parts = {**LONG["train"], "micro_batch_size": micro}
    parts = make_run("parts", **{**LONG, "train": in_parts}, **distilled(teacher_file))
    job(whole)
    job(parts)
    assert_same_training(whole, parts)


def test_ranks_that_accumulate_train_as_one(make_run: RunFactory, job: Callable[..., Any]) -> None:
    whole = make_run("whole", **LONG)
    micro = {**LONG["train"], "micro_batch_size": 3}
    parts = make_run("parts", **{**LONG, "train": micro})
    job(whole)
    train(2, parts)
    assert_same_training(whole, parts)


def stop_in_rank_1(rank: int) -> None:
    """SIGTERM to one process after 12 steps."""
    step = Student.train_step

    def train_step(self: Student, *arguments: Any) -> None:
        step(self, *arguments)
        if self.step == 12 and rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    Student.train_step = train_step  # type: ignore[method-assign]


def test_a_stop_of_one_rank_stops_all_and_the_run_goes_on_as_if_nothing_was(
    make_run: RunFactory,
) -> None:
    """Stopped with two ranks after step 12, resumed with two: bit-equal to never stopped."""
    whole, stopped = make_run("whole", **LONG), make_run("stopped", **LONG)
    train(2, whole)
    assert train(2, stopped, patch=stop_in_rank_1, check=None).codes == [85, 85]
    status = stopped.read_status()
    assert (status.state, status.step) == ("preempted", 12)
    train(2, stopped)
    left, right = load_file(whole.weights_file), load_file(stopped.weights_file)
    assert all(torch.equal(left[key], right[key]) for key in left)
    assert losses(whole) == losses(stopped)


def test_a_job_may_go_on_with_another_number_of_ranks(
    make_run: RunFactory, job: Callable[..., Any]
) -> None:
    whole, moved = make_run("whole", **LONG), make_run("moved", **LONG)
    job(whole)
    train(2, moved, patch=stop_in_rank_1, check=None)
    assert moved.read_status().state == "preempted"
    job(moved)
    assert_same_training(whole, moved)


def test_torchrun_starts_the_ranks_and_ends_them_all_for_a_mistake(make_run: RunFactory) -> None:
    good = make_run("good", train={"duration": "2step"})
    assert torchrun(2, good).returncode == 0
    assert good.read_status().state == "completed"
    run = make_run("run", train={"global_batch_size": 18})
    done = torchrun(2, run)
    message = "a batch of 18 cannot be divided in pairs among 2 processes"
    assert message in done.stderr
    status = run.read_status()
    assert (status.state, status.failure) == ("failed", "user_error")
    assert message in str(status.reason)


def test_a_mistake_that_all_ranks_see_is_told_once(make_run: RunFactory) -> None:
    run = make_run("run", data={"source": "image_folder", "root": "/nowhere"})
    done = train(2, run, check=None)
    assert done.codes == [2, 2]
    assert done.output.count("error") == 1
    assert "data.root /nowhere does not exist" in str(run.read_status().reason)


def hide_data_from_rank_1(rank: int) -> None:
    """As where one machine has not mounted the data."""

    def missing(*_: Any, **__: Any) -> None:
        raise DataError("data.root is not here")

    if rank == 1:
        build.open_source = missing  # type: ignore[assignment]


def test_a_mistake_that_one_rank_sees_is_named_with_the_rank(make_run: RunFactory) -> None:
    run = make_run("run")
    assert train(2, run, patch=hide_data_from_rank_1, check=None).codes == [2, 2]
    status = run.read_status()
    assert status.failure == "user_error"
    assert status.reason == "process 1 of the job cannot go on: data.root is not here"


def break_first_model_in_rank_1(rank: int) -> None:
    """What running out of GPU memory looks like."""
    made = []
    original = build_learner.build_model

    def build_model(*arguments: Any, **named: Any) -> Any:
        made.append(None)
        if len(made) == 1 and rank == 1:
            raise RuntimeError("out of memory")
        return original(*arguments, **named)

    build_learner.build_model = build_model


def test_a_student_that_one_rank_cannot_build_is_left_out_by_all(make_run: RunFactory) -> None:
    broken, whole = make_run("broken", **LONG), make_run("whole", optim={"lr": 2e-3}, **LONG)
    done = train(2, broken, whole, patch=break_first_model_in_rank_1, check=None)
    assert done.codes == [1, 1]
    assert whole.read_status().state == "completed"
    status = broken.read_status()
    assert (status.state, status.failure) == ("failed", "crashed")
    assert status.reason == "in process 1: RuntimeError: out of memory"


def kill_rank_1(rank: int) -> None:
    """Kill -9 one process after 7 steps."""
    step = Student.train_step

    def train_step(self: Student, *arguments: Any) -> None:
        step(self, *arguments)
        if self.step == 7 and rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    Student.train_step = train_step  # type: ignore[method-assign]


def test_a_lost_process_is_said_in_one_line_with_the_step_reached(make_run: RunFactory) -> None:
    run = make_run("run", **LONG)
    done = train(2, run, patch=kill_rank_1, check=None)
    assert done.codes == [1, -signal.SIGKILL]
    assert "Traceback" not in done.output
    status = run.read_status()
    assert (status.state, status.failure) == ("failed", "crashed")
    assert "another process of this job ended" in str(status.reason)
    assert status.step >= 6


def test_a_directory_in_use_is_refused_by_all_ranks(make_run: RunFactory) -> None:
    run = make_run("run", **LONG)
    with run.lock():
        done = train(2, run, check=None)
    assert done.codes == [2, 2]
    assert done.output.count("is in use") == 1


def folder_with_broken_images(root: Path) -> None:
    """Two classes; the last 8 of 32 val images and 20 of 60 training images are broken."""
    rng = np.random.default_rng(0)
    for split, count, broken in (("train", 60, 20), ("val", 32, 8)):
        for number in range(count):
            folder = root / split / ("a" if number < count // 2 else "b")
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{number:03d}.png"
            if number < count - broken:
                Image.fromarray(rng.integers(0, 255, (8, 8), dtype=np.uint8)).save(path)
            else:
                path.write_bytes(b"broken")


def test_broken_images_are_counted_once_whoever_meets_them(
    make_run: RunFactory, tmp_path: Path, job: Callable[..., Any]
) -> None:
    """Val in two batches, of which one rank's is all broken; killed and resumed on the way."""
    folder_with_broken_images(tmp_path / "data")
    sections = {
        "data": {"source": "image_folder", "root": str(tmp_path / "data"), "workers": 0,
                 "train_images": None, "val_images": None},
        "train": {"duration": "6ep", "global_batch_size": 12, "checkpoint_every_epochs": 1},
        "eval": {"batch_size": 24, "every": "6ep"},
    }  # fmt: skip
    alone, two = make_run("alone", **sections), make_run("two", **sections)
    job(alone)
    train(2, two, patch=kill_rank_1, check=None)
    train(2, two)
    one, other = alone.read_summary(), two.read_summary()
    assert one is not None
    assert other is not None
    assert other.val_images == one.val_images == 24
    assert other.unreadable_images == one.unreadable_images == 28


def test_what_is_evaluated_is_what_is_saved(make_run: RunFactory, job: Callable[..., Any]) -> None:
    """Processes have running statistics of their own; the first one's are evaluated and kept."""
    model = {"name": "resnet10t", "img_size": 8, "in_chans": 1}
    run = make_run("two", model=model, train={"duration": "6step"})
    train(2, run)
    again = make_run(
        "again",
        model=model,
        finetune={"checkpoint": str(run.weights_file), "eval_mode": True},
        optim={"lr": 1e-30, "warmup": "0ep", "weight_decay": 0.0, "min_lr": 0.0},
        train={"duration": "1step", "ema_decay": None},
    )
    job(again)
    recorded, measured = evaluations(run)[-1]["val_loss"], evaluations(again)[-1]["val_loss"]
    assert measured == pytest.approx(recorded, rel=1e-6)


@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
def test_the_ranks_batches_are_the_rows_of_the_whole(world: int, mode: str) -> None:
    """Bit for bit: images, targets and labels, after augmentation, erasing and mixing."""
    values = micro_values(
        augment={"strength": 1.0, "mix_mode": mode, "repeats": 2},
        model={"img_size": 8},
    )
    config = resolve(parse_run_config(values))
    source = open_source(config.data, in_chans=1, split="train")

    def batches(shard: Shard) -> list[Any]:
        return list(
            train_batches(
                source,
                config,
                num_classes=10,
                first_step=3,
                last_step=7,
                device=torch.device("cpu"),
                shard=shard,
            )
        )

    whole = batches(Shard())
    for rank in range(world):
        for part, full in zip(batches(Shard(rank, world)), whole, strict=True):
            for name in ("images", "targets", "labels"):
                assert torch.equal(getattr(part, name), getattr(full, name)[part.rows])


def test_every_row_belongs_to_one_rank_and_pairs_stay_together() -> None:
    for world in (1, 2, 3, 4):
        rows = [Shard(rank, world).rows(24, paired=True) for rank in range(world)]
        assert sorted(int(row) for part in rows for row in part) == list(range(24))
        for part in rows:
            assert all(part + part[::-1] == 23)
    with pytest.raises(DataError, match="multiple of 8"):
        Shard(0, 4).rows(20, paired=True)
    assert Shard(1, 4).rows(20, paired=False).tolist() == [5, 6, 7, 8, 9]


def test_an_environment_that_contradicts_itself_is_refused() -> None:
    assert ranks_of({}) is ALONE
    assert ranks_of({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}).shard == Shard(1, 2)
    with pytest.raises(UserError, match="LOCAL_RANK=None"):
        ranks_of({"RANK": "1", "WORLD_SIZE": "2"})
    with pytest.raises(UserError, match="not below"):
        ranks_of({"RANK": "2", "WORLD_SIZE": "2", "LOCAL_RANK": "0"})


def test_mixing_is_known_before_any_batch() -> None:
    assert mixes(resolve(parse_run_config(micro_values())).augment)
    unmixed = micro_values(augment={"mix_probability": 0.0})
    assert not mixes(resolve(parse_run_config(unmixed)).augment)
