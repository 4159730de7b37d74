"""The daemons of a cluster, each by name, all of them children of one warden."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from slurm_cluster import warden
from slurm_cluster.waiting import wait_until


class Daemons:
    """Starts, finds and kills daemons; none of them outlives this process."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._lock = threading.Lock()
        self._pids: dict[str, int] = {}
        self._warden = subprocess.Popen(
            [sys.executable, "-I", warden.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @property
    def warden_pid(self) -> int:
        return self._warden.pid

    def start(self, name: str, argv: Sequence[str], environ: Mapping[str, str]) -> None:
        """Start a daemon that stays in the foreground; its output goes to log/NAME.log."""
        order = {
            "argv": list(argv),
            "environ": dict(environ),
            "log": str(self._logs / f"{name}.log"),
        }
        assert self._warden.stdin is not None
        assert self._warden.stdout is not None
        with self._lock:  # tests break things from threads of their own
            self._warden.stdin.write(json.dumps(order) + "\n")
            self._warden.stdin.flush()
            self._pids[name] = int(self._warden.stdout.readline())

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send one daemon a signal and wait for its end."""
        pid = self._pids.pop(name)
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        wait_until(lambda: not is_alive(pid), 20, f"{name} to end")

    def pids(self) -> dict[str, int]:
        """Process ids of the daemons that run, by name."""
        return {name: pid for name, pid in self._pids.items() if is_alive(pid)}

    def stop(self) -> None:
        """End all daemons and all that they started, and return when nothing is left of them."""
        self._pids.clear()
        self._warden.terminate()
        self._warden.communicate()


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"
