"""Mixup (arXiv 1710.09412) and CutMix (arXiv 1905.04899), as DeiT uses them.

The partner of image i is image B-1-i. What is drawn (`draw_mix`) is apart from what is done with it
(`mix_images`, `mix_targets`), so the second is checked against the reference's numbers. Draws are
made for the batch of all processes; `rows_of` takes a process's part.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from deit_core.config import AugmentConfig
from deit_core.data.geometry import Box
from deit_core.data.rng import numpy_rng
from deit_core.errors import DataError


@dataclass(frozen=True)
class Mix:
    """How an image is mixed with its partner."""

    share: float
    """Weight of an image's own label (lambda); the partner's is 1 - share."""
    box: Box | None = None
    """CutMix: what is pasted from the partner; None for mixup, or for no mixing at share 1."""


UNMIXED = Mix(share=1.0)

BatchMix = Mix | tuple[Mix, ...]
"""One for the whole batch, or one for each image."""


def mixes(augment: AugmentConfig) -> bool:
    """Whether any batch may be mixed; `augment` is resolved."""
    alphas = (augment.mixup_alpha, augment.cutmix_alpha, augment.cutmix_minmax)
    return augment.mix_probability > 0 and any(alphas)


def draw_mix(
    augment: AugmentConfig, shape: tuple[int, int, int], *, seed: int, global_step: int
) -> BatchMix:
    """Draw how the batch of one step is mixed.

    Args:
        augment: resolved: mixup_alpha and cutmix_alpha are numbers.
        shape: images of all processes, and their height and width in pixels.
        seed: the run's seed.
        global_step: which batch.

    Returns:
        one Mix in mode `batch`; one for each image in the other modes, the same for both images of
        a pair in mode `pair`.

    Raises:
        DataError: an odd number of images, which leaves one without a partner.
    """
    if not mixes(augment):
        return UNMIXED
    batch_size, height, width = shape
    if batch_size % 2:
        raise DataError(
            f"a batch of {batch_size} images cannot be mixed in pairs; "
            f"choose an even train.global_batch_size or set augment.mix_probability: 0.0"
        )
    rng = numpy_rng(seed, "mix", global_step)
    if augment.mix_mode == "batch":
        return _draw(augment, height, width, rng)
    count = batch_size // 2 if augment.mix_mode == "pair" else batch_size
    drawn = tuple(_draw(augment, height, width, rng) for _ in range(count))
    return drawn + drawn[::-1] if augment.mix_mode == "pair" else drawn


def rows_of(mix: BatchMix, rows: npt.NDArray[np.int64]) -> BatchMix:
    """The part of a process that holds some rows of the batch of all processes."""
    return mix if isinstance(mix, Mix) else tuple(mix[row] for row in rows.tolist())


def _draw(augment: AugmentConfig, height: int, width: int, rng: np.random.Generator) -> Mix:
    """One draw; with a range of box sides CutMix is on, whatever its alpha (as in timm's Mixup)."""
    mixup_alpha, cutmix_alpha = augment.mixup_alpha or 0.0, augment.cutmix_alpha or 0.0
    minmax = augment.cutmix_minmax
    if rng.random() >= augment.mix_probability:
        return UNMIXED
    switch = rng.random() < augment.mix_switch_probability
    if (cutmix_alpha > 0 or minmax is not None) and (switch or mixup_alpha == 0):
        if minmax is not None:
            return pasted(height, width, _box_within(minmax, height, width, rng))
        share = rng.beta(cutmix_alpha, cutmix_alpha)
        centre = int(rng.integers(height)), int(rng.integers(width))
        return cutmix(height, width, share, centre)
    return Mix(share=float(rng.beta(mixup_alpha, mixup_alpha)))


def cutmix(height: int, width: int, share: float, centre: tuple[int, int]) -> Mix:
    """The CutMix of a drawn share: a box of 1 - share of the image, clipped at its border.

    The share is corrected to what is left of the image after clipping.

    Args:
        height: of the images, in pixels.
        width: of the images, in pixels.
        share: drawn from Beta, in [0, 1].
        centre: row and column of the box's centre.
    """
    side = math.sqrt(1.0 - share)
    top, bottom = _clipped(centre[0], int(height * side), height)
    left, right = _clipped(centre[1], int(width * side), width)
    return pasted(height, width, Box(top, left, bottom - top, right - left))


def pasted(height: int, width: int, box: Box) -> Mix:
    """The CutMix of a box inside an image; the share is what the box leaves of it."""
    return Mix(share=1.0 - box.height * box.width / (height * width), box=box)


def _box_within(
    minmax: tuple[float, float], height: int, width: int, rng: np.random.Generator
) -> Box:
    """A box anywhere inside the image, whose sides are uniform in a range of shares of it.

    The upper end is left out, as in timm, unless no whole number of pixels were left.
    """
    low, high = minmax
    box_height, box_width = (
        int(rng.integers(int(side * low), max(int(side * high), int(side * low) + 1)))
        for side in (height, width)
    )
    top = int(rng.integers(height - box_height + 1))
    left = int(rng.integers(width - box_width + 1))
    return Box(top, left, box_height, box_width)


def _clipped(centre: int, length: int, limit: int) -> tuple[int, int]:
    """Both ends of a stretch around `centre`, cut off at 0 and `limit`."""
    return max(0, centre - length // 2), min(limit, centre + (length + 1) // 2)


def mix_images(images: Tensor, mix: BatchMix) -> Tensor:
    """Mix each image with its partner; both are taken as they were before.

    Args:
        images: normalised, shape (B, C, H, W).
        mix: what was drawn for this batch.
    """
    if isinstance(mix, Mix):
        return _mix_alike(images, mix)
    blended = [UNMIXED.share if one.box else one.share for one in mix]
    mixed = _blend(images, torch.tensor(blended, device=images.device).view(-1, 1, 1, 1))
    for image, partner, one in zip(mixed, images.flip(0), mix, strict=True):
        if one.box is not None:
            _paste(image, partner, one.box)
    return mixed


def _mix_alike(images: Tensor, mix: Mix) -> Tensor:
    if mix.share == 1.0:
        return images
    if mix.box is None:
        return _blend(images, mix.share)
    mixed = images.clone()
    _paste(mixed, images.flip(0), mix.box)
    return mixed


def _blend(values: Tensor, share: Tensor | float) -> Tensor:
    """`share` of each row and the rest of its partner's."""
    return values * share + values.flip(0) * (1.0 - share)


def _paste(images: Tensor, partners: Tensor, box: Box) -> None:
    """Replace a window of images, (..., H, W), by that of their partners, in place."""
    top, left, height, width = box
    window = (..., slice(top, top + height), slice(left, left + width))
    images[window] = partners[window]


def mix_targets(labels: Tensor, mix: BatchMix, *, num_classes: int, smoothing: float) -> Tensor:
    """Soft targets: smoothed one-hot labels, mixed as the images are.

    With smoothing e and C classes the true class gets 1 - e + e / C, every other e / C.

    Args:
        labels: shape (B,), int64.
        mix: what was drawn for this batch.
        num_classes: C.
        smoothing: e, in [0, 1).

    Returns:
        shape (B, C), float32; every row sums to 1.
    """
    off = smoothing / num_classes
    targets = torch.full((len(labels), num_classes), off, device=labels.device)
    targets.scatter_(1, labels[:, None], 1.0 - smoothing + off)
    if isinstance(mix, Mix):
        share: Tensor | float = mix.share
    else:
        share = torch.tensor([one.share for one in mix], device=labels.device)[:, None]
    return _blend(targets, share)
