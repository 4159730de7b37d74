"""On which kind of file system a folder lies: one that other machines can share, or not."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_SHARED = frozenset(
    [
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "fhgfs",
        "glusterfs",
        "gpfs",
        "lustre",
        "nfs",
        "nfs4",
        "orangefs",
        "ocfs2",
        "gfs2",
        "panfs",
        "pvfs2",
        "smb3",
        "virtiofs",
        "wekafs",
    ]
)
_IN_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs"})
_OWN_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm", "/run")


def existing_part(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def file_system_of(path: Path) -> str | None:
    """The type of the file system that holds a path, such as `ext4`; None where nobody says."""
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    place = os.path.realpath(existing_part(path))
    best, kind = "", None
    for line in mounts:
        before, _, after = line.partition(" - ")
        point = re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), before.split(" ")[4])
        if len(point) >= len(best) and f"{place}/".startswith(f"{point.rstrip('/')}/"):
            best, kind = point, after.split(" ")[0]
    return kind


def may_be_shared(kind: str) -> bool:
    """Whether a type of file system is made to be mounted by several machines."""
    return kind in _SHARED or kind.startswith("fuse")


def why_not_shared(path: Path) -> str | None:
    """Why other machines will hardly see a folder; None where nothing says so."""
    kind = file_system_of(path)
    if kind in _IN_MEMORY:
        return f"{path} lies in the memory of this machine ({kind})"
    if kind is not None and may_be_shared(kind):
        return None
    real = Path(os.path.realpath(existing_part(path)))
    for folder in (*_OWN_FOLDERS, tempfile.gettempdir()):
        if real.is_relative_to(folder):
            return f"{path} lies in {folder}, which each machine has for itself"
    return None
