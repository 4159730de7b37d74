"""Promise 3: the number of processes does not change the samples, and changes sums only in their
last digits. Real processes over gloo, started by torchrun on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from deit_core.config import parse_run_config
from deit_core.data.loader import train_batches
from deit_core.data.mixing import mixes
from deit_core.data.shard import Shard
from deit_core.data.sources import open_source
from deit_core.errors import DataError, UserError
from deit_core.identity import resolve
from deit_core.run_dir import RunDir
from deit_core.train.dist import ALONE, ranks_of
from tests.deit_core.conftest import micro_values

RunFactory = Callable[..., RunDir]

STEPS = 30
LONG: dict[str, dict[str, Any]] = {
    "train": {"duration": f"{STEPS}step"},
    "eval": {"every": "10step", "batch_size": 7},
    "logging": {"every_steps": 1},
}


def torchrun(ranks: int, *runs: RunDir, check: int = 0) -> subprocess.CompletedProcess[str]:
    """Train run directories in some processes; one alone needs no torchrun."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    launcher += [f"--nproc-per-node={ranks}", "-m"] if ranks > 1 else []
    command = launcher if ranks > 1 else [sys.executable, "-m"]
    done = subprocess.run(
        [*command, "deit_core", *(str(run.path) for run in runs)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert (done.returncode == 0) == (check == 0), done.stdout + done.stderr
    return done


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
        done = torchrun(ranks, *cohort)
        assert done.stdout.count("completed at step") == len(cohort)  # only one rank speaks
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
    train = {**LONG["train"], "micro_batch_size": micro}
    parts = make_run("parts", **{**LONG, "train": train}, **distilled(teacher_file))
    job(whole)
    job(parts)
    assert_same_training(whole, parts)


def test_ranks_that_accumulate_train_as_one(make_run: RunFactory, job: Callable[..., Any]) -> None:
    whole = make_run("whole", **LONG)
    train = {**LONG["train"], "micro_batch_size": 3}
    parts = make_run("parts", **{**LONG, "train": train})
    job(whole)
    torchrun(2, parts)
    assert_same_training(whole, parts)


def test_a_stop_of_one_rank_stops_all_and_the_run_goes_on_as_if_nothing_was(
    make_run: RunFactory, tmp_path: Path
) -> None:
    """Stopped with two ranks after step 12, resumed with two: bit-equal to never stopped."""
    whole, stopped = make_run("whole", **LONG), make_run("stopped", **LONG)
    torchrun(2, whole)
    script = tmp_path / "stopping.py"
    script.write_text(
        "import os, signal, sys\n"
        "from deit_core.train.student import Student\n"
        "step = Student.train_step\n"
        "def train_step(self, *arguments):\n"
        "    step(self, *arguments)\n"
        "    if self.step == 12 and os.environ['RANK'] == '1':\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "Student.train_step = train_step\n"
        "from deit_core.__main__ import main\n"
        "sys.exit(main())\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*command, "--nproc-per-node=2", str(script), str(stopped.path)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert "exitcode  : 85" in done.stderr
    status = stopped.read_status()
    assert (status.state, status.step) == ("preempted", 12)
    torchrun(2, stopped)
    left, right = load_file(whole.weights_file), load_file(stopped.weights_file)
    assert all(torch.equal(left[key], right[key]) for key in left)
    assert losses(whole) == losses(stopped)


def test_a_job_may_go_on_with_another_number_of_ranks(make_run: RunFactory) -> None:
    whole, moved = make_run("whole", **LONG), make_run("moved", **LONG)
    torchrun(1, whole)
    stop_after = (
        "import os, signal, sys\n"
        "from deit_core.train.student import Student\n"
        "step = Student.train_step\n"
        "def train_step(self, *arguments):\n"
        "    step(self, *arguments)\n"
        "    if self.step == 7:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "Student.train_step = train_step\n"
        "from deit_core.__main__ import main\n"
        f"sys.argv = ['deit_core', {str(moved.path)!r}]\n"
        "sys.exit(main())\n"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    first = subprocess.run([sys.executable, "-c", stop_after], check=False, env=environment)
    assert first.returncode == 85
    torchrun(2, moved)
    assert_same_training(whole, moved)


def test_a_mistake_is_told_once_and_ends_all_ranks(make_run: RunFactory) -> None:
    run = make_run("run", train={"global_batch_size": 18}, data={"train_images": 80})
    done = torchrun(4, run, check=2)
    message = "a batch of 18 cannot be divided in pairs among 4 processes"
    assert message in done.stderr
    status = run.read_status()
    assert (status.state, status.failure) == ("failed", "user_error")
    assert message in str(status.reason)


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
