"""The speed of a plain matrix product: what `mfu` is a share of."""

from __future__ import annotations

import torch

from deit_core.bench.device_clock import clock_of
from deit_core.train.precision import Precision

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_SIDES = {"cpu": (256, 512, 1024, 2048), "cuda": (1024, 2048, 4096, 8192, 16384)}
_LONGEST_S = 0.5
"""A product that would take longer is left out."""


def matmul_peak_tflops(device: torch.device, precision: Precision, *, timed_s: float) -> float:
    """The fastest square matrix product found, in 10^12 FLOPs a second; a multiply-add is two.

    Square products of growing size, in the data type that autocast computes in, under the present
    threads and TF32 setting.

    Args:
        device: where.
        precision: of the runs that are compared with it.
        timed_s: how long each size is repeated.
    """
    clock = clock_of(device)
    best = 0.0
    for side in _SIDES[device.type]:
        left, right = (
            torch.randn(side, side, device=device, dtype=_DTYPES[precision]) for _ in range(2)
        )
        product = torch.empty_like(left)

        def multiply(a: torch.Tensor = left, b: torch.Tensor = right, out: torch.Tensor = product
                     ) -> None:  # fmt: skip
            torch.mm(a, b, out=out)

        multiply()
        one_s = clock.time_s(multiply, 1)
        repeats = max(3, min(1000, int(timed_s / one_s)))
        seconds = min(clock.time_s(multiply, repeats) / repeats, one_s)
        best = max(best, 2 * side**3 / seconds / 1e12)
        if 8 * seconds > _LONGEST_S:
            break
    return best
