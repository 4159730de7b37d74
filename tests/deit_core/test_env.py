"""Which device a process takes, and whether its cores suffice."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from deit_core.config import TrainConfig, parse_run_config
from deit_core.errors import ConfigError
from deit_core.train.env import choose_device, shortage_of_cores
from tests.deit_core.conftest import micro_values


def config(device: str = "auto") -> TrainConfig:
    return parse_run_config(micro_values(train={"device": device})).train


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A machine with two GPUs, as far as torch is asked; returns what was made current."""
    chosen: list[Any] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    return chosen


def test_each_process_of_a_machine_takes_a_gpu_of_its_own(two_gpus: list[Any]) -> None:
    assert [choose_device(config(), rank).index for rank in (0, 1)] == two_gpus == [0, 1]
    with pytest.raises(ConfigError, match="process 2 of this machine needs a GPU of its own"):
        choose_device(config(), 2)
    assert choose_device(config("cpu"), 2).type == "cpu"


def test_a_gpu_bound_by_the_scheduler_is_the_first(
    two_gpus: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("DEIT_GPU_BOUND", "1")
    assert [choose_device(config(), rank).index for rank in (0, 3)] == two_gpus == [0, 0]


@pytest.mark.parametrize(
    ("threads", "workers", "granted", "said"),
    [
        (1, None, 1, None),
        (10, 10, 10, None),
        (10, None, 1, "granted cores: 1, for 10 threads of each process"),
        (1, 8, 2, "granted cores: 2, for 1 threads and 8 loader processes of each process"),
    ],
)
def test_too_few_cores_are_said(
    threads: int, workers: int | None, granted: int, said: str | None
) -> None:
    shortage = shortage_of_cores(threads, workers, granted)
    assert shortage is None if said is None else str(shortage).startswith(said)
