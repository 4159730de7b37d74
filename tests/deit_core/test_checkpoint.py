"""Checkpoints: two kept, damage recognised, a full disk leaves the previous one valid."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
import torch

from deit_core.errors import CheckpointError
from deit_core.train.checkpoint import (
    list_checkpoints,
    load_newest,
    remove_leftovers,
    save_checkpoint,
)

CPU = torch.device("cpu")


def state(step: int) -> dict[str, object]:
    return {"weight": torch.full((100,), float(step)), "train_s": 1.5, "unreadable": ["a.jpg"]}


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, state(step))
    assert [file.step for file in list_checkpoints(tmp_path)] == [3, 2]
    found = load_newest(tmp_path, CPU)
    assert found is not None
    assert found[0] == 3
    assert torch.equal(found[1]["weight"], torch.full((100,), 3.0))


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_one_falls_back_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    save_checkpoint(tmp_path, 1, state(1))
    newest = save_checkpoint(tmp_path, 2, state(2))
    payload = bytearray(newest.read_bytes())
    if damage == "flipped":
        payload[len(payload) // 2] ^= 1
    newest.write_bytes(
        {"cut": payload[: len(payload) // 2], "flipped": payload, "empty": b""}[damage]
    )
    with caplog.at_level(logging.WARNING):
        found = load_newest(tmp_path, CPU)
    assert found is not None
    assert found[0] == 1
    assert f"{newest} is damaged" in caplog.text


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, state(1))
    save_checkpoint(tmp_path, 2, state(2))
    save_checkpoint(tmp_path, 2, state(7))
    assert [file.step for file in list_checkpoints(tmp_path)] == [2, 1]


def test_nothing_is_found_in_an_empty_folder(tmp_path: Path) -> None:
    assert load_newest(tmp_path / "none", CPU) is None
    (tmp_path / ".step_000000001-0.pt.12.tmp").write_bytes(b"left over by a crash")
    assert load_newest(tmp_path, CPU) is None


def test_a_full_disk_leaves_the_previous_checkpoint(small_disk: Path) -> None:
    save_checkpoint(small_disk, 1, {"weight": torch.zeros(100_000)})
    with pytest.raises(CheckpointError, match="No space left on device") as caught:
        save_checkpoint(small_disk, 2, {"weight": torch.zeros(200_000)})
    message = str(caught.value)
    assert "the checkpoint of step 1 is intact" in message
    assert "0.8 MiB needed" in message
    assert "\n" not in message
    found = load_newest(small_disk, CPU)
    assert found is not None
    assert found[0] == 1
    assert len(list(small_disk.iterdir())) == 1


def test_a_full_disk_where_nothing_can_be_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, 1, state(1))

    def no_space(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(CheckpointError, match="the checkpoint of step 1 is intact"):
        save_checkpoint(tmp_path, 2, state(2))
    assert [file.step for file in list_checkpoints(tmp_path)] == [1]


def test_code_is_never_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (os.system, ("touch trapped",))

    save_checkpoint(tmp_path, 1, {"weight": Trap()})
    with pytest.raises(Exception, match="Weights only load failed"):
        load_newest(tmp_path, CPU)


def test_damaged_newer_files_give_way_to_what_a_resume_saves(tmp_path: Path) -> None:
    for step in (90, 100):
        path = save_checkpoint(tmp_path, step, state(step))
        path.write_bytes(b"damaged")
    save_checkpoint(tmp_path, 10, state(10))
    assert [file.step for file in list_checkpoints(tmp_path)] == [10]
    save_checkpoint(tmp_path, 20, state(20))
    assert [file.step for file in list_checkpoints(tmp_path)] == [20, 10]


def test_what_a_kill_left_behind_is_removed(tmp_path: Path) -> None:
    kept = save_checkpoint(tmp_path, 1, state(1))
    (tmp_path / f".{kept.name}.4711.0a1b2c3d").write_bytes(b"half")
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [kept]
