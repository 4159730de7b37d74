"""Weights with their config in one safetensors file, and the way back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import nn

from deit_core.config import ModelConfig
from deit_core.errors import CheckpointError, ConfigError, SchemaError
from deit_core.export.describe import METADATA_KEY, to_json
from deit_core.models import build_model, load_weights
from deit_core.records import ExportRecord


class LoadedExport(NamedTuple):
    """What `load_exported` returns."""

    model: nn.Module
    """Normalised images (B, C, S, S) to the record's `output` (B, L); CPU, eval mode."""
    record: ExportRecord


def weights_file(model: nn.Module, record: ExportRecord) -> bytes:
    """The state dict as safetensors, with the record in the header's metadata."""
    # Copies: safetensors refuses tensors that share memory, as tied weights do.
    tensors = {
        name: tensor.detach().to("cpu", copy=True).contiguous()
        for name, tensor in model.state_dict().items()
    }
    return to_safetensors(tensors, metadata={"format": "pt", METADATA_KEY: to_json(record)})


def read_weights_file(path: Path) -> LoadedExport:
    """See `deit_core.export.load_exported`."""
    record = _read_record(path)
    try:
        config = ModelConfig.model_validate(record.model)
        model = build_model(config, num_classes=record.num_classes, seed=0)
    except (ValidationError, ConfigError) as error:
        first = str(error).splitlines()[0]
        raise CheckpointError(f"{path} does not fit this version: {first}; update it") from None
    load_weights(model, path)
    return LoadedExport(model.eval(), record)


def _read_record(path: Path) -> ExportRecord:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing") from None
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    if METADATA_KEY not in metadata:
        raise CheckpointError(
            f"{path} holds weights without a config; give a file that "
            f"`python -m deit_core.export` wrote"
        )
    try:
        values = json.loads(metadata[METADATA_KEY])
        return ExportRecord.from_json(values, str(path))
    except (ValueError, SchemaError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from None
