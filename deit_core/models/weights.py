"""Weights to and from files: safetensors, and published .pth files without running their code."""

from __future__ import annotations

import argparse
import pickle
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from deit_core.errors import CheckpointError
from deit_core.models.wrapping import unwrap
from deit_core.run_dir import write_atomic

_WRAPPERS = ("model", "state_dict")
"""Keys under which training scripts put the weights: the reference's, and timm's."""
_PREFIXES = ("module.", "_orig_mod.")
"""What DistributedDataParallel and torch.compile put before each name."""
_NAMES_SHOWN = 3
_DAMAGE = (
    *(EOFError, RuntimeError, AssertionError, LookupError),
    *(ValueError, TypeError, AttributeError, ArithmeticError, struct.error),
)
"""What torch's reader was seen to raise on bytes changed at random."""


def save_weights(model: nn.Module, path: Path) -> None:
    """Write a model's state dict as safetensors, in one atomic step.

    Raises:
        RunDirError: no permission, or no space left.
    """
    tensors = unwrap(model).state_dict()
    # Copies: safetensors refuses tensors that share memory, as tied weights do.
    copies = {name: t.detach().to("cpu", copy=True).contiguous() for name, t in tensors.items()}
    write_atomic(path, to_safetensors(copies))


def load_weights(model: nn.Module, path: Path) -> None:
    """Load a file written by `save_weights`, by the reference, or by timm; every key must fit.

    Raises:
        CheckpointError: see `read_weights`; or keys that are missing, unexpected or mis-shaped.
    """
    state = read_weights(path)
    check_fit(unwrap(model).state_dict(), state, path)
    unwrap(model).load_state_dict(state)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict in a .safetensors, .pth or .pt file, on the CPU.

    Looks inside `{"model": ...}` and `{"state_dict": ...}`. Where names have the prefix `module.`,
    as in the published CaiT files, it is dropped, and so is whatever has no prefix beside them: the
    reference does not look at it either.

    Raises:
        CheckpointError: no such file, not readable, damaged, or with something else in it.
    """
    values = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
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
    return dict(values)


def _without_prefixes(values: Mapping[Any, Any]) -> Mapping[Any, Any]:
    for prefix in _PREFIXES:
        inside = {
            name.removeprefix(prefix): value
            for name, value in values.items()
            if isinstance(name, str) and name.startswith(prefix)
        }
        values = inside or values
    return values


def _holds_only_tensors(values: Mapping[str, Any]) -> bool:
    return bool(values) and all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in values.items()
    )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = parse_safetensors(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    return tensors


def _read_torch(path: Path) -> Any:
    """`torch.load` of tensors and plain values only; a file with code in it is refused."""
    try:
        # The reference's training checkpoints carry their command line, a harmless record.
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is damaged, or needs code to be read, which is never run: save its state dict "
            f"alone, as torch.save(model.state_dict(), ...) or as safetensors"
        ) from error
    except _DAMAGE as error:
        reason = (str(error).strip() or "it ends too early").splitlines()[0]
        raise CheckpointError(f"{path} is damaged: {reason}") from error


def check_fit(own: Mapping[str, Tensor], given: Mapping[str, Tensor], path: Path) -> None:
    """Compare names and shapes.

    Raises:
        CheckpointError: names the first few keys that do not fit, of each kind.
    """
    shapes = [
        f"{name} is {tuple(given[name].shape)}, not {tuple(own[name].shape)}"
        for name in own
        if name in given and given[name].shape != own[name].shape
    ]
    problems = [
        _listed("missing", [name for name in own if name not in given]),
        _listed("unexpected", sorted(given.keys() - own.keys())),  # safetensors has no order
        _listed("of another shape", shapes),
    ]
    if any(problems):
        found = "; ".join(filter(None, problems))
        raise CheckpointError(
            f"{path} does not fit the model: {found}; give the model's name and size as trained"
        )


def _listed(kind: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"{len(names)} {kind}: {', '.join(names[:_NAMES_SHOWN])}{more}"
