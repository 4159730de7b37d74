"""What a measurement's numbers hold for."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from deit_core.bench.core_load import CoreLoad
from deit_core.bench.nvidia import GpuState, read_gpu
from deit_core.bench.subject import Subject
from deit_core.cores import cpu_name
from deit_core.flops import FLOPS_PER_MAC
from deit_core.throughput_records import BenchConditions
from deit_core.train.learner import AutocastFactory

_ATTENTION = {
    "flash": "flash",
    "efficient": "memory efficient",
    "cudnn": "cudnn",
    "overrideable": "device's own",
}


def device_name(device: torch.device) -> str:
    """As env.json calls it."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()


def describe_precision(subject: Subject) -> str:
    """The data type that autocast computes in; parameters are fp32 always."""
    precision = subject.config.train.precision
    return "fp32" if precision == "fp32" else f"{precision} autocast"


def gpu_state(device: torch.device) -> GpuState:
    """Driver, power limit and clock of a GPU; empty for a CPU."""
    if device.type != "cuda":
        return GpuState()
    uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    return GpuState() if uuid is None else read_gpu(str(uuid))


@dataclass(frozen=True)
class Seen:
    """What was read of a device while it worked."""

    gpu: GpuState
    load: CoreLoad
    matmul_peak_tflops: float | None
    attention: str | None


def conditions(subject: Subject, seen: Seen) -> BenchConditions:
    """All of it for one model."""
    on_gpu = subject.device.type == "cuda"
    return BenchConditions(
        device=subject.device.type,
        device_name=device_name(subject.device),
        precision=describe_precision(subject),
        tf32=torch.get_float32_matmul_precision() != "highest" if on_gpu else None,
        compiled=subject.config.train.compile,
        attention=seen.attention,
        threads=subject.threads,
        torch=str(torch.__version__),
        cuda=torch.version.cuda if on_gpu else None,
        driver=seen.gpu.driver,
        power_limit_w=seen.gpu.power_limit_w,
        clock_mhz=seen.gpu.clock_mhz,
        other_processes=_others(seen.gpu.pids),
        other_load_cores=None if on_gpu else seen.load.others(),
        hostname=socket.gethostname(),
        matmul_peak_tflops=seen.matmul_peak_tflops,
    )


def _others(pids: tuple[int, ...] | None) -> int | None:
    """Processes on the GPU beside this one and the one that started it."""
    if pids is None:
        return None
    own = {os.getpid(), os.getppid()} & set(pids)
    # In a container the numbers are another name space's: one of them is this process.
    return max(0, len(pids) - max(1, len(own)))


class _AttentionKernels(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes which kernels of scaled_dot_product_attention run."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # the signature is torch's
        name = str(func)
        if "scaled_dot_product" in name and "backward" not in name:
            self.seen.update(word for key, word in _ATTENTION.items() if key in name)
        return func(*args, **(kwargs or {}))


def attention_kernel(
    model: nn.Module, image: torch.Tensor, autocast: AutocastFactory
) -> str | None:
    """The kernel of scaled_dot_product_attention that a forward pass runs, in eager mode.

    None where none is called, or it is made of plain products.
    """
    with _AttentionKernels() as kernels, torch.no_grad(), autocast():
        model.forward(image)  # past torch.compile, which chooses no other kernel
    return ", ".join(sorted(kernels.seen)) or None


def counted_macs(forward: Callable[[torch.Tensor], object], image: torch.Tensor) -> int:
    """Multiply-adds of one forward pass of one image, counted by torch.

    For models that no formula knows (`deit_core.flops`). Attention is made of plain products here,
    as the counter passes over the CPU's kernel for it.
    """
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        forward(image)
    flops: int = counter.get_total_flops()
    return flops // FLOPS_PER_MAC
