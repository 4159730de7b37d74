"""Dropout and stochastic depth whose masks are keyed, not consumed.

A mask is a pure function of (seed, step, layer, position of the sample in the global batch), so it
does not depend on restarts, on the number of processes, or on what else drew random numbers.

Shape suffixes: B samples in this process, G samples in the global batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from deit_core.data.rng import key64
from deit_core.models.wrapping import unwrap


@dataclass(frozen=True)
class StepKey:
    """Which step the masks are for, and which rows of the global batch this process holds."""

    seed: int
    step: int
    first_sample: int = 0
    global_batch: int | None = None
    """Samples over all processes; where None, this process holds the last of them."""


class KeySlot:
    """The present key of a model, shared by its noise layers. Empty: torch's global generator."""

    def __init__(self) -> None:
        self.key: StepKey | None = None


class KeyedNoise(nn.Module):
    """Zeroes parts of its input in training and scales up the rest; free at rate 0 and in eval.

    Args:
        rate: probability of zeroing.
        slot: where the model keeps its step key.
        site: number of this layer in the model; layers of one model have different ones.
    """

    purpose: str

    def __init__(self, rate: float, slot: KeySlot, site: int) -> None:
        super().__init__()
        self.rate = rate
        self.slot = slot
        self.site = site

    def mask_shape(self, shape: torch.Size) -> tuple[int, ...]:
        """Shape of one sample's mask, for inputs of `shape` (B, ...)."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Any (B, ...) to the same shape."""
        if self.rate == 0.0 or not self.training:
            return x
        keep = 1.0 - self.rate
        scale = (self._uniform(x) < keep).to(x.dtype)
        return x * (scale.div_(keep) if keep > 0.0 else scale)

    def _uniform(self, x: Tensor) -> Tensor:
        """Numbers in [0, 1) for the rows of `x`: drawn for the global batch, then cut."""
        batch, per_sample = x.shape[0], self.mask_shape(x.shape)
        key = self.slot.key
        if key is None:
            return torch.rand(batch, *per_sample, device=x.device)
        end = key.first_sample + batch
        total = end if key.global_batch is None else key.global_batch
        if end > total:
            raise ValueError(f"samples {key.first_sample} to {end} of a global batch of {total}")
        generator = torch.Generator(x.device)
        generator.manual_seed(key64(key.seed, self.purpose, key.step, self.site))
        drawn_G = torch.rand(total, *per_sample, generator=generator, device=x.device)
        return drawn_G[key.first_sample : end]

    def extra_repr(self) -> str:
        """Shown by print(model)."""
        return f"rate={self.rate:.4g}"


class Dropout(KeyedNoise):
    """Zeroes single numbers."""

    purpose = "dropout"

    def mask_shape(self, shape: torch.Size) -> tuple[int, ...]:
        """One draw for each number."""
        return tuple(shape[1:])


class DropPath(KeyedNoise):
    """Stochastic depth (arXiv 1603.09382): zeroes a residual branch for whole samples."""

    purpose = "drop_path"

    def mask_shape(self, shape: torch.Size) -> tuple[int, ...]:
        """One draw for each sample."""
        return (1,) * (len(shape) - 1)


def set_step_key(
    model: nn.Module,
    seed: int,
    step: int,
    first_sample: int = 0,
    global_batch: int | None = None,
) -> None:
    """Key the random masks of the next forward passes in training.

    This package's models draw from the key alone. A timm model draws from torch's global generator,
    which is therefore seeded here: call this right before the model's forward pass.

    Args:
        model: any model, also inside DistributedDataParallel.
        seed: the run's seed.
        step: optimiser step.
        first_sample: position in the global batch of the first image of this process.
        global_batch: images over all processes; the end of this process's images when None.
    """
    slot = getattr(unwrap(model), "key_slot", None)
    if isinstance(slot, KeySlot):
        slot.key = StepKey(seed, step, first_sample, global_batch)
    _seed_global_generators(key64(seed, "torch", step, first_sample))


def _seed_global_generators(key: int) -> None:
    """What `torch.manual_seed` does on CPU and CUDA, at a hundredth of its 0.1 ms."""
    torch.default_generator.manual_seed(key)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(key)
