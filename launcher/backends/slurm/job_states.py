"""How jobs stand, by their files and by what SLURM says of their elements.

An element may run several jobs one after the other, so what SLURM says of it holds for the job
that it is at; the others wait for their turn.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from launcher.backends.base import JobReport
from launcher.backends.slurm.array_dir import ArrayDir
from launcher.backends.slurm.arrays import Place
from launcher.backends.slurm.client import QueueEntry


@dataclass(frozen=True)
class Marks:
    """Tags of one array's jobs that carry each marker, by one look."""

    ended: frozenset[str]
    cancelled: frozenset[str]
    held: frozenset[str]

    @classmethod
    def of(cls, array: ArrayDir) -> Marks:
        """Look now: what is asked of SLURM later is then no older than this."""
        return cls(
            frozenset(array.marked("ended")),
            frozenset(array.marked("cancel")),
            frozenset(array.marked("hold")),
        )


def read_marks(places: Iterable[Place]) -> dict[Path, Marks]:
    """The markers of the arrays of these jobs, by the arrays' folders."""
    arrays = {place.array.path: place.array for place in places}
    return {path: Marks.of(array) for path, array in arrays.items()}


def is_trained(place: Place) -> bool:
    """Whether the element, which has nodes, trains this job and no other one."""
    return len(place.jobs) == 1 or _is_running(place, place.job.tag)


def report_of(place: Place, entry: QueueEntry, marks: Marks) -> JobReport:
    """How a job stands that has not ended.

    Args:
        place: where it is.
        entry: what SLURM says of its element.
        marks: read before SLURM was asked, so that an element that still waited had not yet
            passed by a job that was cancelled.
    """
    tag = place.job.tag
    held = tag in marks.held or entry.is_held
    behind = not entry.waits and _is_behind(place)
    if tag in marks.cancelled and (entry.waits or behind):
        return JobReport("ended")
    if behind:
        turn = f"its turn in {place.element}, which runs one job after the other"
        return JobReport("queued", turn, held=held)
    return replace(scheduler_report(entry), held=held)


def scheduler_report(entry: QueueEntry | None) -> JobReport:
    """What SLURM alone says; None: it has no such job."""
    if entry is None:
        return JobReport("ended")
    reason = "" if entry.reason in ("None", "") else f" ({entry.reason})"
    if entry.waits:
        return JobReport("queued", f"{entry.state}{reason}", held=entry.is_held)
    return JobReport("running", f"{entry.state} on {entry.nodes}{reason}")


def _is_behind(place: Place) -> bool:
    """Whether the element is at another job; between two jobs that cannot be told."""
    if len(place.jobs) == 1 or _is_running(place, place.job.tag):
        return False
    return any(_is_running(place, job.tag) for job in place.jobs)


def _is_running(place: Place, tag: str) -> bool:
    progress = place.array.read_progress(tag)
    return progress is not None and progress.state == "running"
