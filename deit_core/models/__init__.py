"""Vision transformers, timm's models, and their weights. timm is imported only when it is used."""

from deit_core.models.deit import (
    DistilledLogits,
    DistilledVisionTransformer,
    HeadLogits,
    head_logits,
)
from deit_core.models.noise import set_step_key
from deit_core.models.registry import build_model, create_model
from deit_core.models.vit import VisionTransformer, VitSpec
from deit_core.models.weights import load_weights, save_weights

__all__ = [
    "DistilledLogits",
    "DistilledVisionTransformer",
    "HeadLogits",
    "VisionTransformer",
    "VitSpec",
    "build_model",
    "create_model",
    "head_logits",
    "load_weights",
    "save_weights",
    "set_step_key",
]
