"""A user, or cron, who calls `deit-launch sweep` again and again, and now and then is killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from slurm_cluster.cluster import SlurmCluster

PAUSE_S = 2.0
_LIMIT_S = 180.0


class Caller(threading.Thread):
    """Calls until it is told to stop; the calls of one caller never overlap."""

    def __init__(
        self, cluster: SlurmCluster, file: Path, runs: Path, random: random.Random
    ) -> None:
        super().__init__(name="caller", daemon=True)
        self.command = [sys.executable, "-P", "-m", "launcher.cli", "sweep", str(file)]
        self.command += ["--backend", "slurm", "--runs-dir", str(runs)]
        self.environ = {**cluster.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        self.cwd = file.parent
        self.random = random
        self.calls = 0
        self.refusals: list[str] = []
        """What calls said that could do nothing, such as while the controller was away."""
        self.failures: list[str] = []
        """What calls said that ended as none may."""
        self.last_s = 3.0
        """How long a call takes that nobody kills."""
        self._stop_asked = threading.Event()
        self._kill_asked = threading.Event()
        self._killed = threading.Event()

    def run(self) -> None:
        while not self._stop_asked.is_set():
            self.call(kill=self._kill_asked.is_set())
            self._stop_asked.wait(PAUSE_S)

    def call(self, *, kill: bool = False) -> None:
        """Call once; with `kill`, until a moment drawn at random."""
        began = time.monotonic()
        with subprocess.Popen(
            self.command,
            cwd=self.cwd,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                limit_s = self.random.uniform(0.2, 1.1) * self.last_s if kill else _LIMIT_S
                said, _ = process.communicate(timeout=limit_s)
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
                said, _ = process.communicate()
                if kill:
                    self._kill_asked.clear()
                    self._killed.set()
                    return
                said += f"\nstill running after {_LIMIT_S:.0f} s"
        self.last_s = time.monotonic() - began
        self._judge(process.returncode, said)

    def _judge(self, code: int, said: str) -> None:
        self.calls += 1
        if code == 2 and "Traceback" not in said:
            self.refusals.append(said.strip())
        elif code != 0:
            self.failures.append(f"exit code {code}: {said.strip()}")

    def kill_one(self, patience_s: float) -> bool:
        """Have one of the next calls killed; returns whether that happened in time."""
        self._killed.clear()
        self._kill_asked.set()
        done = self._killed.wait(patience_s)
        self._kill_asked.clear()
        return done

    def stop(self) -> None:
        self._stop_asked.set()
        self.join()
