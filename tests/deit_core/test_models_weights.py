"""Weights in files: ours, the reference's, timm's; and files that are not what they should be."""

from __future__ import annotations

import argparse
import os
import pickle
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from deit_core.errors import CheckpointError, RunDirError
from deit_core.models import (
    VisionTransformer,
    create_model,
    load_weights,
    read_weights,
    save_weights,
)

NAMES = ["deit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "cait_xxs24_224"]
SMALL = {"img_size": 8, "patch_size": 4, "in_chans": 1, "embed_dim": 16, "depth": 2, "num_heads": 2}


def small(classes: int = 5) -> VisionTransformer:
    return create_model(NAMES[1], num_classes=classes, **SMALL)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def spread_out(model: nn.Module) -> None:
    """Weights large enough that a misplaced one moves the logits."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))


# both ways between timm and us ------------------------------------------------------------------


BOTH_WAYS = [*((name, SMALL) for name in NAMES), (NAMES[1], {}), (NAMES[2], {"depth": 3})]


@pytest.mark.parametrize(("name", "sizes"), BOTH_WAYS)
def test_files_of_timm_load_strictly_and_give_timms_logits(
    name: str, sizes: dict[str, int], tmp_path: Path
) -> None:
    from deit_core.models.timm_import import timm

    theirs, ours = timm.create_model(name, **sizes).eval(), create_model(name, **sizes).eval()
    spread_out(theirs)
    save_file(theirs.state_dict(), tmp_path / "timm.safetensors")
    load_weights(ours, tmp_path / "timm.safetensors")
    same_logits(ours, theirs, sizes)


@pytest.mark.parametrize(("name", "sizes"), BOTH_WAYS)
def test_our_files_load_strictly_into_timm_and_give_our_logits(
    name: str, sizes: dict[str, int], tmp_path: Path
) -> None:
    from deit_core.models.timm_import import timm

    theirs, ours = timm.create_model(name, **sizes).eval(), create_model(name, **sizes).eval()
    spread_out(ours)
    save_weights(ours, tmp_path / "ours.safetensors")
    theirs.load_state_dict(read_weights(tmp_path / "ours.safetensors"), strict=True)
    same_logits(ours, theirs, sizes)


def same_logits(ours: nn.Module, theirs: nn.Module, sizes: dict[str, int]) -> None:
    side = sizes.get("img_size", 224)
    images = torch.randn(2, sizes.get("in_chans", 3), side, side)
    with torch.no_grad():
        expected = theirs(images)
        assert float(expected.std()) > 0.1
        torch.testing.assert_close(ours(images), expected, atol=2e-5, rtol=1e-4)


# formats ----------------------------------------------------------------------------------------


def prefixed(state: dict[str, Tensor], prefix: str = "module.") -> dict[str, Any]:
    return {f"{prefix}{key}": value for key, value in state.items()}


def test_saved_weights_come_back(tmp_path: Path) -> None:
    model, other = small(), small()
    assert not same(model.state_dict(), other.state_dict())
    save_weights(model, tmp_path / "new" / "model.safetensors")
    load_weights(other, tmp_path / "new" / "model.safetensors")
    assert same(model.state_dict(), other.state_dict())
    assert os.listdir(tmp_path / "new") == ["model.safetensors"]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"model": state},
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": prefixed(state)},
        lambda state: {"model": prefixed(state) | {"epoch": 3, "extra": torch.ones(2)}},
        lambda state: prefixed(state, "_orig_mod."),
        lambda state: prefixed(prefixed(state, "_orig_mod."), "module."),
        lambda state: {"model": state, "epoch": 299, "args": argparse.Namespace(lr=5e-4)},
    ],
    ids=[
        "bare",
        "model",
        "state_dict",
        "module-prefix",
        "module-prefix-beside-others",
        "compiled",
        "parallel-compiled",
        "the-references-training-checkpoint",
    ],
)
def test_published_layouts_load(wrap: Any, tmp_path: Path) -> None:
    model, other = small(), small()
    torch.save(wrap(model.state_dict()), tmp_path / "weights.pth")
    load_weights(other, tmp_path / "weights.pth")
    assert same(model.state_dict(), other.state_dict())


def test_a_published_cait_file_loads(tmp_path: Path) -> None:
    model, other = (create_model(NAMES[2], num_classes=5, **SMALL) for _ in range(2))
    published = {"model": prefixed(model.state_dict()), "epoch": 399}
    torch.save(published, tmp_path / "XXS24_224.pth")
    load_weights(other, tmp_path / "XXS24_224.pth")
    assert same(model.state_dict(), other.state_dict())


def test_tied_weights_are_saved_twice(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    save_weights(model, tmp_path / "tied.safetensors")
    assert same(read_weights(tmp_path / "tied.safetensors"), model.state_dict())


def test_the_previous_weights_survive_a_failed_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    save_weights(small(), path)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunDirError, match="No space left on device"):
        save_weights(small(), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model.safetensors"]


# errors -----------------------------------------------------------------------------------------


def failure(path: Path, model: nn.Module | None = None) -> str:
    with pytest.raises(CheckpointError) as error:
        load_weights(model or small(), path)
    message = str(error.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_keys_that_do_not_fit_are_named(tmp_path: Path) -> None:
    state = small(classes=7).state_dict()
    del state["cls_token"]
    for number in range(5):
        state[f"extra{number}"] = torch.zeros(1)
    torch.save(state, tmp_path / "w.pt")
    message = failure(tmp_path / "w.pt")
    assert "1 missing: cls_token" in message
    assert "5 unexpected: extra0, extra1, extra2 and 2 more" in message
    assert "4 of another shape: head.weight is (7, 16), not (5, 16)" in message


def test_nothing_is_loaded_from_a_file_that_does_not_fit(tmp_path: Path) -> None:
    model = small()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    torch.save(small(classes=7).state_dict(), tmp_path / "w.pt")
    failure(tmp_path / "w.pt", model)
    assert same(model.state_dict(), before)


def test_weights_of_another_family_are_refused(tmp_path: Path) -> None:
    cait = create_model(NAMES[2], num_classes=5, **SMALL)
    torch.save({"model": prefixed(cait.state_dict())}, tmp_path / "w.pth")
    message = failure(tmp_path / "w.pth")
    assert "missing: dist_token" in message
    assert "unexpected: blocks.0.attn.proj_l.bias" in message
    assert "1 of another shape: pos_embed is (1, 4, 16), not (1, 6, 16)" in message


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_missing_and_damaged_files(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    assert "No such file" in failure(path)
    path.write_bytes(b"")
    assert "damaged" in failure(path)
    path.write_bytes(b"no weights at all")
    assert "damaged" in failure(path)
    save = save_file if name.endswith("safetensors") else torch.save
    save(small().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-2000])
    assert "damaged" in failure(path)
    path.unlink()
    path.mkdir()
    assert "Is a directory" in failure(path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("zipped", [True, False])
def test_bytes_changed_at_random_never_end_in_a_traceback(zipped: bool, tmp_path: Path) -> None:
    path, chance = tmp_path / "w.pth", random.Random(0)
    torch.save({"w": torch.ones(2, 2)}, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 8)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            read_weights(path)
        except CheckpointError as error:
            refused += "\n" not in str(error)
    assert refused > 50


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("save", [torch.save, lambda v, p: p.write_bytes(pickle.dumps(v, 2))])
def test_code_in_a_file_is_never_run(save: Any, tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    save({"model": small().state_dict(), "trap": Trap(sprung)}, tmp_path / "w.pth")
    failure(tmp_path / "w.pth")
    assert not sprung.exists()


@pytest.mark.parametrize("values", [{}, {"epoch": 3}, [1, 2], {"model": {"lr": 0.1}}])
def test_a_file_without_weights(values: Any, tmp_path: Path) -> None:
    torch.save(values, tmp_path / "w.pth")
    assert "holds no state dict" in failure(tmp_path / "w.pth")
