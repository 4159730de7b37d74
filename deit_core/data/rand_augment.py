"""RandAugment as DeiT uses it: timm's operators under the string `rand-m9-mstd0.5-inc1`.

arXiv 1909.13719; operators and their strengths from timm.data.auto_augment.
"""

from __future__ import annotations

import random

from PIL import Image

from deit_core.data.operators import Fill, Operators, operator_arguments

OPERATORS = (
    "AutoContrast",
    "Equalize",
    "Invert",
    "Rotate",
    "PosterizeIncreasing",
    "SolarizeIncreasing",
    "SolarizeAdd",
    "ColorIncreasing",
    "ContrastIncreasing",
    "BrightnessIncreasing",
    "SharpnessIncreasing",
    "ShearX",
    "ShearY",
    "TranslateXRel",
    "TranslateYRel",
)
"""timm's "increasing" set: all grow stronger with the magnitude."""

APPLY_PROBABILITY = 0.5
MAGNITUDE_STD = 0.5
MAX_MAGNITUDE = 10.0


class RandAugment:
    """A few random operations on an image.

    Args:
        magnitude: mean severity, 0 to 10; each operation draws its own from a normal around it.
        num_ops: operations drawn per image, with replacement; each is applied with odds of 1 in 2.
        fill: what comes in from outside the image, a value per channel.
    """

    def __init__(self, magnitude: float, num_ops: int, fill: Fill) -> None:
        self._magnitude = magnitude
        self._num_ops = num_ops
        self._operators = Operators(fill)

    def __call__(self, image: Image.Image, rng: random.Random) -> Image.Image:
        """Augment an image of mode "L" or "RGB"; all draws come from `rng`."""
        for name in rng.choices(OPERATORS, k=self._num_ops):
            if rng.random() < APPLY_PROBABILITY:
                magnitude = rng.gauss(self._magnitude, MAGNITUDE_STD)
                strength = min(max(magnitude, 0.0), MAX_MAGNITUDE) / MAX_MAGNITUDE
                arguments = operator_arguments(name, strength, rng.choice((-1, 1)))
                image = self._operators(image, name, *arguments)
        return image
