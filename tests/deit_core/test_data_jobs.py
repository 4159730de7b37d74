"""A job trains on data from disk, and refuses in one line what it cannot train on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from source_files import MAKERS, save_picture

from deit_core.run_dir import RunDir

Job = Callable[..., Any]
RunFactory = Callable[..., RunDir]

SHORT = {"duration": "2step", "global_batch_size": 4, "ema_decay": None}


def run_on(make_run: RunFactory, name: str, root: Path, **train: Any) -> RunDir:
    data = MAKERS[name](root).model_dump(mode="json", exclude={"mean", "std"})
    return make_run(
        "run",
        data={**data, "train_images": None, "val_images": None},
        model={"in_chans": 3},
        train={**SHORT, **train},
        optim={"warmup": "0ep"},
    )


@pytest.mark.usefixtures("own_hub_cache")
@pytest.mark.parametrize(
    ("name", "classes"),
    [("cifar10", 10), ("huggingface, parquet", 2), ("inaturalist_2018", 3)],
)
def test_a_job_trains_on_files(
    make_run: RunFactory, job: Job, tmp_path: Path, name: str, classes: int
) -> None:
    run = run_on(make_run, name, tmp_path / "data")
    job(run)
    summary = run.read_summary()
    assert summary is not None
    assert (summary.steps, summary.train_images, summary.val_images) == (2, 7, 4)
    assert summary.num_classes == classes
    assert summary.unreadable_images == 0


def test_a_batch_larger_than_the_data_is_refused(
    make_run: RunFactory, job: Job, tmp_path: Path
) -> None:
    run = run_on(make_run, "cifar10", tmp_path / "data", global_batch_size=8)
    told = job(run, check=2).stderr
    assert "error: a batch of 8 cannot be filled from 7 training images" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("classes", "message"),
    [(("a",), "has 1 class; a classifier needs at least two"), (("a", "b"), "holds no image")],
)
def test_one_class_and_an_empty_class_are_refused(
    make_run: RunFactory, job: Job, tmp_path: Path, classes: tuple[str, ...], message: str
) -> None:
    root = tmp_path / "data"
    for split in ("train", "val"):
        for name in classes:
            (root / split / name).mkdir(parents=True)
        for number in range(5):
            save_picture(root / split / "a" / f"{number}.png", number)
    data = {"source": "image_folder", "root": str(root), "train_images": None, "val_images": None}
    run = make_run("run", data=data, model={"in_chans": 3}, train=SHORT)
    told = job(run, check=2).stderr
    assert message in told
    assert "Traceback" not in told
