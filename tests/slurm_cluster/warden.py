"""The parent of all processes of a cluster: they end with it, and it ends with its owner.

Run as `python warden.py`, with a pipe from the owner as standard input. Each line of the pipe is
a JSON object {"argv", "environ", "log"}: the warden starts that daemon and answers with its
process id on a line of standard output. On SIGTERM, and when the owner is gone, however it ended,
the warden kills all its descendants. It adopts those whose parents have ended
(PR_SET_CHILD_SUBREAPER, prctl(2)), so a job's process cannot slip away by becoming a daemon.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    """Serve the owner until it is gone, then end everything."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "cannot adopt the orphans of a cluster")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(
            number, signal.SIG_IGN
        )  # Ctrl-C goes to the whole terminal: the owner decides
    owner = os.getppid()
    try:
        serve(owner)
    finally:
        end_descendants()


def serve(owner: int) -> None:
    """Start what the owner asks for; returns when the pipe is closed or the owner has ended.

    The pipe alone would not tell: a child that the owner has forked may still hold its end.
    """
    pending = b""
    while os.getppid() == owner:
        readable, _, _ = select.select([sys.stdin], [], [], 0.5)
        reap()
        if not readable:
            continue
        received = os.read(sys.stdin.fileno(), 65536)
        if not received:
            return
        *lines, pending = (pending + received).split(b"\n")
        for line in lines:
            print(start(**json.loads(line)), flush=True)  # noqa: T201


def start(argv: list[str], environ: dict[str, str], log: str) -> int:
    """Start a daemon in the foreground, which is killed when the warden is; returns its pid."""
    with Path(log).open("ab") as output:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *argv],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ).pid


def end_descendants() -> None:
    """Kill until nothing is left: what is started meanwhile becomes a child of this process too."""
    while pids := descendants(os.getpid()):
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        reap()
        time.sleep(0.01)


def descendants(ancestor: int) -> list[int]:
    """Process ids of all children, their children and so on, from /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (parent := parent_of(int(entry.name))) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    found = list(children.get(ancestor, []))
    for pid in found:
        found.extend(children.get(pid, []))
    return found


def parent_of(pid: int) -> int | None:
    """Parent's process id; None if the process is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(stat.rpartition(")")[2].split()[1])  # the name in parentheses may hold spaces


def reap() -> None:
    """Take the exit codes of all children that have ended, adopted ones too."""
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return


if __name__ == "__main__":
    main()
