"""A search with simulated workers: its real files and decisions, in simulated time, in one process.

Asking (`launcher.search.grow`), points, run directories and the pruner are the real ones. What is
left out is whatever starts processes: backends, jobs and their plans.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from surrogate import Training, epoch_cost

from deit_core.run_dir import RunDir
from launcher.backends.local import LocalBackend
from launcher.expand import Trial
from launcher.observe import Observation, observe
from launcher.request import Request
from launcher.search.grow import grow
from launcher.search.outcomes import PointOutcome
from launcher.search.records import SearchDir
from launcher.sweep_dir import SweepDir
from launcher.trial_dirs import create_trials, own_paths

SLOTS = 4
"""Trials that run at once."""


class SimulatedSearch:
    """One search from its first point to its last."""

    def __init__(self, request: Request, folder: Path) -> None:
        self.request = request
        self.sweep_dir = SweepDir(folder)
        self.backend = LocalBackend(folder.parent)  # asked about nothing: no trial has a job
        self.active: set[str] = set()
        self.waiting: deque[Training] = deque()
        self.running: list[tuple[float, int, Training]] = []
        self.order = itertools.count()
        self.outcomes: tuple[PointOutcome, ...] = ()

    def run(self) -> tuple[PointOutcome, ...]:
        """What became of every point, in the order of asking."""
        self._refill(0.0)
        while self.running:
            now, _, training = heapq.heappop(self.running)
            if training.train_epoch():
                self.active.discard(training.run.path.name)
                self._refill(now)
            else:
                self._run_on(now, training)
        return self.outcomes

    def _refill(self, now: float) -> None:
        """What whoever moves jobs does when one has ended."""
        growth = grow(self.request, SearchDir(self.sweep_dir), self._look, lambda _: SLOTS)
        self.request, self.outcomes = growth.request, growth.outcomes
        growth.write(SearchDir(self.sweep_dir))
        trials = {trial.trial_id: trial for trial in growth.request.expansion.trials}
        asked = [trials[name] for point in growth.asked for name in point.trial_ids]
        paths = create_trials(self.sweep_dir, asked, {})
        self.waiting.extend(self._training(trial, paths) for trial in asked)
        while self.waiting and len(self.running) < SLOTS:
            training = self.waiting.popleft()
            training.begin()
            self._run_on(now, training)

    def _training(self, trial: Trial, paths: Mapping[str, Path]) -> Training:
        self.active.add(trial.trial_id)
        return Training(RunDir(paths[trial.trial_id]), trial.config, self.request.pruner)

    def _run_on(self, now: float, training: Training) -> None:
        done = now + epoch_cost(training.config)
        heapq.heappush(self.running, (done, next(self.order), training))

    def _look(self, ids: Collection[str]) -> dict[str, Observation]:
        seen = observe(own_paths(self.sweep_dir, set(ids)), self.backend)
        return {
            name: replace(one, condition="running") if name in self.active else one
            for name, one in seen.items()
        }
