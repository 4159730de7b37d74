"""Checkpoints: atomic, checksummed, two kept, never unpickled as code.

A file is named `step_<step>-<digest>.pt`, the digest being the first 16 hex digits of the SHA-256
of its bytes. So one rename publishes contents and checksum together, and a file that was cut
short or damaged on disk is recognised and the one before it used.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from deit_core.errors import CheckpointError, RunDirError
from deit_core.run_dir import write_atomic

KEPT = 2
"""Checkpoints kept: the newest, and one to fall back to."""

_NAME = re.compile(r"^step_(\d{9})-([0-9a-f]{16})\.pt$")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckpointFile:
    """A file that claims to be a checkpoint of `step`."""

    path: Path
    step: int
    digest: str


def list_checkpoints(folder: Path) -> list[CheckpointFile]:
    """Checkpoints in a folder, newest first; nothing is verified."""
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _NAME.match(path.name)
        if match:
            found.append(CheckpointFile(path, int(match.group(1)), match.group(2)))
    return sorted(found, key=lambda file: file.step, reverse=True)


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write a checkpoint and delete those beyond the newest two.

    Raises:
        CheckpointError: it cannot be written (disk full, no permission); older ones stay valid.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getbuffer()
    digest = hashlib.sha256(payload).hexdigest()[:16]
    path = folder / f"step_{step:09d}-{digest}.pt"
    try:
        write_atomic(path, payload)
    except RunDirError as error:
        raise CheckpointError(_cannot_write(error, folder, len(payload))) from error
    # What claims a later step, or this one, is what a resume has just passed over as damaged.
    for stale in list_checkpoints(folder):
        if stale.path != path and stale.step >= step:
            _remove(stale.path)
    for old in list_checkpoints(folder)[KEPT:]:
        _remove(old.path)
    return path


def remove_leftovers(folder: Path) -> None:
    """Delete what a kill in the middle of a write left behind; call under the directory's lock."""
    for path in folder.glob(".step_*.pt.*"):
        _remove(path)


def _cannot_write(error: RunDirError, folder: Path, size: int) -> str:
    previous = list_checkpoints(folder)
    intact = f"the checkpoint of step {previous[0].step} is intact" if previous else "none is saved"
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(folder).free
        return (
            f"{error} ({size / 2**20:.1f} MiB needed, {free / 2**20:.1f} MiB free); {intact}; "
            f"make room, then `deit-launch retry` resumes"
        )
    return f"{error}; {intact}"


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def load_newest(folder: Path, map_location: torch.device) -> tuple[int, dict[str, Any]] | None:
    """The newest valid checkpoint as (step, state), or None where there is none.

    A damaged file is named in a warning and the one before it is used.
    """
    for file in list_checkpoints(folder):
        try:
            return file.step, _load(file, map_location)
        except CheckpointError as error:
            _log.warning("%s; falling back to the one before it", error)
    return None


def _load(file: CheckpointFile, map_location: torch.device) -> dict[str, Any]:
    try:
        payload = file.path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read {file.path}: {error.strerror}") from error
    if hashlib.sha256(payload).hexdigest()[:16] != file.digest:
        raise CheckpointError(f"checkpoint {file.path} is damaged (its checksum differs)")
    state: dict[str, Any] = torch.load(
        io.BytesIO(payload), map_location=map_location, weights_only=True
    )
    return state
