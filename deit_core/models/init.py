"""Initial weights of this package's models.

`trunc_normal` is the reference's (facebookresearch/deit, timm 0.3.2). Its standard deviation of
0.02 suits widths of 192 and more; a narrow model starts with signals so small that it hardly
trains, hence `fan_in`, which keeps their variance whatever the width.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from deit_core.models.base import TokenClassifier

InitScheme = Literal["trunc_normal", "fan_in"]
_STD = 0.02


@torch.no_grad()
def initialise(
    model: TokenClassifier, scheme: InitScheme = "trunc_normal", *, pos_embed_std: float = _STD
) -> None:
    """Draw all weights from torch's global generator; biases of linear layers become 0.

    LayerScale factors of CaiT are not drawn: they keep the value the model was made with.

    Args:
        model: overwritten in place.
        scheme: `trunc_normal`: standard deviation 0.02 for every linear weight, torch's own initial
            values for the patch convolution. `fan_in`: 1 / sqrt(inputs) for both, bias 0; the
            inputs of CaiT's talking heads are its heads.
        pos_embed_std: standard deviation of the position embedding.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            _weight(module.weight, scheme)
            nn.init.zeros_(module.bias)
    if scheme == "fan_in":
        projection = model.patch_embed.proj
        _weight(projection.weight, scheme)
        assert projection.bias is not None
        nn.init.zeros_(projection.bias)
    cls_token, *other_tokens = model.prefix()
    _trunc_normal(cls_token, _STD)
    _trunc_normal(model.pos_embed, pos_embed_std)
    for token in other_tokens:
        _trunc_normal(token, _STD)


def _weight(weight: Tensor, scheme: InitScheme) -> None:
    if scheme == "trunc_normal":
        _trunc_normal(weight, _STD)
    else:
        nn.init.normal_(weight, std=weight[0].numel() ** -0.5)


def _trunc_normal(tensor: Tensor, std: float) -> None:
    """Cut at -2 and 2 in absolute terms, as the reference: at 0.02 that cuts nothing."""
    nn.init.trunc_normal_(tensor, std=std, a=-2.0, b=2.0)
