"""A snapshot of the code at submission, so that an edit made later changes no job.

Snapshots are named by a hash of what they hold, `<runs>/.code/<hash>/`: sweeps that are submitted
with the same code share one. A job runs with the snapshot alone on its PYTHONPATH.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from deit_core.source_tree import import_root, note_source_state, source_state
from launcher.sweep_dir import one_line_errors

_PACKAGES = ("deit_core", "launcher")
"""What a job imports of this project."""
_NO_CODE = ("__pycache__",)


def take_snapshot(runs: Path) -> Path:
    """The folder with a copy of the code as it is now; made unless it is there.

    Raises:
        RunDirError: it cannot be written.
    """
    root = import_root()
    folder = runs.resolve() / ".code" / _digest(root)
    with one_line_errors("copy the code for the jobs"):
        if not folder.is_dir():
            _copy(root, folder)
    return folder


def _files(root: Path) -> Iterator[Path]:
    for package in _PACKAGES:
        for folder, names, files in os.walk(root / package):
            names[:] = sorted(name for name in names if name not in _NO_CODE)
            yield from (Path(folder) / name for name in sorted(files))


def _digest(root: Path) -> str:
    state = source_state(root)
    digest = hashlib.sha256(f"{state.sha}\n{state.patch}\n".encode())
    for path in _files(root):
        data = path.read_bytes()
        digest.update(f"{path.relative_to(root)} {len(data)}\n".encode())
        digest.update(data)
    return digest.hexdigest()[:16]


def _copy(root: Path, folder: Path) -> None:
    """Copy aside and rename, so that nobody sees half a snapshot."""
    unfinished = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    for package in _PACKAGES:
        ignored = shutil.ignore_patterns(*_NO_CODE)
        shutil.copytree(root / package, unfinished / package, ignore=ignored)
    note_source_state(unfinished, source_state(root))
    try:
        os.rename(unfinished, folder)
    except OSError:
        shutil.rmtree(unfinished, ignore_errors=True)
        if not folder.is_dir():  # else somebody else was faster
            raise
