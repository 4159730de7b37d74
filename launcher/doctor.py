"""`deit-launch doctor`: is everything here that a sweep needs? Never imports torch."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path

from deit_core.errors import RunDirError
from launcher.backends.base import Backend, Check
from launcher.locks import take_lock
from launcher.resources import Resources

_LIBRARIES = ("torch", "torchvision", "timm", "numpy", "pydantic", "tensorboard", "scikit-learn")
_LEAST_PYTHON = (3, 11)
_LEAST_FREE_GB = 1.0


def examine(
    runs: Path, backend: Backend, resources: Resources, *, submit: bool = False
) -> list[Check]:
    """All checks; a failed one says what to do.

    Args:
        runs: the folder of all sweeps.
        backend: where jobs would run.
        resources: what they would ask for; says which part of a cluster is meant.
        submit: also run a job that looks around, where that can show more.
    """
    return [
        _python(),
        *(_library(name) for name in _LIBRARIES),
        *_folder(runs),
        *backend.checks(backend.settle(resources), submit=submit),
        *([] if backend.name == "slurm" else [_slurm()]),
    ]


def _python() -> Check:
    ok = sys.version_info >= _LEAST_PYTHON
    least = ".".join(map(str, _LEAST_PYTHON))
    return Check("python", ok, f"{platform.python_version()} ({least} or newer is needed)")


def _library(name: str) -> Check:
    try:
        return Check(name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Check(name, False, "is not installed; run `make install`, or `pip install` it")


def _folder(runs: Path) -> list[Check]:
    """Whether the runs folder (or the place where it would be made) takes files and locks."""
    place = runs
    while not place.exists():
        place = place.parent
    try:
        with tempfile.TemporaryDirectory(dir=place, prefix=".doctor.") as folder:
            locking = _locking(Path(folder) / "lock")
    except OSError as error:
        return [Check("runs folder", False, f"{runs}: cannot write in {place}: {error.strerror}")]
    free_gb = shutil.disk_usage(place).free / 1e9
    return [
        Check("runs folder", True, f"{runs}{'' if place == runs else ' (not made yet)'}"),
        Check("disk", free_gb >= _LEAST_FREE_GB, f"{free_gb:.1f} GB free"),
        locking,
    ]


def _locking(file: Path) -> Check:
    """Whether a second open file is refused a lock that the first one holds."""
    try:
        first, second = take_lock(file), take_lock(file)
    except RunDirError as error:
        return Check("file locks", False, str(error))
    for handle in (first, second):
        if handle is not None:
            os.close(handle)
    ok = first is not None and second is None
    return Check("file locks", ok, "work" if ok else "are ignored by this file system")


def _slurm() -> Check:
    found = shutil.which("sbatch")
    return Check("sbatch", True, found or "not found: sweeps run on this machine")
