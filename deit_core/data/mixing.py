"""Mixup (arXiv 1710.09412) and CutMix (arXiv 1905.04899), one draw per batch, as DeiT uses them.

The partner of image i is image B-1-i. What is drawn (`draw_mix`) is apart from what is done with it
(`mix_images`, `mix_targets`), so the second is checked against the reference's numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from deit_core.config import AugmentConfig
from deit_core.data.geometry import Box
from deit_core.data.rng import numpy_rng


@dataclass(frozen=True)
class Mix:
    """How one batch is mixed."""

    share: float
    """Weight of an image's own label (lambda); the partner's is 1 - share."""
    box: Box | None = None
    """CutMix: what is pasted from the partner; None for mixup, or for no mixing at share 1."""


UNMIXED = Mix(share=1.0)


def mixes(augment: AugmentConfig) -> bool:
    """Whether any batch may be mixed; `augment` is resolved."""
    alphas = (augment.mixup_alpha, augment.cutmix_alpha, augment.cutmix_minmax)
    return augment.mix_probability > 0 and any(alphas)


def draw_mix(
    augment: AugmentConfig, *, height: int, width: int, seed: int, global_step: int
) -> Mix:
    """Draw how the batch of one step is mixed.

    Args:
        augment: resolved: mixup_alpha and cutmix_alpha are numbers.
        height: of the images, in pixels.
        width: of the images, in pixels.
        seed: the run's seed.
        global_step: which batch.
    """
    mixup_alpha, cutmix_alpha = augment.mixup_alpha or 0.0, augment.cutmix_alpha or 0.0
    if mixup_alpha == cutmix_alpha == 0:
        return UNMIXED
    rng = numpy_rng(seed, "mix", global_step)
    if rng.random() >= augment.mix_probability:
        return UNMIXED
    switch = rng.random() < augment.mix_switch_probability
    if cutmix_alpha > 0 and (switch or mixup_alpha == 0):
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
    box = Box(top, left, bottom - top, right - left)
    return Mix(share=1.0 - box.height * box.width / (height * width), box=box)


def _clipped(centre: int, length: int, limit: int) -> tuple[int, int]:
    """Both ends of a stretch around `centre`, cut off at 0 and `limit`."""
    return max(0, centre - length // 2), min(limit, centre + (length + 1) // 2)


def mix_images(images: Tensor, mix: Mix) -> Tensor:
    """Mix each image with its partner.

    Args:
        images: normalised, shape (B, C, H, W).
        mix: what was drawn for this batch.
    """
    if mix.share == 1.0:
        return images
    partners = images.flip(0)
    if mix.box is None:
        return images * mix.share + partners * (1.0 - mix.share)
    top, left, height, width = mix.box
    mixed = images.clone()
    window = (..., slice(top, top + height), slice(left, left + width))
    mixed[window] = partners[window]
    return mixed


def mix_targets(labels: Tensor, mix: Mix, *, num_classes: int, smoothing: float) -> Tensor:
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
    if mix.share == 1.0:
        return targets
    return targets * mix.share + targets.flip(0) * (1.0 - mix.share)
