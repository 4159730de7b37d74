"""A state dict from a file of any origin: safetensors, or a .pth file without running its code."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from torch import Tensor

from deit_core.errors import CheckpointError

_WRAPPERS = ("model", "state_dict")
"""Keys under which training scripts put the weights: the reference's, and timm's."""
_PREFIXES = ("module.", "_orig_mod.")
"""What DistributedDataParallel and torch.compile put before each name."""
_NAMED_BY_CONTENT = re.compile(r"-(?=[0-9]*[a-f])([0-9a-f]{8})\.pth$")
"""`deit_tiny_patch16_224-a1311bcf.pth`: the first digits of the file's SHA-256, as torch.hub reads
it. Without a letter it may be a date, and is not taken for one."""
_DAMAGE = (
    *(EOFError, RuntimeError, AssertionError, LookupError, SafetensorError),
    *(ValueError, TypeError, AttributeError, ArithmeticError, struct.error),
)
"""What the readers were seen to raise on bytes changed at random."""


class _Unread:
    """Stands for a value beside the weights that only code could restore; it keeps nothing."""

    def __init__(self, *_: object) -> None:
        """Take what the value is made of, and forget it."""

    def __setstate__(self, _: object) -> None:
        """Take what the value holds, and forget it."""


_BESIDE_THE_WEIGHTS = (
    "argparse.Namespace",  # the command line, in the reference's and timm's training checkpoints
    *(f"pathlib{part}.{pure}PosixPath" for part in ("", "._local") for pure in ("", "Pure")),
    *(f"pathlib{part}.{pure}WindowsPath" for part in ("", "._local") for pure in ("", "Pure")),
    *(f"numpy.{core}.multiarray.scalar" for core in ("core", "_core")),
    *(f"numpy.{core}.multiarray._reconstruct" for core in ("core", "_core")),
    *("numpy.dtype", "numpy.ndarray"),
)
"""Harmless records that training scripts save too. None is restored: numpy's own functions, given
made-up arguments, would take bytes for addresses."""


def read_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The state dict in a safetensors, .pth or .pt file, on the CPU; its bytes tell which it is.

    Looks inside `{"model": ...}` and `{"state_dict": ...}`. Where half of the tensors or more have
    the prefix `module.`, as all have in the published CaiT files, it is dropped, and so is whatever
    has no prefix beside them: the reference does not look at it either. The same goes for
    torch.compile's `_orig_mod.`.

    A name that ends in a hash (`deit_tiny_patch16_224-a1311bcf.pth`) must be that of the content.

    Raises:
        CheckpointError: no such file, not readable, damaged, or with something else in it; or a
            tensor that is sparse, quantised, nested or without values.
    """
    path = Path(path)
    try:
        _check_name(path)
        values = _read(path)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except MemoryError as error:
        raise _out_of_memory(path) from error
    for key in _WRAPPERS:
        if isinstance(values, Mapping) and isinstance(values.get(key), Mapping):
            values = values[key]
            break
    if isinstance(values, Mapping):
        values = _without_prefixes(values)
    if not isinstance(values, Mapping) or not _holds_only_tensors(values):
        raise CheckpointError(
            f"{path} holds no state dict; give the tensors by name, alone or under "
            f"{' or '.join(map(repr, _WRAPPERS))}"
        )
    for name, tensor in values.items():
        fault = _fault(tensor)
        if fault:
            raise CheckpointError(f"{path}: {name} is {fault}; save it as a plain dense tensor")
    return dict(values)


def _check_name(path: Path) -> None:
    promised = _NAMED_BY_CONTENT.search(path.name)
    if promised is None:
        return
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(promised[1]):
        raise CheckpointError(
            f"{path} is damaged or renamed: its name promises a SHA-256 of {promised[1]}..., it is "
            f"{digest[:8]}...; download it again, or take the hash out of its name"
        )


def _read(path: Path) -> Any:
    with path.open("rb") as file:
        start = file.read(9)
    # A safetensors file starts with the length of its header, 8 bytes, and the header's brace.
    if start[5:] == b"\0\0\0{":
        return _read_safetensors(path)
    # One that lost its start should not be called a pickle.
    if path.suffix.lower() == ".safetensors" and not start.startswith((b"PK", b"\x80")):
        return _read_safetensors(path)
    return _read_torch(path)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    content = path.read_bytes()
    try:
        tensors: dict[str, Tensor] = parse_safetensors(content)
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    return tensors


def _read_torch(path: Path) -> Any:
    """`torch.load` of tensors and plain values only; a file with code in it is refused."""
    unread: list[Any] = [(_Unread, name) for name in _BESIDE_THE_WEIGHTS]
    try:
        # An open file: of a path, torch too would believe the suffix.
        with (
            warnings.catch_warnings(action="ignore"),  # of what is refused below
            torch.serialization.safe_globals(unread),
            path.open("rb") as file,
        ):
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _needs_code(path) from error
    except _DAMAGE as error:
        if "TorchScript" in str(error):
            raise _needs_code(path) from error
        raise _damaged(path, error) from error


def _needs_code(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path} is damaged, or needs code to be read, which is never run: save its state dict "
        f"alone, as torch.save(model.state_dict(), ...) or as safetensors"
    )


def _damaged(path: Path, error: Exception) -> CheckpointError:
    # torch adds paragraphs on what else may have caused it.
    reason = (str(error).strip() or "it ends too early").splitlines()[0].partition(". ")[0]
    if "can't allocate memory" in reason:  # torch's own MemoryError is a RuntimeError
        return _out_of_memory(path)
    return CheckpointError(f"{path} is damaged: {reason}")


def _out_of_memory(path: Path) -> CheckpointError:
    return CheckpointError(
        f"cannot read {path}: there is not enough memory for what it says it holds; "
        f"give a file of weights alone, or more memory"
    )


def _without_prefixes(values: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Names as the model has them, in whatever order it was wrapped."""
    for prefix in _PREFIXES:
        inside = {
            name.removeprefix(prefix): value
            for name, value in values.items()
            if isinstance(name, str) and name.startswith(prefix)
        }
        if inside and 2 * _tensors(inside) >= _tensors(values):
            return _without_prefixes(inside)
    return values


def _tensors(values: Mapping[Any, Any]) -> int:
    return sum(isinstance(value, Tensor) for value in values.values())


def _holds_only_tensors(values: Mapping[Any, Any]) -> bool:
    return bool(values) and all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in values.items()
    )


def _fault(tensor: Tensor) -> str | None:
    """What keeps a tensor from being copied into a model, in words."""
    if tensor.is_nested:
        return "nested"
    if tensor.layout is not torch.strided:
        return f"sparse ({tensor.layout})"
    if tensor.is_quantized:
        return f"quantised ({tensor.dtype})"
    if tensor.device.type != "cpu":
        return f"without values (on the device {tensor.device.type})"
    return None
