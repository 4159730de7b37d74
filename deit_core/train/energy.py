"""Energy drawn while training, from counters that the hardware keeps. Never required.

A GPU counts the millijoules since its driver was loaded (NVML, from Volta on). Processors count
microjoules by package (RAPL, through the kernel's powercap), for everything that runs there; most
kernels show that to root only. Where nothing can be read, nothing is counted, and nobody is told.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from deit_core.records import EnergySource
from deit_core.train.dist import Ranks

_POWERCAP = Path("/sys/class/powercap")
_NVML = "libnvidia-ml.so.1"

Counter = Callable[[], float | None]
"""Joules since some moment, never less than before; None where it cannot be read any more."""


class EnergyMeter:
    """What was drawn since it was last asked.

    Args:
        counter: of the hardware of this process; None where there is none.
        source: what kind of counter that is; all processes of a job say the same.
        alone: whether this process is its job's only one.
    """

    def __init__(self, counter: Counter | None, source: EnergySource, *, alone: bool) -> None:
        self.source: EnergySource = source
        self._counter = counter
        self._alone = alone
        self._last = counter() if counter else None

    def take_alone(self) -> float:
        """Joules, where this process need not ask others; else 0, and `take` counts it later."""
        return self._take() if self._alone else 0.0

    def take(self, ranks: Ranks) -> float:
        """Joules of all processes of the job; every one must call this. 0 if one cannot read."""
        if self._alone:
            return self._take()
        counted = ranks.gather(self._take() if self._last is not None else math.nan)
        return sum(counted) if all(map(math.isfinite, counted)) else 0.0

    def _take(self) -> float:
        now = self._counter() if self._counter else None
        if now is None or self._last is None:
            return 0.0  # counters only grow: what is not read now is in the next difference
        drawn, self._last = now - self._last, now
        return max(drawn, 0.0)


def open_energy_meter(device: torch.device, ranks: Ranks) -> EnergyMeter:
    """The meter of a process: its GPU's, or of its machine's processors where it trains on those.

    Of several processes on a machine only the first one reads the processors.
    """
    alone = ranks.world == 1
    if device.type == "cuda":
        return EnergyMeter(_gpu_counter(device), "nvml", alone=alone)
    if ranks.local_rank:
        return EnergyMeter(lambda: 0.0, "rapl", alone=alone)
    return EnergyMeter(processor_counter(_POWERCAP), "rapl", alone=alone)


# processors ----------------------------------------------------------------------------------


class _Zone:
    """One counter of the kernel's powercap; it wraps around at `max_energy_range_uj`."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "energy_uj"
        self._range_uj = int((folder / "max_energy_range_uj").read_text())
        self._last_uj = self._read()
        self._turns = 0

    def _read(self) -> int:
        return int(self._file.read_text())

    def read_uj(self) -> int:
        """Microjoules since some moment."""
        now_uj = self._read()
        self._turns += now_uj < self._last_uj
        self._last_uj = now_uj
        return now_uj + self._turns * self._range_uj


def processor_counter(folder: Path) -> Counter | None:
    """The sum over packages and their memory; None where the kernel does not show it.

    Args:
        folder: `/sys/class/powercap`.
    """
    try:
        zones = [_Zone(zone) for zone in _zones(folder)]
    except (OSError, ValueError):
        return None
    return _sum_of(zones) if zones else None


def _zones(folder: Path) -> list[Path]:
    """`intel-rapl:0` is a package, and holds its cores; `intel-rapl:0:1` may be its memory."""
    return [
        zone
        for zone in sorted(folder.glob("intel-rapl:*"))
        if (name := (zone / "name").read_text().strip()).startswith("package") or name == "dram"
    ]


def _sum_of(zones: Sequence[_Zone]) -> Counter:
    def read() -> float | None:
        try:
            return 1e-6 * sum(zone.read_uj() for zone in zones)
        except (OSError, ValueError):
            return None

    return read


# GPUs ----------------------------------------------------------------------------------------


def _gpu_counter(device: torch.device) -> Counter | None:
    """The counter of one GPU; None without NVML, for a part of a GPU (MIG), and before Volta."""
    uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    try:
        nvml = ctypes.CDLL(_NVML)
    except OSError:
        return None
    handle = ctypes.c_void_p()
    if uuid is None or nvml.nvmlInit_v2():
        return None
    name = f"GPU-{uuid}".encode()
    if nvml.nvmlDeviceGetHandleByUUID(name, ctypes.byref(handle)) or _is_split(nvml, handle):
        return None

    def read() -> float | None:
        millijoules = ctypes.c_ulonglong()
        failed = nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(millijoules))
        return None if failed else 1e-3 * millijoules.value

    return read if read() is not None else None


def _is_split(nvml: ctypes.CDLL, handle: ctypes.c_void_p) -> bool:
    """Whether a GPU is in parts (MIG): its counter then counts the other parts too."""
    current, pending = ctypes.c_uint(), ctypes.c_uint()
    failed = nvml.nvmlDeviceGetMigMode(handle, ctypes.byref(current), ctypes.byref(pending))
    return not failed and current.value != 0
