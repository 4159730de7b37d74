"""Backends by the name that `--backend` takes."""

from __future__ import annotations

import difflib
from pathlib import Path

from launcher.backends.base import Backend
from launcher.backends.local import LocalBackend
from launcher.errors import LaunchError

NAMES = ("local", "slurm")


def open_backend(name: str, runs: Path) -> Backend:
    """The backend of a runs folder.

    Raises:
        LaunchError: there is no backend of this name.
    """
    opened: dict[str, Backend] = {}

    def peer(other: str) -> Backend | None:
        if other in NAMES and other not in opened:
            opened[other] = _open(other, runs)
            opened[other].peers = peer
        return opened.get(other)

    backend = peer(name)
    if backend is None:
        close = difflib.get_close_matches(name, NAMES, n=1)
        hint = f'; did you mean "{close[0]}"?' if close else ""
        raise LaunchError(f"there is no backend {name!r}; valid: {', '.join(NAMES)}{hint}")
    return backend


def default_backend() -> str:
    """`slurm` where a cluster answers, else `local`."""
    from launcher.backends.slurm.client import answers

    return "slurm" if answers() else "local"


def _open(name: str, runs: Path) -> Backend:
    if name == "local":
        return LocalBackend(runs)
    from launcher.backends.slurm.backend import SlurmBackend

    return SlurmBackend(runs)
