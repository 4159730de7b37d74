"""Trials of a sweep by the value of one swept field. Pure."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from deit_core.records import PlannedTrial, PlanRecord
from launcher.errors import LaunchError
from launcher.monitor import Row
from launcher.text import value

SEED = "seed"
TEACHER = "teacher"


@dataclass(frozen=True)
class Group:
    """Trials that have the same value."""

    label: str
    rows: tuple[Row, ...]

    @property
    def states(self) -> dict[str, int]:
        """Number of trials by state."""
        return dict(Counter(row.shown_state for row in self.rows))

    @property
    def results(self) -> list[float]:
        """Accuracy of each trial that is completed, in percent."""
        done = (row.val_top1 for row in self.rows if row.state == "completed")
        return [top1 for top1 in done if top1 is not None]

    @property
    def mean_top1(self) -> float | None:
        """Mean accuracy of the completed trials; None where there is none."""
        return statistics.fmean(self.results) if self.results else None


def group_field(given: str | None, plan: PlanRecord, *, searched: bool = False) -> str | None:
    """The field to group by: the one that is named, else the first that varies; None: none does.

    Args:
        given: a swept field or its last part, or `seed`.
        plan: of the sweep.
        searched: whether it is a search, whose values hardly ever repeat: nothing to group by.

    Raises:
        LaunchError: no such swept field, or several with this last part.
    """
    if given is None and searched:
        return None
    if given is None:
        return next((axis for axis in plan.axes if _varies(axis, plan.trials)), None)
    fields = (*plan.axes, SEED)
    matches = [field for field in fields if field == given] or [
        field for field in fields if field.rsplit(".", 1)[-1] == given
    ]
    if len(matches) != 1:
        raise LaunchError(f"--by {given}: give one of {', '.join(matches or fields)}")
    return matches[0]


def _varies(axis: str, trials: Sequence[PlannedTrial]) -> bool:
    return len({value(one.swept.get(axis)) for one in trials if one.role == "student"}) > 1


def group_rows(rows: Iterable[Row], field: str) -> list[Group]:
    """Rows by their value of a field, in plan order; teachers, which nothing is swept of, apart."""
    members: dict[str, list[Row]] = {}
    for row in rows:
        shown = str(row.seed) if field == SEED else value(row.swept.get(field))
        label = TEACHER if row.role == "teacher" else shown
        members.setdefault(label, []).append(row)
    return [Group(label, tuple(rows)) for label, rows in members.items()]
