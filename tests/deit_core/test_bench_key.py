"""Runs with equal throughput keys are equally fast by construction."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from deit_core.config import RunConfig, parse_run_config
from deit_core.throughput_key import throughput_key
from tests.deit_core.conftest import micro_values

TAUGHT: dict[str, Any] = {
    "distill": {"kind": "soft", "temperature": 3.0},
    "teacher": {"trial": "0123456789ab"},
}


def config(**sections: Any) -> RunConfig:
    return parse_run_config(micro_values(**sections))


@pytest.mark.parametrize(
    "sections",
    [
        {"seed": 7},
        {"train": {"global_batch_size": 32}},
        {"train": {"micro_batch_size": 4}},
        {"train": {"duration": "9ep"}},
        {"train": {"ema_decay": 0.99}},
        {"optim": {"lr": 1.0, "weight_decay": 0.3}},
        {"model": {"drop_rate": 0.3, "drop_path_rate": 0.4, "init": "trunc_normal"}},
        {"augment": {"strength": 2.0}},
        {"data": {"workers": 3}},
        {"distill": {"alpha": 0.1}},  # without a teacher that has no effect
        {"teacher": {"trial": "0123456789ab"}},
    ],
    ids=str,
)
def test_what_does_not_change_the_work_does_not_change_the_key(sections: Any) -> None:
    assert throughput_key(config(**sections)) == throughput_key(config())


@pytest.mark.parametrize(
    "sections",
    [
        {"model": {"embed_dim": 32}},
        {"model": {"img_size": 16}},
        {"model": {"num_classes": 10, "patch_size": 2}},
        {"model": {"drop_rate": 0.0}},
        {"model": {"drop_path_rate": 0.0}},
        {"model": {"name": "resnet10t", "img_size": 8, "in_chans": 1}},
        {"train": {"precision": "bf16"}},
        {"train": {"compile": True}},
        {"train": {"ema_decay": None}},
        {"train": {"threads": 2}},
        {"train": {"loss": "bce"}},
        {"optim": {"name": "sgd", "lr": 0.1}},
        {"optim": {"clip_grad_norm": 1.0}},
        TAUGHT,
    ],
    ids=str,
)
def test_what_changes_the_work_changes_the_key(sections: Any) -> None:
    assert throughput_key(config(**sections)) != throughput_key(config())


def test_the_kind_of_distillation_counts_but_not_its_weights() -> None:
    soft = throughput_key(config(**TAUGHT))
    weights = {"kind": "soft", "temperature": 1.0, "alpha": 0.9}
    assert throughput_key(config(**TAUGHT | {"distill": weights})) == soft
    assert throughput_key(config(**TAUGHT | {"distill": {"kind": "hard"}})) != soft


def test_teachers_of_one_architecture_are_one_where_their_configs_are_known() -> None:
    one, other = (config(**TAUGHT | {"teacher": {"trial": name * 12}}) for name in "ab")
    assert throughput_key(one) != throughput_key(other)
    trained, reseeded = config(), config(seed=3)
    assert throughput_key(one, trained) == throughput_key(other, reseeded)
    assert throughput_key(one, trained) != throughput_key(other, config(model={"depth": 3}))
    files = [
        config(**TAUGHT | {"teacher": {"name": "resnet18", "checkpoint": f"{name}.pth"}})
        for name in "ab"
    ]
    assert throughput_key(files[0]) == throughput_key(files[1])


def test_data_counts_where_it_is_measured() -> None:
    strong = config(augment={"strength": 2.0})
    assert throughput_key(strong, with_data=True) != throughput_key(config(), with_data=True)
    assert throughput_key(config(), with_data=True) != throughput_key(config())


def test_classes_that_only_the_data_knows_are_those_of_its_folder() -> None:
    folders = [
        config(data={"source": "image_folder", "root": f"/data/{name}", "train_images": None,
                     "val_images": None})
        for name in ("a", "b")
    ]  # fmt: skip
    assert throughput_key(folders[0]) != throughput_key(folders[1])


def test_it_needs_no_torch() -> None:
    modules = "deit_core.throughput_key, deit_core.throughput_records"
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
