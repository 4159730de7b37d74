"""Growing a search: which points to ask for now, so that what may run is busy. Writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from deit_core.config import parse_run_config
from deit_core.errors import ConfigError, RunDirError
from deit_core.identity import stream_key
from launcher.axes import Setting
from launcher.cells import with_settings
from launcher.errors import Location
from launcher.expand import Expansion, Trial
from launcher.observe import ACTIVE, NOTHING, Observation
from launcher.search.outcomes import PointOutcome, outcome_of, was_cancelled
from launcher.search.records import PointRecord, SearchDir, SearchRecord
from launcher.text import count

if TYPE_CHECKING:
    from launcher.request import Request
    from launcher.search.ask import Asker

_PARALLEL = 8
"""Most jobs at once where neither the backend nor the sweep file says how many."""
_SHARE_OF_OPEN = 4
"""Of all points, at most one in so many is open at a time: who asks for all at once learns nothing
from the first ones. As many as run at once are always open."""
HOPELESS = 3
"""So many points that failed one after another: no more are asked, and none is gone on with."""
_ALL_DIVERGED = 10
"""Points that diverge tell where not to look, unless there is nothing but them."""

Look = Callable[[Collection[str]], Mapping[str, Observation]]
"""Observes trials by their ids, in whatever sweep they are."""


class OutrunError(RunDirError):
    """Somebody else has asked meanwhile; what was planned is out of date."""


@dataclass(frozen=True)
class Growth:
    """A search with the points that are asked for now."""

    request: Request
    seen: Mapping[str, Observation]
    """Of all trials that have a folder."""
    outcomes: tuple[PointOutcome, ...] = ()
    """Of the points there were."""
    asked: tuple[PointRecord, ...] = ()
    """New ones."""
    ended: str | None = None
    """Why no more will be asked, as is known now."""
    hopeless: bool = False
    """Whether that is because what was asked for fails."""

    def write(self, search_dir: SearchDir) -> None:
        """Write down what is searched, and what was asked for.

        Raises:
            OutrunError: somebody else has made one of the points.
            RunDirError: no permission, or no space.
        """
        if self.request.search is None:
            return
        search_dir.write_search(self.request.search)
        for point in self.asked:
            if not search_dir.add_point(point):
                raise OutrunError(f"point {point.number} was asked for by another process")

    def write_end(self, search_dir: SearchDir) -> None:
        """Write down whether more is asked; only after the last jobs were submitted.

        Raises:
            RunDirError: no permission, or no space.
        """
        if self.ended is not None:
            search_dir.end(self.ended)
            return
        before = search_dir.read_ended()
        if before is not None and not before.stopped:
            search_dir.reopen()


@dataclass
class _Growing:
    """The points of a search while more are asked for."""

    record: SearchRecord
    trials: dict[str, Trial]
    look: Look
    seen: dict[str, Observation] = field(default_factory=dict)
    outcomes: list[PointOutcome] = field(default_factory=list)
    asked: list[PointRecord] = field(default_factory=list)
    unasked: bool = False
    ended: str | None = None
    hopeless: bool = False
    _asker: Asker | None = None

    def take_up(self, points: Sequence[PointRecord]) -> None:
        """The points there are; trials that a killed call has not made are expanded again."""
        from launcher.search.ask import expand_point

        for point in points:
            if not self.trials.keys() >= set(point.trial_ids):
                expansion = expand_point(self.record, point.params)
                if {trial.trial_id for trial in expansion.trials} >= set(point.trial_ids):
                    self._add(expansion)
        self.seen |= self.look(self.trials.keys())
        self.outcomes += [self._outcome(point) for point in points]
        if not self.unasked:
            self._renew()

    def _renew(self) -> None:
        """Settings that are no part of an id are those of the user's latest call."""
        from launcher.search.ask import expand_point

        for outcome in self.outcomes:
            if outcome.state == "completed":
                continue
            for trial in expand_point(self.record, outcome.point.params).trials:
                known = self.trials.get(trial.trial_id)
                if known is not None:
                    self.trials[trial.trial_id] = replace(known, config=trial.config)

    def _add(self, expansion: Expansion) -> None:
        names = {trial.name for trial in self.trials.values()}
        for trial in expansion.trials:
            if trial.trial_id not in self.trials:
                clash = trial.name in names
                name = f"{trial.name},{trial.trial_id[:8]}" if clash else trial.name
                self.trials[trial.trial_id] = replace(trial, name=name)

    def _outcome(self, point: PointRecord) -> PointOutcome:
        if not self.trials.keys() >= set(point.trial_ids):  # nothing can be trained for it
            return PointOutcome(point, "failed", reason="its values make another trial by now")
        outcome = outcome_of(self.record, point, self.trials, self.seen)
        if outcome.cancelled and not self.unasked:  # the user's call goes on with it
            return PointOutcome(point, "open")
        return outcome

    def ask(self) -> int:
        """Ask for a point; the number of its trials that are to be trained."""
        from launcher.search.ask import Asker

        if self._asker is None:
            self._asker = Asker(self.record, self.outcomes)
        asked = self._asker.ask()
        if asked is None:
            tried = count(len(self.outcomes), "point")
            refused = self._asker.refused
            why = f"; others are no valid config, such as: {refused.message}" if refused else ""
            self.ended = f"the space is used up: {tried} were tried, and no others found{why}"
            return 0
        self._add(asked.expansion)
        self.seen |= self.look([trial.trial_id for trial in asked.expansion.trials])
        self.asked.append(asked.point)
        outcome = self._outcome(asked.point)
        self.outcomes.append(outcome)
        if outcome.state != "open":  # another sweep has trained it
            self._asker = None
            return 0
        return len(asked.point.trial_ids)

    def may_ask(self, slots: int) -> bool:
        """Whether another point is due at all."""
        budget, points = self.record.budget, len(self.outcomes)
        if self.ended is None and points >= budget:
            self.ended = f"all {count(budget, 'point')} were asked for"
        if self.ended is None and not self.hopeless:
            self.ended = self._despair()
            self.hopeless = self.ended is not None
        if any(one.held for one in self.seen.values()) or self._waits_for_the_user():
            return False
        open_points = sum(one.state == "open" for one in self.outcomes)
        return self.ended is None and open_points < max(slots, budget // _SHARE_OF_OPEN)

    def _despair(self) -> str | None:
        """Why the next point would fail as well; None while it may not."""
        for teacher in self._teachers():
            if teacher.condition == "failed":
                return f"its teacher failed: {teacher.status.reason}"
        ends = [one for one in self.outcomes if one.state != "open" and not one.cancelled]
        if len(ends) >= _ALL_DIVERGED and all(one.state == "diverged" for one in ends):
            return f"all {len(ends)} points that ended have diverged; search smaller values"
        last = ends[-HOPELESS:]
        if len(last) < HOPELESS or any(one.state != "failed" for one in last):
            return None
        return (
            f"its last {HOPELESS} points failed one after another, the last with: "
            f"{last[-1].reason}; mend that, then `deit-launch retry --failed`"
        )

    def _teachers(self) -> list[Observation]:
        names = {name for trial in self.trials.values() for name in trial.after}
        return [self.seen[name] for name in sorted(names) if name in self.seen]

    def _waits_for_the_user(self) -> bool:
        """Whether the teacher was cancelled, and this is not the call that goes on with it."""
        return self.unasked and any(was_cancelled(teacher) for teacher in self._teachers())


def grow(
    request: Request,
    search_dir: SearchDir,
    look: Look,
    slots_for: Callable[[Sequence[Trial]], int],
    room: int | None = None,
    *,
    unasked: bool = False,
) -> Growth:
    """Ask for as many points as there is room for.

    Args:
        request: with the trials there are. A sweep that is no search is only looked at.
        search_dir: the search.
        look: observes trials.
        slots_for: how many jobs of such trials run at once.
        room: jobs that may be added; None: up to the slots.
        unasked: whether no user has called for it.

    Raises:
        SweepError: no point of the space is a valid training config.
        RunDirError, SchemaError: files of the search that cannot be read.
    """
    trials = {trial.trial_id: trial for trial in request.expansion.trials}
    if request.search is None:
        return Growth(request, look(trials.keys()))
    growing = _Growing(request.search, trials, look, unasked=unasked)
    growing.take_up(search_dir.read_points())
    if not growing.trials and growing.may_ask(1):
        growing.ask()  # the first one also shows what a job is like
    students = [trial for trial in growing.trials.values() if trial.role == "student"]
    slots = slots_for(students)
    free = max(0, slots - _active_jobs(growing.seen, search_dir))
    free = free if room is None else min(free, room)
    wanted = free * _trials_per_job(request)
    waiting = len(_startable(growing))
    due = growing.may_ask(slots)
    while due and waiting < wanted:
        waiting += growing.ask()
        due = growing.may_ask(slots)
    expansion = request.expansion
    return Growth(
        replace(
            request,
            expansion=replace(
                expansion, trials=tuple(growing.trials.values()), cells=len(growing.trials)
            ),
        ),
        growing.seen,
        tuple(growing.outcomes),
        tuple(growing.asked),
        growing.ended,
        growing.hopeless,
    )


def unlimited_slots(search: SearchRecord | None) -> int:
    """Jobs at once where nobody says how many: few enough that most points learn from others."""
    budget = search.budget if search else 1
    return max(1, min(_PARALLEL, budget // _SHARE_OF_OPEN))


def _active_jobs(seen: Mapping[str, Observation], search_dir: SearchDir) -> int:
    """Jobs of this search that run or wait; not those of another sweep whose trials it shares."""
    own = search_dir.sweep_dir.trials.resolve()
    active = [
        one
        for one in seen.values()
        if one.condition in ACTIVE and one.path is not None and one.path.parent == own
    ]
    return len({one.job.tag if one.job else str(one.path) for one in active})


def _startable(growing: _Growing) -> list[str]:
    """Trials of open points that nothing works on."""
    return [
        name
        for outcome in growing.outcomes
        if outcome.state == "open"
        for name in outcome.point.trial_ids
        if growing.seen.get(name, NOTHING).condition in ("new", "stopped")
    ]


def _trials_per_job(request: Request) -> int:
    """How many trials share a job: a cohort where no searched field changes what is shared."""
    record = request.search
    assert record is not None
    largest = request.resources.cohort_size
    if largest == 1 or len(record.seeds) > 1:
        return 1
    streams = {_stream(record, {})}
    for parameter in record.space.parameters:
        ends = parameter.choices[:2]
        if parameter.range is not None:
            ends = (parameter.range.rounded(parameter.range.low),
                    parameter.range.rounded(parameter.range.high))  # fmt: skip
        streams |= {_stream(record, {parameter.field: value}) for value in ends}
    return largest if len(streams - {None}) == 1 else 1


def _stream(record: SearchRecord, values: Mapping[str, object]) -> str | None:
    """What a config with these values would share with others; None where it is not valid."""
    where = Location(record.source)
    settings = {name: Setting(value, where) for name, value in values.items()}
    try:
        return stream_key(parse_run_config(with_settings(record.base, settings)))
    except ConfigError:
        return None


def progress_note(growth: Growth) -> str:
    """How far a search is, in one line."""
    record = growth.request.search
    assert record is not None
    states = [one.state for one in growth.outcomes]
    parts = [f"{states.count('open')} open"]
    parts += [f"{states.count(s)} {s}" for s in ("completed", "pruned", "diverged", "failed")
              if s in states]  # fmt: skip
    trials = record.budget * len(record.seeds)
    costs = f"; costs are of those that start now, of {trials:,} in all" if growth.asked else ""
    end = f"; no more are asked: {growth.ended}" if growth.ended else ""
    known = f", {count(len(record.warm), 'point')} known from other sweeps" if record.warm else ""
    return (
        f"search by {record.search.method}: {len(states)} of {record.budget} points "
        f"({', '.join(parts)}){known}{costs}{end}"
    )


def left_alone(seen: Mapping[str, Observation]) -> frozenset[str]:
    """Trials that nobody goes on with unasked: cancelled by the user, or not readable."""
    return frozenset(
        name for name, one in seen.items() if was_cancelled(one) or one.condition == "damaged"
    )
