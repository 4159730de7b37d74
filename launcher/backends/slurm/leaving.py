"""How an element stops: queued again by SLURM, or its jobs submitted anew."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from launcher.backends.endings import open_trials
from launcher.backends.slurm import client
from launcher.backends.slurm.array_dir import ArrayDir, ArrayJob, ArrayRecord
from launcher.backends.slurm.element_log import log
from launcher.backends.slurm.here import Deadline, Here, is_preempted_for_good
from launcher.backends.slurm.told import Told

_REQUEUE_PATIENCE_S = 180.0
"""A controller that restarts is back by then."""
_LAST_MOMENTS_S = 10.0
"""Before the time limit: enough to submit the rest anew."""
_AFTER_REQUEUE_S = 120.0
"""SLURM ends this process when it queues the job again."""
_SUBMIT_PATIENCE_S = 300.0
_PASSING = re.compile(
    r"contact|connect|socket|timed out|did not answer|temporarily|zero byte", re.IGNORECASE
)
"""In the words of a controller that is away; any other refusal is for good."""


class Leave(Enum):
    """Why the element stops working on a job."""

    DONE = "done"
    REQUEUE = "requeue"
    """Train on, but not now or not here."""
    HELD = "held"
    ELSEWHERE = "elsewhere"
    """Train on, in a job of another shape: SLURM cannot change this one."""
    REPLACED = "replaced"
    """SLURM has given up this node and started the element again: that one goes on."""


@dataclass(frozen=True)
class Exit:
    """The ways out of an element."""

    array: ArrayDir
    record: ArrayRecord
    here: Here
    deadline: Deadline
    told: Told
    is_replaced: Callable[[], bool]

    @property
    def jobs(self) -> tuple[ArrayJob, ...]:
        """All jobs of the element."""
        return self.array.with_more(self.record).elements[self.here.index]

    def requeue(self, *, held: bool) -> bool:
        """Let SLURM queue this element again, unless it ends it for a reason of its own.

        Args:
            held: whether it must not run until the user lets it.

        Returns:
            Whether SLURM has it in hand. Else its jobs, if it has any, were submitted anew.
        """
        end = time.monotonic() + min(_REQUEUE_PATIENCE_S, self.deadline.left_s() - _LAST_MOMENTS_S)
        pause_s = 1.0
        while not self.is_replaced():
            if self._is_being_ended():
                log("SLURM is ending this job itself")
                if held or not is_preempted_for_good(self.here):
                    return True
                break
            how = "requeuehold" if held and self._is_held() else "requeue"
            self.told.forget()
            answer = client.ask("scontrol", how, self.here.name)
            if answer.ok:
                self._await_end(how)
                return True
            log(f"scontrol {how}: {answer.error}")
            passing = _PASSING.search(answer.error) is not None
            if not passing or time.monotonic() + pause_s > end:
                break
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 15.0)
        if self.is_replaced():
            return True
        self._submit_rest(held=held)
        return False

    def _is_held(self) -> bool:
        """Whether the user still wants it: `resume` may have come while the ranks saved."""
        held = self.array.marked("hold")
        return any(job.tag in held for job in self.jobs)

    def _is_being_ended(self) -> bool:
        entries = client.queue([self.here.name])
        mine = [entry for entry in entries or () if entry.index == self.here.index]
        return bool(mine) and mine[0].state == "COMPLETING"

    def _await_end(self, how: str) -> None:
        """SLURM tells this process to end within moments, and kills it after KillWait."""
        if how == "requeuehold" and not self._is_held():
            client.ask("scontrol", "release", self.here.name)
        end = time.monotonic() + _AFTER_REQUEUE_S
        while time.monotonic() < end and not self.told.to_end:
            time.sleep(0.2)

    def _submit_rest(self, *, held: bool) -> None:
        for job in self.jobs:
            if not self.array.is_marked("ended", job.tag):
                self.array.mark("ended", job.tag)
                if not held:
                    self.submit_again(job)

    def submit_again(self, job: ArrayJob) -> None:
        """Ask the launcher to submit what is left of a job; without it, the next `sweep` does."""
        run_dirs = open_trials(job.tag, job.run_dirs, log)
        if not run_dirs:
            return
        command = [sys.executable, "-P", "-m", "launcher.continue_trials", *run_dirs]
        try:
            code = subprocess.run(command, check=False, timeout=_SUBMIT_PATIENCE_S).returncode
        except (OSError, subprocess.TimeoutExpired) as error:
            log(f"job {job.tag}: it could not be submitted again: {error}")
            return
        log(f"job {job.tag}: submitting it again ended with exit code {code}")
