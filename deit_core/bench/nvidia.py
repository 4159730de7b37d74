"""What nvidia-smi knows of a GPU, where it is installed; never required."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

_PATIENCE_S = 10


@dataclass(frozen=True)
class GpuState:
    """A GPU at one moment; None where it does not say."""

    driver: str | None = None
    power_limit_w: float | None = None
    clock_mhz: float | None = None
    """Of the streaming multiprocessors, now."""
    pids: tuple[int, ...] | None = None
    """Processes that compute on it."""


def read_gpu(uuid: str) -> GpuState:
    """Ask nvidia-smi for one GPU.

    Args:
        uuid: as torch gives it, with or without `GPU-`.
    """
    name = uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
    facts = _query("--query-gpu=driver_version,power.limit,clocks.current.sm", name)
    driver, power, clock = facts[0] if facts and len(facts[0]) == 3 else ("", "", "")
    apps = _query("--query-compute-apps=pid", name)
    pids = None if apps is None else tuple(int(row[0]) for row in apps if row[0].isdigit())
    return GpuState(driver or None, _number(power), _number(clock), pids)


def _query(what: str, name: str) -> list[list[str]] | None:
    """Rows of a query; None where there is no nvidia-smi, or it refuses."""
    command = ["nvidia-smi", what, "--format=csv,noheader,nounits", "-i", name]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    return [[part.strip() for part in line.split(",")] for line in lines]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:  # "[N/A]"
        return None
