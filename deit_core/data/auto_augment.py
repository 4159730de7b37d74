"""AutoAugment: pairs of operations that were searched on ImageNet (arXiv 1805.09501, table 9).

The table is timm's policy `original`.
"""

from __future__ import annotations

import random
from functools import lru_cache
from typing import NamedTuple

from PIL import Image

from deit_core.data.operators import Fill, Operators, operator_arguments

MAX_MAGNITUDE = 10.0


class Operation(NamedTuple):
    """One step of a sub-policy."""

    name: str
    probability: float
    magnitude: float
    """Severity, 0 to 10."""


class AutoAugment:
    """One of 25 pairs of operations on an image.

    Args:
        fill: what comes in from outside the image, a value per channel.
    """

    def __init__(self, fill: Fill) -> None:
        self._operators = Operators(fill)
        self._policy = imagenet_policy()

    def __call__(self, image: Image.Image, rng: random.Random) -> Image.Image:
        """Augment an image of mode "L" or "RGB"; all draws come from `rng`."""
        for name, probability, magnitude in rng.choice(self._policy):
            if rng.random() < probability:
                sign = rng.choice((-1, 1))
                arguments = operator_arguments(name, magnitude / MAX_MAGNITUDE, sign)
                image = self._operators(image, name, *arguments)
        return image


@lru_cache(maxsize=1)
def imagenet_policy() -> tuple[tuple[Operation, ...], ...]:
    """The 25 sub-policies, each equally likely."""
    from deit_core.models.timm_import import timm  # costs seconds: only when the policy is on

    table = timm.data.auto_augment.auto_augment_policy("original")
    return tuple(
        tuple(Operation(step.name, step.prob, step.magnitude) for step in steps) for steps in table
    )
