"""From an image of the source to the pixels a training step sees: crop, flip, policy.

Every sample has its own generator, keyed by (seed, epoch, index, view), so it does not matter which
process augments it, or what was augmented before. Erasing and mixing come later, on the normalised
batch (`erasing`, `mixing`).
"""

from __future__ import annotations

import random

from PIL import Image

from deit_core.config import RunConfig
from deit_core.data.auto_augment import AutoAugment
from deit_core.data.geometry import (
    Pixels,
    mirrored_frame,
    padded,
    random_resized_crop,
    shifted_crop,
    to_image,
    to_pixels,
)
from deit_core.data.operators import Fill, Policy
from deit_core.data.rand_augment import RandAugment
from deit_core.data.rng import key64
from deit_core.data.stream import SampleRef
from deit_core.data.three_augment import ColorJitter, ThreeAugment


class TrainAugment:
    """The random part of the training transform, in two stages.

    `prepare` is the same every time an image is seen, so its result may be kept; calling the object
    is what differs from look to look.

    Args:
        config: a resolved config (`deit_core.identity.resolve`).
    """

    def __init__(self, config: RunConfig) -> None:
        augment = config.augment
        assert config.model.img_size is not None
        assert augment.crop_padding is not None
        self._seed = config.seed
        self._size = config.model.img_size
        self._padding = augment.crop_padding
        self._crop = augment.crop
        self._scale = augment.crop_scale
        self._hflip_probability = augment.hflip_probability
        self._policies = image_policies(config)

    @property
    def prepared_side(self) -> int | None:
        """Side of a prepared image in pixels, where all have the same."""
        return self._size + 2 * self._padding if self._crop == "pad" else None

    def prepare(self, image: Image.Image) -> Image.Image | Pixels:
        """What needs no draw: size and frame of a `pad` or `simple_random` crop."""
        if self._crop == "pad":
            return padded(image, self._size, self._padding)
        if self._crop == "simple_random":
            return mirrored_frame(image, self._size, self._padding)
        return image

    def __call__(self, prepared: Image.Image | Pixels, ref: SampleRef) -> Pixels:
        """Augment a prepared image.

        Returns:
            shape (img_size, img_size, channels); maybe a view of `prepared`.
        """
        rng = random.Random(key64(self._seed, "augment", ref.epoch, ref.index, ref.view))
        if isinstance(prepared, Image.Image):
            pixels = to_pixels(random_resized_crop(prepared, self._size, self._scale, rng))
        else:
            pixels = shifted_crop(prepared, self._size, rng)
        if rng.random() < self._hflip_probability:
            pixels = pixels[:, ::-1]
        if not self._policies:
            return pixels
        image = to_image(pixels)
        for policy in self._policies:
            image = policy(image, rng)
        return to_pixels(image)


def image_policies(config: RunConfig) -> tuple[Policy, ...]:
    """The policy that a resolved config names, then colour jitter; none of those that are off."""
    augment = config.augment
    assert config.data.mean is not None
    policies: list[Policy] = []
    if augment.policy == "rand_augment" and augment.rand_augment_magnitude:
        policies.append(
            RandAugment(
                augment.rand_augment_magnitude, augment.rand_augment_ops, fill(config.data.mean)
            )
        )
    elif augment.policy == "auto_augment":
        policies.append(AutoAugment(fill(config.data.mean)))
    elif augment.policy == "three_augment":
        policies.append(ThreeAugment())
    if augment.color_jitter:
        policies.append(ColorJitter(augment.color_jitter))
    return tuple(policies)


def fill(mean: tuple[float, ...]) -> Fill:
    """The mean colour in 0..255, in the form Pillow takes: a number for one channel."""
    values = tuple(min(255, round(255 * value)) for value in mean)
    return values[0] if len(values) == 1 else values
