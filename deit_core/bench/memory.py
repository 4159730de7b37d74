"""Memory of a device: its peak, what is left, and running out of it."""

from __future__ import annotations

import gc
import re
from pathlib import Path

import torch

GIB = 1024**3

_OUT_OF_MEMORY = re.compile(
    r"out of memory|can't allocate memory|not enough memory|_ALLOC_FAILED", re.IGNORECASE
)
_PROC = Path("/proc")
_CGROUP = Path("/sys/fs/cgroup")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a batch did not fit: torch has an exception for its own allocator alone."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error)) is not None


def empty_cache(device: torch.device) -> None:
    """Give back to a GPU what torch's allocator keeps for later."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def collect(device: torch.device) -> None:
    """Give back what only circles of objects refer to as well; takes a good part of a second."""
    gc.collect()
    empty_cache(device)


def forget_peak(device: torch.device) -> None:
    """Let the peak begin anew at what is held now, where the system can do that."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        (_PROC / "self" / "clear_refs").write_text("5")  # proc(5): reset the peak resident size
    except OSError:
        return


def peak_gib(device: torch.device) -> float | None:
    """Most memory held since `forget_peak`, in GiB.

    On a GPU that of torch's allocator; on a CPU the resident memory of the whole process. None
    where the system does not say.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / GIB
    peak = _kib(_PROC / "self" / "status", "VmHWM")
    return None if peak is None else peak / 1024**2


def resident_gib() -> float | None:
    """Resident memory of this process now."""
    resident = _kib(_PROC / "self" / "status", "VmRSS")
    return None if resident is None else resident / 1024**2


def available_gib() -> float | None:
    """Main memory that this process can still get: the machine's, or its control group's."""
    free = _kib(_PROC / "meminfo", "MemAvailable")
    if free is None:
        return None
    limit, used = (_number(_CGROUP / name) for name in ("memory.max", "memory.current"))
    if limit is not None and used is not None:
        free = min(free, (limit - used) / 1024)
    return max(0.0, free) / 1024**2


def _kib(path: Path, field: str) -> float | None:
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith(f"{field}:"):
                return float(line.split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return None


def _number(path: Path) -> float | None:
    try:
        return float(path.read_text())
    except (OSError, ValueError):  # also "max": no limit
        return None
