"""Backends by the name that `--backend` takes."""

from __future__ import annotations

import difflib
from pathlib import Path

from launcher.backends.base import Backend
from launcher.backends.local import LocalBackend
from launcher.errors import LaunchError

BACKENDS = {"local": LocalBackend}
DEFAULT_BACKEND = "local"


def open_backend(name: str, runs: Path) -> Backend:
    """The backend of a runs folder.

    Raises:
        LaunchError: there is no backend of this name.
    """
    if name not in BACKENDS:
        close = difflib.get_close_matches(name, BACKENDS, n=1)
        hint = f'; did you mean "{close[0]}"?' if close else ""
        raise LaunchError(f"there is no backend {name!r}; valid: {', '.join(BACKENDS)}{hint}")
    return BACKENDS[name](runs)
