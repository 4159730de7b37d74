"""What an element does for the search that its jobs belong to: it takes up more of them.

So that one allocation trains one point after another. The asking itself is a process of its own, as
samplers import much that a supervisor does not need.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from deit_core.errors import RunDirError, UserError
from launcher.backends.registry import open_backend
from launcher.backends.slurm.array_dir import ArrayDir, ArrayJob, ArrayRecord
from launcher.backends.slurm.arrays import Arrays
from launcher.backends.slurm.element_log import log
from launcher.live_jobs import observe_sweep
from launcher.locks import locked
from launcher.request import read_request
from launcher.search.hook import goes_on
from launcher.search.outcomes import was_cancelled
from launcher.search.records import SearchDir
from launcher.siblings import attempts_in, should_stop_sweep
from launcher.sweep_dir import SweepDir

_ASKING_PATIENCE_S = 300.0


class MoreJobs:
    """The jobs that a search has for one element."""

    def __init__(self, array: ArrayDir, record: ArrayRecord, index: int) -> None:
        self.array = array
        self.record = record
        self.index = index
        self.runs = array.path.parents[1]
        self.sweep_dir = SweepDir(self.runs / record.group)
        self._untried: set[str] = set()
        """Trials that were taken up here and have had no attempt since."""

    def may_take(self) -> bool:
        """Whether the jobs belong to a search that goes on.

        One that has become hopeless is ended here: nobody else may come by.
        """
        try:
            if not goes_on(self.runs, self.record.group):
                return False
            why = self.hopeless(self.sweep_dir.trials)
            if why is not None:
                self._end(why)
        except RunDirError as error:
            log(f"whether the search goes on is not known: {error}")
            return False
        return why is None

    def hopeless(self, folder: Path) -> str | None:
        """Why no more should start: jobs failed one after another since the last were submitted.

        Args:
            folder: all trials of the sweep.
        """
        since = self.record.submitted_unix_s
        attempts = attempts_in(folder, since)
        if should_stop_sweep(attempts, since) is None:
            return None
        # What failed before the user submitted others, the user knows.
        arrays = Arrays(self.runs).of(self.record.group)
        latest = max((record.submitted_unix_s for _, record in arrays), default=since)
        return should_stop_sweep(attempts, latest)

    def _end(self, why: str) -> None:
        search = SearchDir(self.sweep_dir)
        reason = why.removeprefix("not started: ")
        with locked(self.sweep_dir.lock_file):
            if search.read_ended() is None:
                search.end(f"{reason}; mend that, then `deit-launch retry --failed`")

    def has_work(self) -> bool:
        """Whether the search has something left to do: points to ask for, or lost trials."""
        search = SearchDir(self.sweep_dir)
        try:
            if search.read_ended() is None and search.count_points() < search.read_search().budget:
                return True
            backend = open_backend("slurm", self.runs)
            seen = observe_sweep(self.sweep_dir, read_request(self.sweep_dir), backend).values()
        except UserError as error:
            log(f"whether the search has something left is not known: {error}")
            return True
        return any(one.condition in ("new", "stopped") and not was_cancelled(one) for one in seen)

    def take(self) -> None:
        """Ask for a job for this element; at most one, and none that nothing came of before."""
        before = {job.tag for job in self._jobs()}
        self._ask("the next job", str(self.index))
        for job in self._jobs():
            if job.tag in before:
                continue
            if not self._untried.isdisjoint(job.run_dirs):
                log(f"job {job.tag}: its trials could not be tried here before")
                self.array.mark("ended", job.tag)
            self._untried.update(job.run_dirs)

    def note_attempt(self, run_dirs: Iterable[str]) -> None:
        """Trials are tried now, so that they may be taken up once more."""
        self._untried.difference_update(run_dirs)

    def hand_over(self) -> None:
        """Have the search submit another job instead of this element, which cannot go on."""
        self._ask("a job in place of this one")

    def _jobs(self) -> tuple[ArrayJob, ...]:
        return self.array.with_more(self.record).elements[self.index]

    def _ask(self, what: str, *index: str) -> None:
        module = "launcher.search.next_job"
        command = [sys.executable, "-P", "-m", module, str(self.array.path), *index]
        try:
            code = subprocess.run(command, check=False, timeout=_ASKING_PATIENCE_S).returncode
        except (OSError, subprocess.TimeoutExpired) as error:
            log(f"the search could not be asked for {what}: {error}")
            return
        if code != 0:
            log(f"asking the search for {what} ended with exit code {code}")
