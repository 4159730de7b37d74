"""Every part of the recipe through a whole run: it trains, and it changes what is trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from deit_core.run_dir import RunDir

PARTS: dict[str, dict[str, Any]] = {
    "schedule": {"optim": {"schedule": "deit"}},
    "sgd": {"optim": {"name": "sgd", "weight_decay": 1e-4}},
    "bce": {"train": {"loss": "bce"}},
    "repeats": {"augment": {"repeats": 3}},
    "order": {"data": {"order": "reference"}},
    "pair": {"augment": {"mix_mode": "pair"}},
    "elem": {"augment": {"mix_mode": "elem"}},
    "range": {"augment": {"cutmix_minmax": [0.2, 0.8]}},
    "auto_augment": {"augment": {"policy": "auto_augment"}},
    "three_augment": {"augment": {"policy": "three_augment"}},
    "simple_random": {"augment": {"crop": "simple_random"}},
    "jitter": {"augment": {"color_jitter": 0.4}},
}


def losses(run: RunDir) -> list[float]:
    return [row["train_loss"] for row in run.read_metrics() if row["kind"] == "train"]


@pytest.fixture
def train(
    make_run: Callable[..., RunDir], job: Callable[..., object]
) -> Callable[..., list[float]]:
    def run(name: str, **sections: Any) -> list[float]:
        made = make_run(name, logging={"every_steps": 1, "tensorboard": False}, **sections)
        job(made)
        return losses(made)

    return run


@pytest.mark.parametrize("part", PARTS)
def test_each_part_trains_and_changes_the_run(part: str, train: Callable[..., list[float]]) -> None:
    short = {"duration": "2ep"}
    sections = {**PARTS[part], "train": {**short, **PARTS[part].get("train", {})}}
    plain, changed = train("plain", train=short), train("changed", **sections)
    assert len(changed) == len(plain)
    assert all(0 < loss < 10 for loss in changed)
    assert changed != plain


def test_the_whole_recipe_learns(train: Callable[..., list[float]]) -> None:
    recipe: dict[str, Any] = {
        "data": {"order": "reference"},
        "augment": {"repeats": 3, "mix_mode": "pair", "policy": "three_augment"},
        "optim": {"schedule": "deit", "lr": 3e-3, "warmup_lr": 1e-3},
        "train": {"duration": "30ep", "loss": "bce"},
    }
    trained = train("recipe", **recipe)
    assert sum(trained[-10:]) < 0.8 * sum(trained[:10])
