"""RandAugment as DeiT uses it: timm's operators under the string `rand-m9-mstd0.5-inc1`.

arXiv 1909.13719; operators and their strengths from timm.data.auto_augment. The random draws are
made here, from the sample's own generator: timm's would come from Python's global one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from PIL import Image

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

Fill = int | tuple[int, ...]
_Operator = Callable[..., Image.Image]


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
        self._geometry = {"fillcolor": fill, "resample": Image.Resampling.BICUBIC}
        self._operators = _timm_operators()

    def __call__(self, image: Image.Image, rng: random.Random) -> Image.Image:
        """Augment an image of mode "L" or "RGB"; all draws come from `rng`."""
        for name in rng.choices(OPERATORS, k=self._num_ops):
            if rng.random() < APPLY_PROBABILITY:
                magnitude = rng.gauss(self._magnitude, MAGNITUDE_STD)
                strength = min(max(magnitude, 0.0), MAX_MAGNITUDE) / MAX_MAGNITUDE
                image = self.apply(image, name, strength, rng.choice((-1, 1)))
        return image

    def apply(self, image: Image.Image, name: str, strength: float, sign: int) -> Image.Image:
        """One operation; see `operator_arguments`."""
        arguments = operator_arguments(name, strength, sign)
        return self._operators[name](image, *arguments, **self._geometry)


def operator_arguments(name: str, strength: float, sign: int) -> Sequence[float]:
    """Arguments that timm gives to an operator.

    Args:
        name: one of OPERATORS.
        strength: magnitude over 10, in [0, 1].
        sign: -1 or 1, for operators that have a direction.
    """
    match name:
        case "AutoContrast" | "Equalize" | "Invert":
            return ()
        case "Rotate":
            return (sign * 30.0 * strength,)
        case "PosterizeIncreasing":
            # timm asks for 0 bits at full strength, which Pillow 13 refuses
            return (max(1, 4 - int(4 * strength)),)
        case "SolarizeIncreasing":
            return (256 - int(256 * strength),)
        case "SolarizeAdd":
            return (int(110 * strength),)
        case "ShearX" | "ShearY":
            return (sign * 0.3 * strength,)
        case "TranslateXRel" | "TranslateYRel":
            return (sign * 0.45 * strength,)
        case _:  # the enhancing four; 1 changes nothing
            return (max(0.1, 1.0 + sign * 0.9 * strength),)


@lru_cache(maxsize=1)
def _timm_operators() -> Mapping[str, _Operator]:
    from deit_core.models.timm_import import timm  # costs seconds: only when RandAugment is on

    operators: dict[str, Any] = timm.data.auto_augment.NAME_TO_OP
    return {name: operators[name] for name in OPERATORS}
