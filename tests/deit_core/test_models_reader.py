"""Files of weights: told by their bytes, read without code, judged before anything is loaded."""

from __future__ import annotations

import argparse
import hashlib
import pathlib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from deit_core.errors import CheckpointError
from deit_core.models import (
    TokenClassifier,
    create_model,
    load_for_finetuning,
    load_weights,
    read_weights,
    save_weights,
)

SIZES = {"img_size": 8, "patch_size": 4, "in_chans": 1, "embed_dim": 16, "depth": 1, "num_heads": 2}
State = dict[str, Tensor]


def small() -> TokenClassifier:
    return create_model("deit_tiny_patch16_224", num_classes=5, **SIZES)


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def prefixed(state: State, prefix: str) -> State:
    return {f"{prefix}{key}": value for key, value in state.items()}


def failure(path: Path, model: nn.Module, load: Callable[..., Any] = load_weights) -> str:
    """The one line that loading ends in, which leaves the model as it was."""
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError) as error:
        load(model, path)
    message = str(error.value)
    assert "\n" not in message
    assert str(path) in message
    assert same(dict(model.state_dict()), before)
    return message


# what a file is -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors", "W.SAFETENSORS", "weights"])
@pytest.mark.parametrize("save", [torch.save, save_file], ids=["torch", "safetensors"])
def test_the_bytes_tell_the_format_not_the_name(save: Any, name: str, tmp_path: Path) -> None:
    state = small().state_dict()
    save(state, tmp_path / name)
    assert same(read_weights(tmp_path / name), state)


class OtherPath:
    """A path that is neither `str` nor `pathlib.Path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)


@pytest.mark.parametrize("kind", [str, OtherPath])
def test_paths_are_of_any_kind(kind: Any, tmp_path: Path) -> None:
    path, model = kind(tmp_path / "w.safetensors"), small()
    save_weights(model, path)
    assert same(read_weights(path), model.state_dict())
    for load in (load_weights, load_for_finetuning):
        other = small()
        load(other, path)
        assert same(other.state_dict(), model.state_dict())


def test_a_name_with_a_hash_must_be_that_of_the_content(tmp_path: Path) -> None:
    torch.save({"model": small().state_dict()}, tmp_path / "w.pth")
    content = (tmp_path / "w.pth").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    while digest[:8].isdigit():  # would be taken for a date
        content += b"\0"
        digest = hashlib.sha256(content).hexdigest()
    published = tmp_path / f"deit_tiny_patch16_224-{digest[:8]}.pth"
    published.write_bytes(content)
    load_weights(small(), published)
    renamed = tmp_path / "deit_tiny_patch16_224-a1311bcf.pth"
    renamed.write_bytes(content)
    message = failure(renamed, small())
    expected = f"its name promises a SHA-256 of a1311bcf..., it is {digest[:8]}..."
    assert f"is damaged or renamed: {expected}" in message


@pytest.mark.parametrize("name", ["w-20240131.pth", "w-best.pth", "w-a1311bcf.pt", "wa1311bcf.pth"])
def test_other_names_promise_nothing(name: str, tmp_path: Path) -> None:
    torch.save(small().state_dict(), tmp_path / name)
    load_weights(small(), tmp_path / name)


# what is beside the weights -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "beside",
    [
        argparse.Namespace(lr=5e-4, output_dir=pathlib.PosixPath("/checkpoint/run")),
        [pathlib.PurePosixPath("/a"), pathlib.PureWindowsPath("C:/a")],
        np.float64(81.8),
        {"accuracy": np.float32(81.8), "step": np.int64(3), "numpy_rng": np.arange(4)},
    ],
    ids=["path-in-arguments", "pure-paths", "numpy-scalar", "numpy-values"],
)
def test_records_beside_the_weights_do_no_harm(beside: Any, tmp_path: Path) -> None:
    state = small().state_dict()
    torch.save({"model": state, "args": beside}, tmp_path / "w.pth")
    assert same(read_weights(tmp_path / "w.pth"), state)


def test_arrays_are_no_weights(tmp_path: Path) -> None:
    arrays = {name: tensor.numpy() for name, tensor in small().state_dict().items()}
    torch.save({"model": arrays}, tmp_path / "w.pth")
    assert "holds no state dict" in failure(tmp_path / "w.pth", small())


# names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["_orig_mod.module.", "module._orig_mod.", "module.module."])
def test_prefixes_are_dropped_in_any_order(prefix: str, tmp_path: Path) -> None:
    state = small().state_dict()
    torch.save({"model": prefixed(state, prefix)}, tmp_path / "w.pth")
    assert same(read_weights(tmp_path / "w.pth"), state)


def test_where_names_are_there_twice_those_with_the_prefix_count_as_in_the_reference(
    tmp_path: Path,
) -> None:
    state = small().state_dict()
    zeros = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    torch.save({"model": zeros | prefixed(state, "module.")}, tmp_path / "w.pth")
    assert same(read_weights(tmp_path / "w.pth"), state)


def test_one_stray_prefix_is_named_and_the_rest_fits(tmp_path: Path) -> None:
    torch.save(small().state_dict() | {"module.junk": torch.ones(2)}, tmp_path / "w.pth")
    message = failure(tmp_path / "w.pth", small())
    assert "does not fit the model: 1 unexpected: module.junk; give" in message


# tensors ------------------------------------------------------------------------------------------


def with_one_changed(name: str, change: Callable[[Tensor], Tensor]) -> State:
    """Other weights than the model's, so that a half-loaded file shows; and one tensor changed."""
    state = {key: value + 1 for key, value in small().state_dict().items()}
    return state | {name: change(state[name])}


@pytest.mark.filterwarnings("ignore:.*[Qq]uantiz", "ignore:Sparse", "ignore:TypedStorage")
@pytest.mark.filterwarnings("ignore:.*nested tensors is in prototype")
@pytest.mark.parametrize("load", [load_weights, load_for_finetuning])
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda t: t.to_sparse(), r"is sparse (torch.sparse_coo)"),
        (lambda t: t.to_sparse_csr(), r"is sparse (torch.sparse_csr)"),
        (lambda t: t.to("meta"), "is without values (on the device meta)"),
        (lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8), "is quantised (torch.qint8)"),
        (lambda t: torch.nested.as_nested_tensor(list(t)), "is nested"),
    ],
    ids=["sparse", "csr", "meta", "quantised", "nested"],
)
def test_tensors_that_are_not_plain_are_named(
    change: Any, fault: str, load: Any, tmp_path: Path
) -> None:
    torch.save(with_one_changed("head.weight", change), tmp_path / "w.pth")
    message = failure(tmp_path / "w.pth", small(), load)
    assert f"head.weight {fault}; save it as a plain dense tensor" in message


@pytest.mark.parametrize("load", [load_weights, load_for_finetuning])
@pytest.mark.parametrize("name", ["head.weight", "pos_embed"])
@pytest.mark.parametrize(
    "dtype", [torch.int64, torch.uint8, torch.bool, torch.complex64, torch.float8_e4m3fn], ids=str
)
def test_weights_that_are_no_floating_point_are_named(
    dtype: torch.dtype, name: str, load: Any, tmp_path: Path
) -> None:
    torch.save(with_one_changed(name, lambda t: t.to(dtype)), tmp_path / "w.pth")
    message = failure(tmp_path / "w.pth", small(), load)
    assert f"1 of another type: {name} is {dtype}, not torch.float32; save" in message


def test_positions_of_another_type_are_not_resized(tmp_path: Path) -> None:
    torch.save(with_one_changed("pos_embed", lambda t: t.to(torch.complex64)), tmp_path / "w.pth")
    larger = create_model("deit_tiny_patch16_224", num_classes=5, **(SIZES | {"img_size": 16}))
    message = failure(tmp_path / "w.pth", larger, load_for_finetuning)
    assert "pos_embed is torch.complex64, not torch.float32" in message


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_floating_point_of_another_width_is_converted(dtype: torch.dtype, tmp_path: Path) -> None:
    model, other = small(), small()
    save_weights(small().to(dtype), tmp_path / "w.safetensors")
    load_weights(model, tmp_path / "w.safetensors")
    expected = {name: t.float() for name, t in read_weights(tmp_path / "w.safetensors").items()}
    assert same(model.state_dict(), expected)
    assert not same(other.state_dict(), expected)


def test_counts_must_be_whole_numbers(tmp_path: Path) -> None:
    source, target = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    source.num_batches_tracked.fill_(7)
    narrow = {"num_batches_tracked": source.num_batches_tracked.to(torch.int32)}
    torch.save(source.state_dict() | narrow, tmp_path / "w.pth")
    load_weights(target, tmp_path / "w.pth")
    assert int(target.num_batches_tracked) == 7
    torch.save(source.state_dict() | {"num_batches_tracked": torch.tensor(7.5)}, tmp_path / "w.pth")
    message = failure(tmp_path / "w.pth", target)
    assert "num_batches_tracked is torch.float32, not torch.int64" in message


# machines -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raised",
    [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")],
    ids=["python's", "torch's"],
)
def test_a_file_too_large_for_the_memory(
    raised: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: Any, **__: Any) -> None:
        raise raised

    torch.save(small().state_dict(), tmp_path / "w.pth")
    monkeypatch.setattr(torch, "load", load)
    assert "there is not enough memory" in failure(tmp_path / "w.pth", small())


@pytest.mark.filterwarnings("ignore:'torch.load' received a zip file")
def test_a_scripted_model_is_code_and_not_damage(tmp_path: Path) -> None:
    torch.save(small().state_dict(), tmp_path / "w.pth")
    with zipfile.ZipFile(tmp_path / "w.pth", "a") as archive:
        archive.writestr("w/constants.pkl", b"")  # by which torch knows TorchScript
    assert "needs code to be read, which is never run" in failure(tmp_path / "w.pth", small())
