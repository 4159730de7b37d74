"""Trained weights as a start for another resolution, other classes, or with another token.

The reference does this under `--finetune` (facebookresearch/deit, main.py), and ignores whatever
else does not fit. Here anything but the position embedding, the heads and the distillation token
must fit exactly.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from deit_core.errors import CheckpointError
from deit_core.models.base import TokenClassifier
from deit_core.models.pos_embed import Grid, guess_grid, resize_pos_embed
from deit_core.models.weights import check_fit
from deit_core.models.weights_reader import read_weights
from deit_core.models.wrapping import unwrap

State = dict[str, Tensor]


@dataclass(frozen=True)
class Adaptation:
    """What was done to make a checkpoint fit; `str()` is a line for a log."""

    resized: tuple[Grid, Grid] | None = None
    """Patches in height and width that the position embedding was for, and now is for."""
    reset_heads: tuple[str, ...] = ()
    """Heads that keep the model's initial weights, having other classes than the checkpoint."""
    dropped_heads: tuple[str, ...] = ()
    """Heads of the checkpoint that a model without classes has no weights for."""
    distillation_token: Literal["as stored", "added", "dropped"] = "as stored"

    def __str__(self) -> str:
        parts = []
        if self.resized is not None:
            before, after = (f"{height}x{width}" for height, width in self.resized)
            parts.append(f"position embedding resized from {before} to {after} patches")
        if self.reset_heads:
            parts.append(f"new weights in {' and '.join(self.reset_heads)}")
        if self.dropped_heads:
            parts.append(f"{' and '.join(self.dropped_heads)} dropped")
        if self.distillation_token == "added":
            parts.append("distillation token started as a copy of the class token")
        if self.distillation_token == "dropped":
            parts.append("distillation token dropped")
        return "; ".join(parts) or "all weights as stored"


def load_for_finetuning(
    model: nn.Module, path: str | os.PathLike[str], *, source_grid: Grid | None = None
) -> Adaptation:
    """Load weights of the same architecture, fitted to the model's image size, classes and tokens.

    - Another image size: the position embedding is resized (`resize_pos_embed`).
    - Other classes: heads of another class count keep the model's initial weights. A model without
      classes (`num_classes=0`) takes the weights of no head.
    - A plain checkpoint for a distilled model, which the reference refuses: `dist_token` starts as
      a copy of `cls_token`, with the class token's position, and `head_dist` as a copy of `head`
      where the classes fit. Both heads then answer alike, until their losses tell them apart.
    - A distilled checkpoint for a plain model: what belongs to the distillation token is dropped.

    Args:
        model: overwritten in place; also a model of timm's.
        path: any file that `load_weights` reads.
        source_grid: patches in height and width that the checkpoint was trained on, where they are
            not square.

    Raises:
        CheckpointError: the file cannot be read, or anything else is missing, unexpected or
            mis-shaped; the model is then as it was.
    """
    path, inner = Path(path), unwrap(model)
    own = inner.state_dict()
    state, token = _fit_token(read_weights(path), own, inner)
    heads = _heads(inner)
    state, reset = _without_other_heads(state, own, heads)
    state, dropped = _without_heads_of_none(state, inner, heads)
    kept = {name: tensor for name, tensor in own.items() if _module(name) in reset}
    # Positions last: those of another architecture would hide that it is another.
    check_fit(own, kept | state | _any_positions(state, own), path)
    try:
        state, resized = _fit_positions(state, own, inner, source_grid)
    except ValueError as error:
        raise CheckpointError(f"{path} does not fit the model: pos_embed: {error}") from None
    check_fit(own, kept | state, path)
    inner.load_state_dict(kept | state)
    return Adaptation(resized, reset, dropped, token)


def _any_positions(state: State, own: Mapping[str, Tensor]) -> State:
    """A stand-in for the stored position embedding, of its type and of the model's shape."""
    if "pos_embed" not in own.keys() & state.keys():
        return {}
    shape, dtype = own["pos_embed"].shape, state["pos_embed"].dtype
    return {"pos_embed": torch.empty(shape, dtype=dtype, device="meta")}


def _fit_token(
    state: State, own: Mapping[str, Tensor], model: nn.Module
) -> tuple[State, Literal["as stored", "added", "dropped"]]:
    """Give the state dict a distillation token, or take it away, as the model has it."""
    wanted, stored = "dist_token" in own, "dist_token" in state
    complete = {"cls_token", "pos_embed", "head.weight", "head.bias"} <= state.keys()
    complete = complete and state["pos_embed"].ndim == 3
    if not isinstance(model, TokenClassifier) or wanted == stored or not complete:
        return state, "as stored"
    state, positions = dict(state), state["pos_embed"]
    if wanted:
        state["dist_token"] = state["cls_token"].clone()
        state |= {f"head_dist.{name}": state[f"head.{name}"].clone() for name in ("weight", "bias")}
        if model.embeds_prefix:
            state["pos_embed"] = torch.cat((positions[:, :1], positions), dim=1)
        return state, "added"
    for name in ("dist_token", "head_dist.weight", "head_dist.bias"):
        state.pop(name, None)
    if model.embeds_prefix:
        state["pos_embed"] = torch.cat((positions[:, :1], positions[:, 2:]), dim=1)
    return state, "dropped"


def _fit_positions(
    state: State, own: Mapping[str, Tensor], model: nn.Module, source_grid: Grid | None
) -> tuple[State, tuple[Grid, Grid] | None]:
    """Resize the position embedding, of models that have one over a grid of patches."""
    grid = getattr(getattr(model, "patch_embed", None), "grid_size", None)
    stored = state.get("pos_embed")
    if grid is None or stored is None or "pos_embed" not in own:
        return state, None
    if stored.ndim != 3 or stored.shape[::2] != own["pos_embed"].shape[::2]:
        return state, None
    prefix = own["pos_embed"].shape[1] - math.prod(grid)
    before = source_grid or guess_grid(stored.shape[1] - prefix, grid)
    resized = resize_pos_embed(stored, prefix_tokens=prefix, grid=grid, source_grid=before)
    if resized is stored or before is None:
        return state, None
    return state | {"pos_embed": resized}, (before, grid)


def _heads(model: nn.Module) -> tuple[str, ...]:
    """Names of the linear layers that answer with a number for each class."""
    if isinstance(model, TokenClassifier):
        return ("head", "head_dist")
    names = getattr(model, "pretrained_cfg", {}).get("classifier") or ()  # timm's models
    return (names,) if isinstance(names, str) else tuple(names)


def _without_other_heads(
    state: State, own: Mapping[str, Tensor], heads: tuple[str, ...]
) -> tuple[State, tuple[str, ...]]:
    """Drop stored heads whose class count is not the model's, and name them."""
    other = tuple(
        head
        for head in heads
        if f"{head}.weight" in own.keys() & state.keys()
        and own[f"{head}.weight"].shape != state[f"{head}.weight"].shape
        and own[f"{head}.weight"].shape[1:] == state[f"{head}.weight"].shape[1:]
    )
    return _without(state, other), other


def _without_heads_of_none(
    state: State, model: nn.Module, heads: tuple[str, ...]
) -> tuple[State, tuple[str, ...]]:
    """Drop stored heads that the model passes over, and name them."""
    modules = dict(model.named_modules())
    stored = {_module(name) for name in state}
    dropped = tuple(
        head for head in heads if head in stored and isinstance(modules.get(head), nn.Identity)
    )
    return _without(state, dropped), dropped


def _without(state: State, modules: tuple[str, ...]) -> State:
    return {name: tensor for name, tensor in state.items() if _module(name) not in modules}


def _module(name: str) -> str:
    return name.rpartition(".")[0]
