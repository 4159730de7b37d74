"""From an image of the source to the pixels a training step sees: crop, flip, RandAugment.

Every sample has its own generator, keyed by (seed, epoch, index, view), so it does not matter which
process augments it, or what was augmented before. Erasing and mixing come later, on the normalised
batch (`erasing`, `mixing`).
"""

from __future__ import annotations

import random

from PIL import Image

from deit_core.config import RunConfig
from deit_core.data.geometry import (
    Pixels,
    padded,
    random_resized_crop,
    shifted_crop,
    to_image,
    to_pixels,
)
from deit_core.data.rand_augment import Fill, RandAugment
from deit_core.data.rng import key64
from deit_core.data.stream import SampleRef


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
        self._padding = augment.crop_padding if augment.crop == "pad" else None
        self._scale = augment.crop_scale
        self._hflip_probability = augment.hflip_probability
        self._rand_augment = None
        if augment.policy == "rand_augment" and augment.rand_augment_magnitude:
            assert config.data.mean is not None
            self._rand_augment = RandAugment(
                augment.rand_augment_magnitude, augment.rand_augment_ops, fill(config.data.mean)
            )

    @property
    def prepared_side(self) -> int | None:
        """Side of a prepared image in pixels, where all have the same."""
        return None if self._padding is None else self._size + 2 * self._padding

    def prepare(self, image: Image.Image) -> Image.Image | Pixels:
        """What needs no draw: size and frame of a `pad` crop."""
        return image if self._padding is None else padded(image, self._size, self._padding)

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
        if self._rand_augment is not None:
            pixels = to_pixels(self._rand_augment(to_image(pixels), rng))
        return pixels


def fill(mean: tuple[float, ...]) -> Fill:
    """The mean colour in 0..255, in the form Pillow takes: a number for one channel."""
    values = tuple(min(255, round(255 * value)) for value in mean)
    return values[0] if len(values) == 1 else values
