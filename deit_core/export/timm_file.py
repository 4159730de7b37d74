"""How timm builds a run's model: its name, and the arguments that differ from timm's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from deit_core.errors import ExportError, UserError
from deit_core.finished import FinishedRun
from deit_core.models.timm_models import create_timm_model
from deit_core.variants import VARIANTS

_SIZES = ("img_size", "patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio")
_DEFAULTS = {"num_classes": 1000, "in_chans": 3}


def timm_arguments(finished: FinishedRun) -> dict[str, Any]:
    """Arguments of `timm.create_model` besides the name.

    Raises:
        ExportError: timm has no model that answers as this one.
    """
    model = finished.config.model
    variant = VARIANTS.get(model.name)
    given: dict[str, Any] = {
        "num_classes": finished.summary.num_classes,
        "in_chans": model.in_chans,
    }
    if variant is None:
        return _foreign_arguments(model.name, given | model.kwargs, model.img_size)
    if variant.family == "cait" and variant.distilled:
        raise ExportError(
            f"timm has no CaiT with a distillation token, which {model.name} is; "
            f"export it --to safetensors, onnx or torch-export"
        )
    if finished.fuses and model.fusion == "softmax":
        raise ExportError(
            "timm averages the logits of two heads, but this run was evaluated with "
            "model.fusion: softmax; export it --to safetensors, onnx or torch-export"
        )
    arguments = {key: value for key, value in given.items() if value != _DEFAULTS[key]}
    sizes = _SIZES if variant.family == "deit" else (*_SIZES, "depth_token_only")
    for key in sizes:
        if getattr(model, key) != getattr(variant, key):
            arguments[key] = getattr(model, key)
    return arguments


def _foreign_arguments(name: str, given: dict[str, Any], img_size: int | None) -> dict[str, Any]:
    """As the run's own model was built: with `img_size` where the model takes one."""
    with_size = given | {"img_size": img_size}
    try:
        create_timm_model(name, with_size)
    except UserError:
        return given
    return with_size


def timm_twin(name: str, arguments: dict[str, Any]) -> nn.Module:
    """The model as timm builds it, with initial weights, in eval mode.

    Raises:
        ExportError: this version of timm cannot build it.
    """
    try:
        return create_timm_model(name, arguments).eval()
    except UserError as error:
        raise ExportError(f"{error}; export it --to safetensors, onnx or torch-export") from error


def timm_line(name: str, arguments: dict[str, Any], path: Path) -> str:
    """Python that loads the file."""
    given = {"checkpoint_path": str(path.resolve()), **arguments}
    listed = ", ".join(f"{key}={value!r}" for key, value in given.items())
    return f"timm.create_model({name!r}, {listed})"
