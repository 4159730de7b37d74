"""What this machine grants to local jobs: cores and GPUs. Never imports torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from deit_core.cores import granted_cores
from launcher.backends.base import Capacity
from launcher.errors import LaunchError

CPUS_VARIABLE = "DEIT_LOCAL_CPUS"
"""Caps the cores of the local queue, for a machine shared with others."""


@dataclass(frozen=True)
class Slots:
    """Cores, and the names of GPUs as CUDA_VISIBLE_DEVICES takes them."""

    cpus: int
    gpus: tuple[str, ...] = ()

    @property
    def capacity(self) -> Capacity:
        """The same as numbers."""
        return Capacity(self.cpus, len(self.gpus))


def granted_slots(environ: Mapping[str, str] | None = None) -> Slots:
    """The slots of this process: its core affinity, its cgroup's quota, its visible GPUs.

    Raises:
        LaunchError: DEIT_LOCAL_CPUS is no positive number.
    """
    environ = os.environ if environ is None else environ
    return Slots(granted_cpus(environ), granted_gpus(environ))


def granted_cpus(environ: Mapping[str, str]) -> int:
    """Cores by affinity, capped by the cgroup's CPU quota and by DEIT_LOCAL_CPUS."""
    cap = environ.get(CPUS_VARIABLE)
    if cap is not None:
        if not cap.isdigit() or int(cap) < 1:
            raise LaunchError(
                f"{CPUS_VARIABLE} is {cap!r}; give a whole number of cores, 1 or more"
            )
        return int(cap)
    return granted_cores()


def granted_gpus(environ: Mapping[str, str]) -> tuple[str, ...]:
    """CUDA_VISIBLE_DEVICES if set, else every GPU that nvidia-smi lists."""
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",")]
        return tuple(name for name in names if name and name != "-1")
    if shutil.which("nvidia-smi", path=environ.get("PATH")) is None:
        return ()
    try:
        listing = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    if listing.returncode != 0:
        return ()
    return tuple(line.strip() for line in listing.stdout.splitlines() if line.strip().isdigit())
