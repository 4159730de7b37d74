"""Stopping and holding jobs that were submitted, and letting them go on.

A request is a file that the job's element looks for, so it reaches a job in whatever state it is;
SLURM is told as well, for the sake of elements that wait, and to wake those that run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from launcher.backends.slurm import client
from launcher.backends.slurm.arrays import Arrays, Place
from launcher.backends.slurm.job_states import Marks, is_trained, read_marks
from launcher.errors import LaunchError

_AT_ONCE = 500
"""Elements named in one command: its length is limited."""


def cancel(arrays: Arrays, places: Mapping[str, Place]) -> None:
    """Stop jobs: those that wait are taken out, those that run save first."""
    for place in places.values():
        place.array.mark("cancel", place.job.tag)
    waiting, trained = _elements(arrays, places, lambda marks: marks.cancelled)
    for elements in _batches(waiting):
        client.act("scancel", *elements)
    _wake(trained)


def hold(arrays: Arrays, places: Mapping[str, Place]) -> None:
    """Keep jobs from running: those that run save, and then wait as well."""
    for place in places.values():
        place.array.mark("hold", place.job.tag)
    waiting, trained = _elements(arrays, places, lambda marks: marks.held | marks.cancelled)
    for elements in _batches(waiting):
        client.act("scontrol", "hold", ",".join(elements))
    _wake(trained)


def release(arrays: Arrays, places: Mapping[str, Place]) -> None:
    """Let held jobs run again; one that is still saving goes on by itself.

    Raises:
        LaunchError: SLURM does not answer, or still holds one of them.
    """
    for place in places.values():
        place.array.unmark("hold", place.job.tag)
        place.array.unmark("cancel", place.job.tag)  # left by a call that was interrupted
    refused = ""
    # Also those that are not held yet: an element that has just saved may be on its way there.
    for elements in _batches(_distinct(entry.name for entry in _queued(arrays, places))):
        answer = client.act("scontrol", "release", ",".join(elements))
        refused = refused or answer.error
    held = [entry for entry in _queued(arrays, places) if entry.is_held] if refused else []
    if held:
        raise LaunchError(f"SLURM does not release job {held[0].name}: {refused}")


def _queued(arrays: Arrays, places: Mapping[str, Place]) -> list[client.QueueEntry]:
    entries = arrays.entries(places)
    if entries is None:
        raise LaunchError(
            "SLURM does not answer, so jobs that it holds are not released yet; try again later"
        )
    return list(entries.values())


def _elements(
    arrays: Arrays, places: Mapping[str, Place], left_out: Callable[[Marks], frozenset[str]]
) -> tuple[list[str], list[str]]:
    """Elements that wait and have nothing else to do, and those that train one of these jobs."""
    entries = arrays.entries(places) or {}
    marks = read_marks(places.values())
    waiting, trained = [], []
    for job_id, entry in entries.items():
        place = places[job_id]
        mine = marks[place.array.path]
        if not entry.waits:
            trained += [entry.name] if is_trained(place) else []
        elif {job.tag for job in place.jobs} <= left_out(mine) | mine.ended:
            waiting.append(entry.name)
    return _distinct(waiting), _distinct(trained)


def _wake(elements: Sequence[str]) -> None:
    """Let the ranks of running jobs save and leave: the supervisor then sees what was asked."""
    for some in _batches(elements):
        client.act("scancel", "--signal=TERM", *some)


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[start : start + _AT_ONCE] for start in range(0, len(names), _AT_ONCE))
