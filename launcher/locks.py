"""Locks that the kernel releases when their holder dies: flock on an open file description."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from deit_core.errors import RunDirError

_BUSY = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}


def take_lock(path: Path, *, wait: bool = False) -> int | None:
    """Lock a file and return its descriptor; None when another process holds it.

    The descriptor may be handed to a child (`pass_fds`): the lock then lives until the last
    process that has it ends, whatever becomes of this one.

    Raises:
        RunDirError: the file cannot be written, or the file system has no locks.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise RunDirError(f"cannot write {path}: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        os.close(handle)
        if error.errno in _BUSY:
            return None
        raise RunDirError(
            f"cannot lock {path}: {error.strerror}; put the runs on a file system with flock"
        ) from error
    return handle


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, waiting for it if need be. Raises RunDirError."""
    handle = take_lock(path, wait=True)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)
