"""The students of a job: built in each process alone, then connected, if all processes could."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from deit_core.config import RunConfig
from deit_core.errors import UserError
from deit_core.records import FailureKind
from deit_core.run_dir import RunDir
from deit_core.train.build import build_student, connect_student
from deit_core.train.progress import ProgressView
from deit_core.train.student import Student
from deit_core.train.trainer import Shared

_log = logging.getLogger(__name__)

LeaveOut = Callable[[RunDir, str, FailureKind], None]
"""Takes a run whose student cannot be built, the reason and its kind."""


class _Outcome(NamedTuple):
    """What came of building one student in one process."""

    step: int = 0
    reason: str | None = None
    failure: FailureKind = "user_error"


@dataclass(frozen=True)
class Cohort:
    """Trials that are trained side by side."""

    runs: Sequence[RunDir]
    configs: Sequence[RunConfig]
    shared: Shared

    def build(self, steps_per_epoch: int, view: ProgressView, leave_out: LeaveOut) -> list[Student]:
        """The students that every process can build, connected.

        One with a mistake of its own does not stop the others. Nothing in which processes wait for
        each other happens before they have agreed on who is in: a process that went on without a
        student would be taken for one that trains it.
        """
        ranks = self.shared.ranks
        built = [
            self._try_to_build(number, steps_per_epoch, view) for number in range(len(self.runs))
        ]
        outcomes = ranks.gather([outcome for _, outcome in built])
        students = []
        for number, (student, _) in enumerate(built):
            problem = _problem([of_rank[number] for of_rank in outcomes])
            if student is not None and problem is None:
                connect_student(student, self.shared.device)
                students.append(student)
            elif problem is not None and ranks.leads:
                leave_out(self.runs[number], *problem)
        return students

    def _try_to_build(
        self, number: int, steps_per_epoch: int, view: ProgressView
    ) -> tuple[Student | None, _Outcome]:
        run, config, leads = self.runs[number], self.configs[number], self.shared.ranks.leads
        try:
            student = build_student(
                run, config, self.shared, steps_per_epoch=steps_per_epoch, view=view
            )
        except UserError as error:
            if leads:
                _log.error("%s: %s", run.read_trial().name, error)
            return None, _Outcome(reason=str(error))
        except (OSError, RuntimeError, ValueError) as error:
            _log.exception("%s cannot be built", run.read_trial().name)
            return None, _Outcome(reason=f"{type(error).__name__}: {error}", failure="crashed")
        return student, _Outcome(student.step)


def _problem(outcomes: Sequence[_Outcome]) -> tuple[str, FailureKind] | None:
    """Why a student cannot be trained, from what came of it in each process."""
    for rank, outcome in enumerate(outcomes):
        if outcome.reason is not None:
            where = f"in process {rank}: " if rank else ""
            return where + outcome.reason, outcome.failure
    steps = [outcome.step for outcome in outcomes]
    if len(set(steps)) > 1:
        return (
            f"the processes find checkpoints of different steps ({', '.join(map(str, steps))}); "
            f"put the runs on a file system that all of them share",
            "user_error",
        )
    return None
