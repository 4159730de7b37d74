"""Stopping, holding and slowing down jobs that were submitted.

A request is a file that the job's element looks for, so it reaches a job in whatever state it is;
SLURM is told as well, for the sake of those that wait, and to wake those that run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from launcher.backends.base import JobReport
from launcher.backends.slurm import client
from launcher.backends.slurm.arrays import Arrays, Place
from launcher.backends.slurm.limits import shares
from launcher.errors import LaunchError

_AT_ONCE = 500
"""Elements named in one command: its length is limited."""


def cancel(places: Mapping[str, Place], reports: Mapping[str, JobReport]) -> None:
    """Stop jobs: those that wait are taken out, those that run save first."""
    for place in places.values():
        place.array.mark("cancel", place.job.tag)
    for waiting in _batches(_waiting(places, reports)):
        client.ask("scancel", *waiting)
    _wake(places, reports)


def hold(places: Mapping[str, Place], reports: Mapping[str, JobReport]) -> None:
    """Keep jobs from running: those that run save, and then wait as well."""
    for place in places.values():
        place.array.mark("hold", place.job.tag)
    for waiting in _batches(_waiting(places, reports)):
        client.ask("scontrol", "hold", ",".join(waiting))
    _wake(places, reports)


def release(places: Collection[Place]) -> None:
    """Let held jobs run again."""
    for place in places:
        place.array.unmark("hold", place.job.tag)
    for elements in _batches(_distinct(place.element for place in places)):
        client.ask("scontrol", "release", ",".join(elements))


def _waiting(places: Mapping[str, Place], reports: Mapping[str, JobReport]) -> list[str]:
    """Elements that wait; those of several jobs are left to their supervisor."""
    return [
        place.element
        for job_id, place in places.items()
        if job_id in reports and reports[job_id].state == "queued" and place.is_alone
    ]


def _wake(places: Mapping[str, Place], reports: Mapping[str, JobReport]) -> None:
    """Let the ranks of running jobs save and leave: the supervisor then sees what was asked."""
    running = [
        place.element
        for job_id, place in places.items()
        if job_id in reports and reports[job_id].state == "running"
    ]
    for elements in _batches(_distinct(running)):
        client.ask("scancel", "--signal=TERM", *elements)


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[start : start + _AT_ONCE] for start in range(0, len(names), _AT_ONCE))


def throttle(arrays: Arrays, group: str, most: int | None) -> None:
    """Set the throttle of a sweep's arrays, each by its share of what has not ended.

    Raises:
        LaunchError: SLURM refuses, or does not answer.
    """
    sizes = {
        slurm_id: sum(map(len, record.elements)) - len(array.marked("ended"))
        for array, record in arrays.live()
        if record.group == group and (slurm_id := array.slurm_id()) is not None
    }
    entries = client.queue(list(sizes))
    if entries is None:
        raise LaunchError("SLURM does not answer; try again later")
    queued = {entry.array_id for entry in entries}
    live = [slurm_id for slurm_id in sizes if slurm_id in queued]
    for slurm_id, share in zip(live, shares(most, [sizes[name] for name in live]), strict=True):
        change = f"ArrayTaskThrottle={share or 0}"
        answer = client.ask("scontrol", "update", f"JobId={slurm_id}", change)
        if not answer.ok:
            raise LaunchError(f"SLURM refuses to throttle array {slurm_id}: {answer.error}")
