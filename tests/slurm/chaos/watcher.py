"""Looks for a trial that is trained twice, as the operating system sees it.

No job can take back what is noted here: two first ranks of one trial at the same time, and when
each of them was started.
"""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from slurm_cluster.cluster import SlurmCluster
from slurm_cluster.processes import Process

from deit_core.run_dir import RunDir

_EVERY_S = 0.7


class Watcher(threading.Thread):
    """Keeps the trials that were seen in two first ranks at once, and the start of every one."""

    def __init__(self, cluster: SlurmCluster, runs: Path) -> None:
        super().__init__(name="watcher", daemon=True)
        self.cluster = cluster
        self.marker = str(runs.resolve()) + "/"
        self.looks = 0
        self.twice: dict[str, set[str]] = defaultdict(set)
        self.starts: dict[str, dict[str, float]] = defaultdict(dict)
        """By trial: its first ranks, each with when it was started."""
        self._stop_asked = threading.Event()

    def run(self) -> None:
        while not self._stop_asked.wait(_EVERY_S):
            self.look()

    def look(self) -> None:
        self.looks += 1
        for trial, pids in self._leaders(self.cluster.processes()).items():
            if len(pids) > 1:
                self.twice[trial].add(" and ".join(pids))

    def _leaders(self, processes: Iterable[Process]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for process in processes:
            if process.rank == 0 and " -m deit_core " in process.command:
                where = f"{process.pid} of job {process.job_ids[-1]} on {process.node}"
                for word in process.command.split():
                    if word.startswith(self.marker):
                        found[Path(word).name].append(where)
                        self._note_start(Path(word).name, where, process.pid)
        return found

    def _note_start(self, trial: str, where: str, pid: int) -> None:
        if where not in self.starts[trial]:
            with suppress(OSError):  # it has ended since
                self.starts[trial][where] = started_unix_s(pid)

    def after_their_result(self, trials: dict[str, RunDir]) -> list[str]:
        """First ranks that were started when their trial had its result already."""
        return [
            f"{trial}: {where} was started after it was completed"
            for trial, starts in self.starts.items()
            for where, when in starts.items()
            if trials[trial].summary_file.exists()
            and when > trials[trial].summary_file.stat().st_mtime
        ]

    def stop(self) -> None:
        self._stop_asked.set()
        self.join()


def started_unix_s(pid: int) -> float:
    """When a process was started (proc(5): `starttime` is the 20th field after its name)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.time() - age_s
