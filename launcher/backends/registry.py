"""Backends by the name that `--backend` takes."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from launcher.backends.base import Backend
from launcher.backends.local import LocalBackend
from launcher.errors import LaunchError

NAMES = ("local", "slurm", "ray")


def open_backend(
    name: str,
    runs: Path,
    command: Sequence[str] | None = None,
    *,
    ray_address: str | None = None,
) -> Backend:
    """The backend of a runs folder.

    Args:
        name: one of `NAMES`.
        runs: the folder of all sweeps.
        command: the trainer that its jobs run; None: deit_core of this interpreter.
        ray_address: the cluster of the backend ray; None: see `RayBackend`.

    Raises:
        LaunchError: there is no backend of this name.
    """
    opened: dict[str, Backend] = {}

    def peer(other: str) -> Backend | None:
        if other in NAMES and other not in opened:
            opened[other] = _open(other, runs, command, ray_address)
            opened[other].peers = peer
        return opened.get(other)

    backend = peer(name)
    if backend is None:
        close = difflib.get_close_matches(name, NAMES, n=1)
        hint = f'; did you mean "{close[0]}"?' if close else ""
        raise LaunchError(f"there is no backend {name!r}; valid: {', '.join(NAMES)}{hint}")
    return backend


def default_backend() -> str:
    """`slurm` where a cluster answers, else `local`.

    Raises:
        LaunchError: there is a cluster, but it does not answer.
    """
    from launcher.backends.slurm.client import answers

    return "slurm" if answers() else "local"


def be_brief() -> None:
    """Somebody waits for this process: it gives schedulers seconds to answer, not minutes."""
    from launcher.backends.slurm import client

    client.be_brief()


def silence() -> str | None:
    """Who was asked and has not answered, in one line; None where everybody did."""
    from launcher.backends.slurm import client

    said = client.silence()
    return None if said is None else f"SLURM does not answer ({said})"


def _open(name: str, runs: Path, command: Sequence[str] | None, ray_address: str | None) -> Backend:
    if name == "local":
        return LocalBackend(runs, command=command)
    if name == "ray":
        from launcher.backends.ray.backend import RayBackend

        return RayBackend(runs, ray_address, command=command)
    from launcher.backends.slurm.backend import SlurmBackend

    return SlurmBackend(runs, command=command)
