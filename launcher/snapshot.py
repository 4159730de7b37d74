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

from deit_core.source_tree import SourceState, import_root, note_source_state, source_state
from launcher.sweep_dir import one_line_errors

_PACKAGES = ("deit_core", "launcher")
"""What a job imports of this project."""
_NO_CODE = ("__pycache__",)


def take_snapshot(runs: Path) -> Path:
    """The folder with a copy of the code as it is now; made unless it is there.

    What is hashed is the copy, so that an edit meanwhile cannot come under the hash of what was
    there before.

    Raises:
        RunDirError: it cannot be written, or the code cannot be read.
    """
    root = import_root()
    snapshots = runs.resolve() / ".code"
    unfinished = snapshots / f".{secrets.token_hex(8)}"
    with one_line_errors("copy the code for the jobs"):
        unfinished.mkdir(parents=True)
        try:
            _copy(root, unfinished)
            state = source_state(root)
            note_source_state(unfinished, state)
            return _name(unfinished, snapshots / _digest(unfinished, state))
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def _files(root: Path) -> Iterator[Path]:
    """Regular files; what editors leave beside them, such as a link that locks a file, is none."""
    for package in _PACKAGES:
        for folder, names, files in os.walk(root / package):
            names[:] = sorted(name for name in names if name not in _NO_CODE)
            paths = (Path(folder) / name for name in sorted(files))
            yield from (path for path in paths if path.is_file())


def _copy(root: Path, target: Path) -> None:
    for source in _files(root):
        copied = target / source.relative_to(root)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, copied)


def _digest(copy: Path, state: SourceState) -> str:
    digest = hashlib.sha256(f"{state.sha}\n{state.patch}\n".encode())
    for path in _files(copy):
        data = path.read_bytes()
        digest.update(f"{path.relative_to(copy)} {len(data)}\n".encode())
        digest.update(data)
    return digest.hexdigest()[:16]


def _name(unfinished: Path, folder: Path) -> Path:
    """Rename, so that nobody sees half a snapshot."""
    if not folder.is_dir():
        try:
            os.rename(unfinished, folder)
        except OSError:
            if not folder.is_dir():  # else somebody else was faster
                raise
    return folder
