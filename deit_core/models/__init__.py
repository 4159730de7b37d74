"""Vision transformers, timm's models, and their weights. timm is imported only when it is used."""

from deit_core.models.base import TokenClassifier, VitSpec, head_logits
from deit_core.models.cait import Cait, CaitSpec, DistilledCait
from deit_core.models.finetune import Adaptation, load_for_finetuning
from deit_core.models.heads import DistilledLogits, Fusion, HeadLogits, fuse
from deit_core.models.noise import set_step_key
from deit_core.models.pos_embed import resize_pos_embed
from deit_core.models.registry import build_model, create_model
from deit_core.models.vit import DistilledVisionTransformer, VisionTransformer
from deit_core.models.weights import load_weights, save_weights
from deit_core.models.weights_reader import read_weights

__all__ = [
    "Adaptation",
    "Cait",
    "CaitSpec",
    "DistilledCait",
    "DistilledLogits",
    "DistilledVisionTransformer",
    "Fusion",
    "HeadLogits",
    "TokenClassifier",
    "VisionTransformer",
    "VitSpec",
    "build_model",
    "create_model",
    "fuse",
    "head_logits",
    "load_for_finetuning",
    "load_weights",
    "read_weights",
    "resize_pos_embed",
    "save_weights",
    "set_step_key",
]
