"""Becomes one process of a job: `python -I -S rank_start.py PARENT_PID COMMAND…`.

What only the process itself can ask of the kernel, asked for before it becomes COMMAND. Imports
nothing but the standard library, so it costs a few milliseconds and needs no path.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # prctl(2)
_CANNOT_START = 127  # what a shell exits with where there is no such command

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
"""Those that deit_core.train.signals handles."""


def die_with(parent: int) -> None:
    """Be killed when the parent ends, however that ends; leave if it already has. Linux only."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(128 + signal.SIGKILL)


def hold_stop_signals() -> None:
    """Keep stop signals until the program is ready for them (it unblocks them itself).

    Importing torch takes seconds in which a signal would end the process at once; so one of
    several would be gone, and the others would wait for it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def become(command: list[str]) -> None:
    """Replace this process by a command; returns only by SystemExit, if that cannot be run."""
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.stderr.write(f"error: cannot start {command[0]}: {error.strerror}\n")
        sys.exit(_CANNOT_START)


if __name__ == "__main__":
    die_with(int(sys.argv[1]))
    hold_stop_signals()
    become(sys.argv[2:])
