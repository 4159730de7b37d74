"""Asking: the next points of a search, each valid and not tried before. Writes nothing."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from launcher.axes import Axis, Setting
from launcher.errors import Location, SweepError
from launcher.expand import Expansion, expand
from launcher.layers import tree_of
from launcher.resources import Resources
from launcher.search.draws import uniform
from launcher.search.outcomes import PointOutcome
from launcher.search.records import PointRecord, SearchRecord, sampler_attrs
from launcher.search.samplers import make_sampler
from launcher.search.space import Values
from launcher.search.study import rebuild, study_attrs, suggestions
from launcher.sweep import Sweep
from launcher.yaml_source import Node

MOST_REFUSED = 200
"""Suggestions in a row that are known or not valid, before the space counts as used up."""
_OWN_SUGGESTIONS = 10
"""So many of these are the method's; after that, chance sees to it that they differ."""
_KEPT_STUDY_ATTRS = "qmc:"
"""How far a quasi-random sequence has come; all else samplers find out from the points."""


@dataclass(frozen=True)
class Asked:
    """A new point, and its trials with the teacher they need."""

    point: PointRecord
    expansion: Expansion


class Asker:
    """Asks for one point after another; what it has asked for counts as running."""

    def __init__(self, record: SearchRecord, outcomes: Sequence[PointOutcome]) -> None:
        self.record = record
        self.storage = optuna.storages.InMemoryStorage()
        self.study = rebuild(record, outcomes, self.storage)
        self.next_number = max((one.point.number for one in outcomes), default=-1) + 1
        self.refused: SweepError | None = None
        """What is wrong with the latest point that was passed over as no valid config."""
        self._known = {name for one in outcomes for name in one.point.trial_ids}
        self._known |= {name for warm in record.warm for name in warm.trial_ids}
        self._params_known = [one.point.params for one in outcomes]

    def ask(self) -> Asked | None:
        """The next point; None where there is none that was not tried.

        Raises:
            SweepError: no point of the space is a valid training config.
        """
        self.study.sampler = make_sampler(self.record.search, self.record.space, self.next_number)
        problem: SweepError | None = None
        for trial in self._suggestions():
            params = self._params(trial)
            try:
                expansion = expand_point(self.record, params)
            except SweepError as error:
                # Pruned at once: a sampler keeps away from it, while it would forget a failure.
                self.study.tell(trial, state=TrialState.PRUNED)
                problem = self.refused = error
                continue
            ids = tuple(t.trial_id for t in expansion.trials if t.role == "student")
            if not self._known.isdisjoint(ids):
                self.study.tell(trial, state=TrialState.FAIL)
                continue
            return self._accept(trial, params, ids, expansion)
        if problem is not None and not self._known:
            raise problem
        return None

    def _suggestions(self) -> Iterator[optuna.Trial]:
        """Of the method, then at random; of a small space all points that were not tried."""
        for _ in range(_OWN_SUGGESTIONS):
            yield self.study.ask()
        points = self.record.space.points(self.record.base)
        seed = int(uniform(self.record.search.seed, "refused", self.next_number) * 2**31)
        if points is None:
            self.study.sampler = RandomSampler(seed)
            for _ in range(MOST_REFUSED - _OWN_SUGGESTIONS):
                yield self.study.ask()
            return
        random.Random(seed).shuffle(points)
        for params in points:
            if params not in self._params_known:
                self.study.enqueue_trial(suggestions(self.record.space, params))
                yield self.study.ask()

    def _params(self, trial: optuna.Trial) -> Values:
        return self.record.space.choose(
            self.record.base, lambda parameter: parameter.suggest(trial)
        )

    def _accept(
        self, trial: optuna.Trial, params: Values, ids: tuple[str, ...], expansion: Expansion
    ) -> Asked:
        self._known.update(ids)
        self._params_known.append(dict(params))
        frozen = self.study.get_trials(deepcopy=False)[trial.number]
        of_study = study_attrs(self.storage)
        point = PointRecord(
            number=self.next_number,
            params=dict(params),
            trial_ids=ids,
            asked_unix_s=time.time(),
            asked_by=f"{socket.gethostname()}:{os.getpid()}",
            attrs=sampler_attrs(frozen.system_attrs),
            study_attrs={k: v for k, v in of_study.items() if k.startswith(_KEPT_STUDY_ATTRS)},
        )
        self.next_number += 1
        return Asked(point, expansion)


def expand_point(record: SearchRecord, params: Values) -> Expansion:
    """The trials of one point, with the teacher they need first.

    Raises:
        SweepError: it is no valid training config.
    """
    return expand(sweep_with(record, [params]))


def sweep_with(record: SearchRecord, points: Iterable[Values]) -> Sweep:
    """The search as a sweep of these points alone."""
    where = Location(record.source)
    rows = tuple(
        {field: Setting(value, where) for field, value in params.items()} for params in points
    )
    axis = Axis(record.space.fields, rows, where, "search", {})
    teacher = None if record.teacher is None else Node(tree_of(record.teacher, where), where)
    return Sweep(
        name=record.name,
        description="",
        config=tree_of(record.config, where),
        axes=(axis,),
        seeds=record.seeds,
        search=record.search,
        space=record.space,
        resources=Resources(),
        teacher=teacher,
        source=Path(record.source),
        text="",
    )
