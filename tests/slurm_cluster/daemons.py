"""The daemons of a cluster, each by name, all of them children of one warden."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from slurm_cluster import warden
from slurm_cluster.waiting import wait_until


class Daemons:
    """Starts, finds and kills daemons; none of them outlives this process."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
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
        """Process ids of the daemons that were started and not killed, by name."""
        return dict(self._pids)

    def alive(self, name: str) -> bool:
        """Whether the daemon runs."""
        return name in self._pids and is_alive(self._pids[name])

    def stop(self) -> None:
        """End all daemons and all that they started."""
        self._pids.clear()
        if self._warden.poll() is None:
            self._warden.communicate()
        for pipe in (self._warden.stdin, self._warden.stdout):
            assert pipe is not None
            pipe.close()


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"
