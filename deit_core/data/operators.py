"""The image operators of the augmentation policies, which are timm's, and their arguments.

timm draws directions and radii from Python's global generator; here they are arguments, so that a
policy draws them from a sample's own generator. Numbers from timm.data.auto_augment.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Protocol

from PIL import Image

Fill = int | tuple[int, ...]
"""What comes in from outside the image, a value per channel."""

_Arguments = Callable[[float, int], tuple[float, ...]]


class Policy(Protocol):
    """A random change of an image of mode "L" or "RGB", of the same size and mode after it."""

    def __call__(self, image: Image.Image, rng: random.Random) -> Image.Image:
        """Change an image; all draws come from `rng`."""


def _nothing(_strength: float, _sign: int) -> tuple[float, ...]:
    return ()


def _directed(scale: float) -> _Arguments:
    return lambda strength, sign: (sign * scale * strength,)


def _enhance(strength: float, _sign: int) -> tuple[float, ...]:
    return (1.8 * strength + 0.1,)


def _enhance_increasing(strength: float, sign: int) -> tuple[float, ...]:
    return (max(0.1, 1.0 + sign * 0.9 * strength),)  # 1 changes nothing


_ARGUMENTS: Mapping[str, _Arguments] = {
    **dict.fromkeys(("AutoContrast", "Equalize", "Invert"), _nothing),
    "Rotate": _directed(30.0),
    "PosterizeOriginal": lambda strength, _: (int(4 * strength) + 4,),
    # timm asks for 0 bits at full strength, which Pillow 13 refuses
    "PosterizeIncreasing": lambda strength, _: (max(1, 4 - int(4 * strength)),),
    "Solarize": lambda strength, _: (int(256 * strength),),
    "SolarizeIncreasing": lambda strength, _: (256 - int(256 * strength),),
    "SolarizeAdd": lambda strength, _: (int(110 * strength),),
    **dict.fromkeys(("ShearX", "ShearY"), _directed(0.3)),
    **dict.fromkeys(("TranslateXRel", "TranslateYRel"), _directed(0.45)),
    **dict.fromkeys(("Color", "Contrast", "Brightness", "Sharpness"), _enhance),
    **{
        f"{name}Increasing": _enhance_increasing
        for name in ("Color", "Contrast", "Brightness", "Sharpness")
    },
}


class Operators:
    """timm's operators by name, in bicubic interpolation.

    Args:
        fill: what comes in from outside the image.
    """

    def __init__(self, fill: Fill) -> None:
        self._by_name = _timm_operators()
        self._geometry = {"fillcolor": fill, "resample": Image.Resampling.BICUBIC}

    def __call__(self, image: Image.Image, name: str, *arguments: float) -> Image.Image:
        """Apply one operator, such as "ShearX" with a factor of 0.1."""
        return self._by_name[name](image, *arguments, **self._geometry)


def operator_arguments(name: str, strength: float, sign: int) -> tuple[float, ...]:
    """Arguments that timm gives to an operator.

    Args:
        name: in timm's spelling.
        strength: magnitude over 10, in [0, 1].
        sign: -1 or 1, for operators that have a direction.
    """
    return _ARGUMENTS[name](strength, sign)


@lru_cache(maxsize=1)
def _timm_operators() -> Mapping[str, Callable[..., Image.Image]]:
    from deit_core.models.timm_import import timm  # costs seconds: only when a policy is on

    operators: dict[str, Any] = timm.data.auto_augment.NAME_TO_OP
    return operators
