"""Weights to and from files, loaded only where every name, shape and type fits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from deit_core.errors import CheckpointError
from deit_core.models.weights_reader import read_weights
from deit_core.models.wrapping import unwrap
from deit_core.run_dir import write_atomic

_NAMES_SHOWN = 3
_KINDS = (
    (torch.float16, torch.bfloat16, torch.float32, torch.float64),
    (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
)
"""Types that stand for the same numbers. Those of 8 bits floating mean little without a scale."""


def save_weights(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Write a model's state dict as safetensors, in one atomic step.

    Raises:
        RunDirError: no permission, or no space left.
    """
    tensors = unwrap(model).state_dict()
    # Copies: safetensors refuses tensors that share memory, as tied weights do.
    copies = {name: t.detach().to("cpu", copy=True).contiguous() for name, t in tensors.items()}
    write_atomic(Path(path), to_safetensors(copies))


def load_weights(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Load a file written by `save_weights`, by the reference, or by timm; every key must fit.

    Floating point of another width is converted.

    Raises:
        CheckpointError: see `read_weights` and `check_fit`; the model is then as it was.
    """
    state = read_weights(path)
    check_fit(unwrap(model).state_dict(), state, Path(path))
    unwrap(model).load_state_dict(state)


def check_fit(own: Mapping[str, Tensor], given: Mapping[str, Tensor], path: Path) -> None:
    """Compare names, shapes and types.

    Raises:
        CheckpointError: names the first few keys that do not fit, of each kind.
    """
    both = [name for name in own if name in given]
    shapes = [
        f"{name} is {tuple(given[name].shape)}, not {tuple(own[name].shape)}"
        for name in both
        if given[name].shape != own[name].shape
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
    types = [
        f"{name} is {given[name].dtype}, not {own[name].dtype}"
        for name in both
        if not _same_kind(given[name].dtype, own[name].dtype)
    ]
    if types:
        raise CheckpointError(
            f"{path} does not fit the model: {_listed('of another type', types)}; save weights as "
            f"floating point of 16 to 64 bits, and counts as whole numbers"
        )


def _same_kind(one: torch.dtype, other: torch.dtype) -> bool:
    return one == other or any(one in kind and other in kind for kind in _KINDS)


def _listed(kind: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return f"{len(names)} {kind}: {', '.join(names[:_NAMES_SHOWN])}{more}"
