"""What is known about processors before anything ran on them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from launcher.cost.interval import Interval

GPU_UTILISATION = Interval(0.03, 0.15, 0.6)
"""Share of a GPU's peak that training reaches. Published: 2 % (DeiT-Ti, read from disk) and 21 %
(DeiT-B) on V100 (arXiv 2012.12877, sections 5.3 and 5.6, at 125 TFLOP/s); 24 to 57 % for DeiT-Ti
to DeiT-B on an RTX 3090 with images in memory (timm, results/benchmark-train-amp-nhwc-pt112-*)."""

CPU_FLOPS_PER_CORE = Interval(2e9, 15e9, 90e9)
"""FLOP/s of one core in fp32. Above: two 8-wide fused multiply-adds a cycle (AVX2) at 2.8 GHz.
Below: models so small that most of a step is the cost of starting operations."""


@dataclass(frozen=True)
class Gpu:
    """A GPU as its data sheet describes it."""

    name: str
    """What torch calls it, or whole words of that."""
    half_tflops: float
    """Dense matrix products in fp16 or bf16 with fp32 sums, 10^12 FLOP/s."""
    single_tflops: float
    """fp32 without tensor cores: torch's default for fp32."""
    memory_gib: float


# NVIDIA's data sheets. A name that holds another one comes before it.
GPUS = (
    Gpu("H200", 989, 67, 141e9 / 2**30),
    Gpu("H100 PCIe", 756, 51, 80.0),
    Gpu("H100", 989, 67, 80.0),
    Gpu("A100-SXM4-80GB", 312, 19.5, 80.0),
    Gpu("A100 80GB", 312, 19.5, 80.0),
    Gpu("A100", 312, 19.5, 40.0),
    Gpu("L40S", 362, 91.6, 48.0),
    Gpu("L40", 181, 90.5, 48.0),
    Gpu("L4", 121, 30.3, 24.0),
    Gpu("A10", 125, 31.2, 24.0),
    Gpu("RTX 4090", 165, 82.6, 24.0),
    Gpu("RTX 3090", 71, 35.6, 24.0),
    Gpu("V100-SXM2-32GB", 125, 15.7, 32.0),
    Gpu("V100", 125, 15.7, 16.0),
    Gpu("T4", 65, 8.1, 16.0),
)


UNKNOWN_GPU = ("A100", "H200")
"""A GPU of unknown kind is taken to be between these: what clusters are built of since 2020."""


def find_gpu(device_name: str) -> Gpu | None:
    """The data sheet of a GPU by torch's name for it (`NVIDIA H100 80GB HBM3`)."""
    return next((gpu for gpu in GPUS if re.search(rf"\b{gpu.name}\b", device_name)), None)


def gpu_flops(device_name: str | None, precision: str) -> Interval:
    """FLOP/s in training of a GPU that nothing was measured on; else of `UNKNOWN_GPU`."""
    known = find_gpu(device_name or "")
    assumed = [known] if known else [gpu for gpu in GPUS if gpu.name in UNKNOWN_GPU]
    peaks = [_peak(gpu, precision) for gpu in assumed]
    low, high = min(peaks), max(peaks)
    return Interval(
        low * GPU_UTILISATION.low,
        math.sqrt(low * high) * GPU_UTILISATION.point,
        high * GPU_UTILISATION.high,
    )


def _peak(gpu: Gpu, precision: str) -> float:
    if precision == "bf16" and gpu.name.startswith(("V100", "T4")):
        return 1e12 * gpu.single_tflops  # neither computes in bf16
    return 1e12 * (gpu.single_tflops if precision == "fp32" else gpu.half_tflops)
