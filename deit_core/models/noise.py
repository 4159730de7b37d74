"""Dropout and stochastic depth whose masks are keyed, not consumed.

A mask is a pure function of (seed, step, layer, position of the sample in the global batch), so it
does not depend on restarts, on the number of processes, on how a batch is cut into micro-batches,
or on what else drew random numbers.

Shape suffixes: B samples in this forward pass, G samples in the global batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from deit_core.data.rng import key64, numpy_rng
from deit_core.models.wrapping import unwrap

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class StepKey:
    """Which step the masks are for, and which rows of the global batch a forward pass holds."""

    seed: int
    step: int
    rows: Rows
    global_batch: int


class KeySlot:
    """The present key of a model, shared by its noise layers. Empty: torch's global generator.

    Stochastic depth is drawn for all layers at once when the key is set: one draw instead of one
    for each branch, and nothing random is left in the forward pass for torch.compile to stop at.
    """

    def __init__(self) -> None:
        self.key: StepKey | None = None
        self.drop_path_scales: dict[int, Tensor] = {}
        """By site, shape (B, 1, 1): 0 where the branch is skipped, else 1 / (1 - rate)."""
        self._drop_path_rates: dict[int, float] = {}

    def register_drop_path(self, site: int, rate: float) -> None:
        """Have the masks of a layer drawn with each key."""
        self._drop_path_rates[site] = rate

    def set(self, key: StepKey, device: torch.device) -> None:
        """Use the key from now on."""
        self.key = key
        rates = self._drop_path_rates
        if not rates:
            return
        drawn = numpy_rng(key.seed, "drop_path", key.step).random((len(rates), key.global_batch))
        keep = 1.0 - np.array(list(rates.values()))[:, None]
        kept = drawn[:, key.rows] < keep
        scales = np.divide(kept, keep, out=np.zeros(kept.shape), where=keep > 0)
        on_device = torch.from_numpy(scales.astype(np.float32)).to(device, non_blocking=True)
        self.drop_path_scales = dict(zip(rates, on_device[:, :, None, None], strict=True))

    def clear(self) -> None:
        """Draw from torch's global generator again."""
        self.key = None
        self.drop_path_scales = {}


class _Noise(nn.Module):
    """What both kinds of noise know.

    Args:
        rate: probability of zeroing.
        slot: where the model keeps its step key.
        site: number of this layer in the model; the layers of one kind have different ones.
    """

    def __init__(self, rate: float, slot: KeySlot, site: int) -> None:
        super().__init__()
        self.rate = rate
        self.slot = slot
        self.site = site

    def extra_repr(self) -> str:
        """Shown by print(model)."""
        return f"rate={self.rate:.4g}"


class Dropout(_Noise):
    """Zeroes single numbers of its input in training; scales up the rest. Free at rate 0."""

    def forward(self, x: Tensor) -> Tensor:
        """Any (B, ...) to the same shape."""
        if self.rate == 0.0 or not self.training:
            return x
        keep = 1.0 - self.rate
        uniform: Tensor = self._uniform(x)
        scale = (uniform < keep).to(x.dtype)
        return x * (scale.div_(keep) if keep > 0.0 else scale)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _uniform(self, x: Tensor) -> Tensor:
        """Numbers in [0, 1) for `x`: drawn for the global batch, then cut."""
        key = self.slot.key
        if key is None:
            return torch.rand(x.shape, device=x.device)
        _check_rows(key, x.shape[0])
        generator = torch.Generator(x.device)
        generator.manual_seed(key64(key.seed, "dropout", key.step, self.site))
        drawn_G = torch.rand(key.global_batch, *x.shape[1:], generator=generator, device=x.device)
        return drawn_G[torch.from_numpy(key.rows).to(x.device)]


class DropPath(_Noise):
    """Stochastic depth (arXiv 1603.09382): zeroes a residual branch for whole samples."""

    def __init__(self, rate: float, slot: KeySlot, site: int) -> None:
        super().__init__(rate, slot, site)
        if rate > 0.0:
            slot.register_drop_path(site, rate)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, N, D) to the same shape."""
        if self.rate == 0.0 or not self.training:
            return x
        scale = self.slot.drop_path_scales.get(self.site)
        if scale is None:
            keep = 1.0 - self.rate
            drawn = torch.rand((x.shape[0], 1, 1), device=x.device) < keep
            return x * (drawn.to(x.dtype) / keep if keep > 0.0 else drawn.to(x.dtype))
        return x * scale.to(x.dtype)


def _check_rows(key: StepKey, batch: int) -> None:
    if batch != len(key.rows):
        raise ValueError(f"{batch} samples, but the step key is for {len(key.rows)}")


def set_step_key(model: nn.Module, seed: int, step: int, rows: Rows, global_batch: int) -> None:
    """Key the random masks of the next forward pass in training.

    This package's models draw from the key alone. A timm model draws from torch's global generator,
    which is therefore seeded here: call this right before the model's forward pass.

    Args:
        model: any model, also inside DistributedDataParallel.
        seed: the run's seed.
        step: optimiser step.
        rows: position of each image of the pass in the batch of all processes, shape (B,).
        global_batch: images over all processes.
    """
    inner = unwrap(model)
    slot = getattr(inner, "key_slot", None)
    if isinstance(slot, KeySlot):
        slot.set(StepKey(seed, step, rows, global_batch), next(inner.parameters()).device)
    _seed_global_generators(key64(seed, "torch", step, int(rows[0])))


def _seed_global_generators(key: int) -> None:
    """What `torch.manual_seed` does on CPU and CUDA, at a hundredth of its 0.1 ms."""
    torch.default_generator.manual_seed(key)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(key)
