"""3-Augment of DeiT III (arXiv 2204.07118), and the colour jitter that follows it.

Numbers as in facebookresearch/deit, augment.py.
"""

from __future__ import annotations

import random

from PIL import Image

from deit_core.data.operators import Operators

SOLARIZE_THRESHOLD = 128
BLUR_RADIUS = (0.1, 2.0)
"""Standard deviation of the Gaussian, in pixels."""


class ThreeAugment:
    """Grey scale, solarisation or Gaussian blur, each as likely: always one of them."""

    def __init__(self) -> None:
        self._operators = Operators(fill=0)

    def __call__(self, image: Image.Image, rng: random.Random) -> Image.Image:
        """Augment an image of mode "L" or "RGB"; all draws come from `rng`."""
        match rng.choice(("grey", "solarize", "blur")):
            case "grey":
                return self._operators(image, "Color", 0.0)
            case "solarize":
                return self._operators(image, "Solarize", SOLARIZE_THRESHOLD)
            case _:
                return self._operators(image, "GaussianBlur", rng.uniform(*BLUR_RADIUS))


class ColorJitter:
    """Random brightness, contrast and saturation in random order (torchvision's ColorJitter).

    Args:
        amount: each factor is uniform in 1 - amount to 1 + amount, and not below 0.
    """

    def __init__(self, amount: float) -> None:
        self._range = (max(0.0, 1.0 - amount), 1.0 + amount)
        self._operators = Operators(fill=0)

    def __call__(self, image: Image.Image, rng: random.Random) -> Image.Image:
        """Augment an image of mode "L" or "RGB"; all draws come from `rng`."""
        for name in rng.sample(("Brightness", "Contrast", "Color"), k=3):
            image = self._operators(image, name, rng.uniform(*self._range))
        return image
