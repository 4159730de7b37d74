"""The CPU: its name, and the cores granted to this process and to its job. Torch-free."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Mapping
from pathlib import Path


def granted_cores() -> int:
    """Cores this process may use: its affinity, capped by its cgroup's CPU quota."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:  # macOS has no affinity
        cores = os.cpu_count() or 1
    quota = _cgroup_quota()
    return cores if quota is None else max(1, min(cores, math.floor(quota)))


def job_cores(environ: Mapping[str, str]) -> int:
    """Cores of this job: what its launcher put into OMP_NUM_THREADS, else all that are granted.

    Several jobs share a machine without being pinned, so the affinity alone would let each of
    them take every core.
    """
    given = environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdigit() and int(given) else granted_cores()


def cpu_name() -> str:
    """The processor's name, as the system gives it; what env.json calls `device_name`."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cgroup_quota(root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """CPU quota in cores, from cgroup v2 or v1; None where there is no limit to read."""
    try:
        quota, period = (root / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (root / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (root / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not quota.isdigit() or not period.isdigit():
        return None  # "max" or "-1": unlimited
    return int(quota) / int(period)
