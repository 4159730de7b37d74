"""Jobs that ended before they started their trials: in their `setup` lines, or in the queue.

SLURM's queue does not have them any more, and nothing shows that their supervisor ever began. What
the accounting says of them decides whose doing it was; without it, whether they left a log.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from deit_core.run_dir import RunDir
from launcher.attempts import last_attempt
from launcher.backends.base import Unstarted
from launcher.backends.slurm import accounting
from launcher.backends.slurm.arrays import Place
from launcher.evidence import last_lines

_FAILED = frozenset({"COMPLETED", "DEADLINE", "FAILED", "OUT_OF_MEMORY", "TIMEOUT"})
"""Ends that the job's own script has led to; also `exit 0` among its setup lines."""
_TAKEN_AWAY = re.compile(r"CANCELLED AT (?!.*DUE TO TIME LIMIT)")
"""What slurmstepd writes to the log of a job that it ends, such as for a preemption."""
_AT_ONCE = 500
"""Jobs named in one command: its length is limited."""


class Ends:
    """Remembers what the accounting has said: it does not change."""

    def __init__(self, runs: Path) -> None:
        self._runs = runs
        self._said: dict[str, str] = {}

    def describe(self, elements: Sequence[str]) -> Mapping[str, str]:
        """How elements ended, by the accounting; those that it does not know are left out."""
        unknown = list(dict.fromkeys(one for one in elements if one not in self._said))
        for start in range(0, len(unknown), _AT_ONCE):
            said = accounting.ended_as(unknown[start : start + _AT_ONCE])
            if said is None:
                break  # nor would it answer about the rest
            self._said |= said
        return {one: self._said[one] for one in elements if one in self._said}

    def unstarted(self, places: Mapping[str, Place]) -> dict[str, Unstarted]:
        """Those of these jobs, which have left the queue, that never began; by their ids."""
        never = {job_id: place for job_id, place in places.items() if not _began(place)}
        said = self.describe([place.element for place in never.values()])
        return {
            job_id: _judge(place, said.get(place.element), self._runs)
            for job_id, place in never.items()
        }


def _began(place: Place) -> bool:
    """Whether anything shows that it did, or that the user has taken it back."""
    array, tag = place.array, place.job.tag
    if array.owner(place.index) is not None or array.read_progress(tag) is not None:
        return True
    if array.is_marked("cancel", tag) or array.is_marked("ended", tag):
        return True
    attempts = [last_attempt(RunDir(Path(path))) for path in place.job.run_dirs]
    # One that names no node is what is written down of such an end (`early_ends`).
    return any(one is not None and one.tag == tag and one.nodes for one in attempts)


def _judge(place: Place, said: str | None, runs: Path) -> Unstarted:
    name, log = place.element, place.array.log(place.index)
    last = next(reversed(last_lines(log)), None)
    state = None if said is None else said.partition(" ")[0].rstrip("+")
    code = _exit_code(said)
    if code is not None and code < 0:  # whoever killed it: no line of the script's
        return Unstarted(f"its job {name} was killed before it started: {said}", scheduler=said)
    if state in _FAILED or (state is None and log.exists() and not _was_taken_away(log)):
        how = f" ({said})" if said else ""
        shown = log.relative_to(runs.parent) if log.is_relative_to(runs.parent) else log
        where = f"{last}; see {shown}" if last else f"see {shown}"
        reason = f"job {name} ended before it started the trial{how}: {where}"
        return Unstarted(reason, failed=True, exit_code=code, scheduler=said)
    if state == "CANCELLED":
        return Unstarted(f"its job {name} was cancelled in SLURM ({said})", scheduler=said)
    if said is not None or last is not None:
        return Unstarted(f"its job {name} ended before it started: {said or last}", scheduler=said)
    return Unstarted(f"its job {name} left the queue before it started")


def _was_taken_away(log: Path) -> bool:
    return any(_TAKEN_AWAY.search(line) for line in last_lines(log))


def _exit_code(said: str | None) -> int | None:
    """Of `FAILED 3:0`; killed by a signal counts as negative."""
    found = re.search(r" (\d+):(\d+)$", said or "")
    if found is None:
        return None
    code, number = map(int, found.groups())
    return -number if number else code
