"""Looks for two jobs that train one trial at the same time, as the operating system sees it."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from slurm_cluster.cluster import SlurmCluster
from slurm_cluster.processes import Process

_EVERY_S = 0.7


class Watcher(threading.Thread):
    """Keeps the trials that were seen in two first ranks at once."""

    def __init__(self, cluster: SlurmCluster, runs: Path) -> None:
        super().__init__(name="watcher", daemon=True)
        self.cluster = cluster
        self.marker = str(runs.resolve()) + "/"
        self.looks = 0
        self.twice: dict[str, set[str]] = defaultdict(set)
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
        return found

    def stop(self) -> None:
        self._stop_asked.set()
        self.join()
