"""Crops and resizes, as the reference's torchvision transforms do them. All bicubic.

Arrays are (height, width, channels) of uint8; images are Pillow's.
"""

from __future__ import annotations

import math
import random
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from deit_core.identity import SMALL_IMAGE

Pixels = npt.NDArray[np.uint8]

ASPECT_RANGE = (3 / 4, 4 / 3)
"""Width over height of a random resized crop."""

_CROP_TRIES = 10


class Box(NamedTuple):
    """A rectangle in pixels."""

    top: int
    left: int
    height: int
    width: int


def to_pixels(image: Image.Image) -> Pixels:
    """The image's values, shape (H, W, C) with C 1 or 3."""
    pixels: Pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def to_image(pixels: Pixels) -> Image.Image:
    """The image of (H, W, C) values, in mode "L" or "RGB"."""
    pixels = np.ascontiguousarray(pixels)
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def resize(image: Image.Image, width: int, height: int) -> Image.Image:
    """Resample to a size, whatever that does to the aspect."""
    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.BICUBIC)


def padded(image: Image.Image, size: int, padding: int) -> Pixels:
    """Bring the image to `size` x `size` and put a black frame around it."""
    frame = (padding, padding)
    return np.pad(to_pixels(resize(image, size, size)), (frame, frame, (0, 0)))


def mirrored_frame(image: Image.Image, size: int, padding: int) -> Pixels:
    """Bring the shorter side to `size`, and continue the image by `padding` mirrored pixels.

    A `shifted_crop` of it is DeiT III's Simple Random Crop (arXiv 2204.07118).
    """
    frame = (padding, padding)
    resized = resize(image, *shorter_side_to(image.width, image.height, size))
    return np.pad(to_pixels(resized), (frame, frame, (0, 0)), mode="reflect")


def shifted_crop(framed: Pixels, size: int, rng: random.Random) -> Pixels:
    """A random `size` x `size` window of a framed image (a view)."""
    top = rng.randint(0, framed.shape[0] - size)
    left = rng.randint(0, framed.shape[1] - size)
    return framed[top : top + size, left : left + size]


def random_resized_crop(
    image: Image.Image, size: int, scale: tuple[float, float], rng: random.Random
) -> Image.Image:
    """Cut a box of random area and aspect and resample it to `size` x `size`."""
    box = random_box(image.width, image.height, scale, rng)
    cut = image.crop((box.left, box.top, box.left + box.width, box.top + box.height))
    return resize(cut, size, size)


def random_box(width: int, height: int, scale: tuple[float, float], rng: random.Random) -> Box:
    """A box inside an image: area uniform in `scale`, aspect log-uniform in 3/4 to 4/3.

    After ten draws that do not fit, the central box of the nearest aspect that does (torchvision's
    RandomResizedCrop).
    """
    log_low, log_high = map(math.log, ASPECT_RANGE)
    for _ in range(_CROP_TRIES):
        area = width * height * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(log_low, log_high))
        box_width = round(math.sqrt(area * aspect))
        box_height = round(math.sqrt(area / aspect))
        if 0 < box_width <= width and 0 < box_height <= height:
            top = rng.randint(0, height - box_height)
            left = rng.randint(0, width - box_width)
            return Box(top, left, box_height, box_width)
    aspect = min(max(width / height, ASPECT_RANGE[0]), ASPECT_RANGE[1])
    box_width = min(width, round(height * aspect))
    box_height = min(height, round(width / aspect))
    return Box((height - box_height) // 2, (width - box_width) // 2, box_height, box_width)


def eval_pixels(image: Image.Image, size: int, crop_ratio: float) -> Pixels:
    """What evaluation sees: the whole image up to 32 pixels, else its resized centre.

    Args:
        image: of any size.
        size: side of the result in pixels.
        crop_ratio: share of the resized shorter side that is kept.

    Returns:
        shape (size, size, C).
    """
    if size <= SMALL_IMAGE:
        return to_pixels(resize(image, size, size))
    image = resize(image, *shorter_side_to(image.width, image.height, int(size / crop_ratio)))
    left, top = round((image.width - size) / 2), round((image.height - size) / 2)
    return to_pixels(image.crop((left, top, left + size, top + size)))


def shorter_side_to(width: int, height: int, shorter: int) -> tuple[int, int]:
    """Width and height after the shorter side is brought to `shorter`, the aspect kept."""
    if width <= height:
        return shorter, int(shorter * height / width)
    return int(shorter * width / height), shorter
