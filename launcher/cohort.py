"""Which trials share a job, pure.

The rule, in the order it is applied:

1. A teacher is a job of its own.
2. Trials may share a job when their stream key is equal and those that have a teacher have the
   same one. A trial that is ready never waits in a cohort for a teacher that is still to be
   trained: ready and waiting trials are kept apart.
3. At most `largest` trials share a job, no more than fit into its memory, and the jobs of a stream
   are as even as possible.
4. While there are fewer jobs than slots, the largest one is halved: an idle slot costs more than
   a second reading of the same images.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from deit_core.identity import stream_key, teacher_key
from launcher.expand import Trial


@dataclass(frozen=True)
class Cohort:
    """Trials of one job, and the trials that must be completed before it may start."""

    trials: tuple[Trial, ...]
    after: tuple[str, ...] = ()


Fits = Callable[[Sequence[Trial]], bool]
"""Whether these trials can be trained side by side in the memory of a job."""


def form_cohorts(
    trials: Sequence[Trial],
    *,
    untrained: frozenset[str],
    largest: int,
    slots: int | None,
    fits: Fits = lambda trials: True,
) -> tuple[Cohort, ...]:
    """Group the trials that are to run into jobs.

    Args:
        trials: in plan order.
        untrained: ids of teachers that are not completed yet.
        largest: most trials in one job.
        slots: jobs that run at the same time; None when that is unknown.
        fits: a trial that does not even fit alone is a job of its own all the same.
    """
    teachers = [Cohort((trial,), _waits(trial, untrained)) for trial in trials if _alone(trial)]
    phases: dict[tuple[str, ...], list[Trial]] = defaultdict(list)
    for trial in trials:
        if not _alone(trial):
            phases[_waits(trial, untrained)].append(trial)
    students = [
        Cohort(part, after)
        for after, members in phases.items()
        for part in _fill(_cut(members, largest, fits), slots or 0)
    ]
    order = {trial.trial_id: place for place, trial in enumerate(trials)}
    students.sort(key=lambda cohort: (len(cohort.after), order[cohort.trials[0].trial_id]))
    return (*teachers, *students)


def _alone(trial: Trial) -> bool:
    return trial.role == "teacher"


def _waits(trial: Trial, untrained: frozenset[str]) -> tuple[str, ...]:
    return tuple(name for name in trial.after if name in untrained)


def _cut(members: Iterable[Trial], largest: int, fits: Fits) -> list[tuple[Trial, ...]]:
    """Even parts of at most `largest` trials that see the same stream and teacher."""
    streams: dict[str, dict[str | None, list[Trial]]] = defaultdict(lambda: defaultdict(list))
    for trial in members:
        streams[stream_key(trial.config)][teacher_key(trial.config)].append(trial)
    parts = []
    for by_teacher in streams.values():
        free = by_teacher.pop(None, [])  # learns from labels alone, so it may join any teacher's
        groups = list(by_teacher.values()) or [[]]
        groups[0] = [*free, *groups[0]]
        parts += [part for group in groups for part in _even(group, largest, fits)]
    return parts


def _even(group: Sequence[Trial], largest: int, fits: Fits) -> list[tuple[Trial, ...]]:
    """As few parts as can be, none too large."""
    for count in range(-(-len(group) // largest), len(group) + 1):
        bounds = [len(group) * part // count for part in range(count + 1)]
        parts = [tuple(group[low:high]) for low, high in pairwise(bounds)]
        if all(len(part) == 1 or fits(part) for part in parts):
            return parts
    return []  # of no trials


def _fill(parts: list[tuple[Trial, ...]], slots: int) -> list[tuple[Trial, ...]]:
    """Halve the largest part until every slot has a job or every job has one trial."""
    parts = list(parts)
    while parts and len(parts) < slots:
        place = max(range(len(parts)), key=lambda index: len(parts[index]))
        part = parts[place]
        if len(part) == 1:
            break
        middle = (len(part) + 1) // 2
        parts[place : place + 1] = [part[:middle], part[middle:]]
    return parts
