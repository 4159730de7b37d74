"""The reference's numbers for models (tests/golden/models.json says how they were made)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn

from deit_core.models import TokenClassifier, create_model

GOLDEN = Path(__file__).parents[1] / "golden"
REFERENCE: dict[str, Any] = json.loads((GOLDEN / "models.json").read_text())
FORWARD = {case["id"]: case for case in REFERENCE["forward"]}
_NAMES = {
    "deit": "deit_tiny_patch16_224",
    "deit_distilled": "deit_tiny_distilled_patch16_224",
    "cait": "cait_xxs24_224",
}


def golden_tensors(file: str, case_id: str) -> dict[str, Tensor]:
    """All tensors of one case."""
    prefix = f"{case_id}/"
    with safe_open(GOLDEN / file, "pt") as tensors:
        return {
            name.removeprefix(prefix): tensors.get_tensor(name)
            for name in tensors.keys()  # noqa: SIM118 - not a mapping
            if name.startswith(prefix)
        }


def golden_case(case_id: str, **settings: Any) -> tuple[TokenClassifier, dict[str, Tensor]]:
    """The small model of a case with its weights, and the case's other tensors."""
    tensors = golden_tensors("models.safetensors", case_id)
    sizes = dict(FORWARD[case_id]["config"])
    assert sizes.pop("qkv_bias")
    model = create_model(_NAMES[sizes.pop("arch")], **sizes, **settings)
    weights = {k.removeprefix("w/"): v for k, v in tensors.items() if k.startswith("w/")}
    model.load_state_dict(weights)
    return model, {k: v for k, v in tensors.items() if not k.startswith("w/")}


def hashed_numbers(count: int, key: int, salt: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Numbers in [-1, 1) from an integer hash, the same on every machine."""
    mask, i = np.uint64(0xFFFFFFFF), np.arange(count, dtype=np.uint64)
    start = np.uint64(((key + 1) * 2654435769 + salt * 1013904223) & 0xFFFFFFFF)
    v = (i * i * np.uint64(747796405) + i * np.uint64(2891336453) + start) & mask
    v = ((v ^ (v >> np.uint64(15))) * np.uint64(2246822519)) & mask
    v = ((v ^ (v >> np.uint64(13))) * np.uint64(3266489917)) & mask
    return (v ^ (v >> np.uint64(16))).astype(np.float64) / 2**31 - 1


def fill(model: nn.Module, salt: int) -> None:
    """Weights by formula: 0.05 x hash, plus 1 for the weights of norms and 0.5 for LayerScale."""
    state = model.state_dict()
    for key, name in enumerate(sorted(state)):
        values = 0.05 * hashed_numbers(state[name].numel(), key, salt)
        if name.endswith(".weight") and name.split(".")[-2].startswith("norm"):
            values += 1.0
        if name.endswith(("gamma_1", "gamma_2")):
            values += 0.5
        state[name].copy_(torch.from_numpy(values).reshape(state[name].shape))


def hashed_image(side: int, salt: int) -> Tensor:
    """The image that goes with `fill`, (1, 3, side, side)."""
    pixels = 2.0 * hashed_numbers(3 * side * side, 10_000, salt)
    return torch.from_numpy(pixels).float().reshape(1, 3, side, side)
