"""Random erasing: a rectangle of noise in a normalised image (arXiv 1708.04896).

Numbers as in the reference's recipe: timm's RandomErasing in mode `pixel`, one box per image.
"""

from __future__ import annotations

import math
import random

import numpy as np
import torch
from torch import Tensor

from deit_core.data.geometry import Box
from deit_core.data.rng import key64, numpy_rng
from deit_core.data.stream import SampleRef

AREA_RANGE = (0.02, 1 / 3)
ASPECT_RANGE = (0.3, 1 / 0.3)
_TRIES = 10


def erase_batch(images: Tensor, refs: list[SampleRef], *, seed: int, probability: float) -> None:
    """Erase in place, each image by its own key.

    Args:
        images: normalised, shape (B, C, H, W).
        refs: the B samples, in order.
        seed: the run's seed.
        probability: share of the images that are erased at all.
    """
    if probability == 0:
        return
    channels, height, width = images.shape[1:]
    for image, ref in zip(images, refs, strict=True):
        key = (ref.epoch, ref.index, ref.view)
        rng = random.Random(key64(seed, "erase", *key))
        if rng.random() >= probability:
            continue
        box = erasing_box(height, width, rng)
        if box is None:
            continue
        noise = numpy_rng(seed, "erase noise", *key).standard_normal(
            (channels, box.height, box.width), dtype=np.float32
        )
        rows, columns = slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)
        image[:, rows, columns] = torch.from_numpy(noise).to(image.device)


def erasing_box(height: int, width: int, rng: random.Random) -> Box | None:
    """A box of 2 to 33 % of the image, aspect 0.3 to 3.33; None if ten draws do not fit."""
    log_low, log_high = map(math.log, ASPECT_RANGE)
    for _ in range(_TRIES):
        area = height * width * rng.uniform(*AREA_RANGE)
        aspect = math.exp(rng.uniform(log_low, log_high))
        box_height = round(math.sqrt(area * aspect))
        box_width = round(math.sqrt(area / aspect))
        if box_height < height and box_width < width:
            top = rng.randint(0, height - box_height)
            left = rng.randint(0, width - box_width)
            return Box(top, left, box_height, box_width)
    return None
