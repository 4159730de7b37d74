"""Cosine similarity of class and distillation token through the network (arXiv 2012.12877, 3.2).

Shape suffixes: B batch, N tokens, D embedding width.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from deit_core.models import Cait
from deit_core.models.base import Distilled
from deit_core.records import TokenCosine, finite


class TokenCosineMeter:
    """Sums of the cosine of a model's two class-type tokens, while images pass through it.

    Places: `learned`, the two learned vectors alone; `input`, as they enter the first block that
    has them, with their position embedding where they have one; `block 1` and so on, after each
    block (CaiT: each class-attention block, as the others never see these tokens); `norm`, after
    the last norm, which is what the heads read.

    Args:
        model: a model with a distillation token.
    """

    def __init__(self, model: Distilled) -> None:
        self._model = model
        self._norm = model.get_submodule("norm")
        name = "blocks_token_only" if isinstance(model, Cait) else "blocks"
        self._blocks = list(model.get_submodule(name).children())
        self._sums: dict[str, Tensor] = {}
        self._images = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count every forward pass inside the block."""
        handles = [
            block.register_forward_hook(partial(self._after, f"block {number}"))
            for number, block in enumerate(self._blocks, start=1)
        ]
        handles.append(self._norm.register_forward_hook(partial(self._after, "norm")))
        if self._model.embeds_prefix:
            handles.append(self._blocks[0].register_forward_pre_hook(self._before_first))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _before_first(self, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._add("input", inputs[0])

    def _after(self, place: str, _: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        if place == "norm":
            self._images += len(output)
        self._add(place, output)

    def _add(self, place: str, tokens_BND: Tensor) -> None:
        cls_BD, dist_BD = tokens_BND[:, 0].double(), tokens_BND[:, 1].double()
        total = F.cosine_similarity(cls_BD, dist_BD, dim=1).sum()
        self._sums[place] = self._sums[place] + total if place in self._sums else total

    def result(self) -> tuple[TokenCosine, ...]:
        """The mean at each place, from input to output."""
        cls_D, dist_D = (
            token.detach().double().flatten()
            for token in (self._model.cls_token, self._model.dist_token)
        )
        learned = F.cosine_similarity(cls_D, dist_D, dim=0).item()
        means = {"learned": learned, "input": learned}
        means |= {
            place: (total / max(1, self._images)).item() for place, total in self._sums.items()
        }
        order = ["learned", "input", *(f"block {n + 1}" for n in range(len(self._blocks))), "norm"]
        return tuple(TokenCosine(place=place, cosine=finite(means[place])) for place in order)
