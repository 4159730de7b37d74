"""Optuna's samplers, set up so that each ask depends on nothing but the study and its seed."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, cast

import optuna
from optuna._transform import _SearchSpaceTransform
from optuna.distributions import BaseDistribution
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from launcher.search.config import Search
from launcher.search.draws import uniform
from launcher.search.space import Space

if TYPE_CHECKING:
    from cmaes import CMA

STARTUP = 10
"""Points that are drawn at random before a model is made of them; Optuna's own default."""
_SHARE_OF_STARTUP = 4
"""But at most one in so many of all: a small budget is better spent on what was learnt."""
_POPULATION = (4, 50)
_GENERATIONS = 5
"""NSGA-II: of a budget, so many generations; its population has these bounds."""


class ReplayedCmaEs(CmaEsSampler):
    """CMA-ES whose state is made anew from the points of each generation.

    Optuna stores it, pickled, with the trials; a file that anybody may write must not be unpickled.
    """

    _space: dict[str, BaseDistribution]
    _direction: StudyDirection

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """See BaseSampler."""
        if search_space:
            self._space, self._direction = search_space, study.direction
        return super().sample_relative(study, trial, search_space)

    def _restore_optimizer(self, completed_trials: list[FrozenTrial]) -> CMA:
        trans = _SearchSpaceTransform(self._space, transform_step=True, transform_0_1=True)
        optimizer = cast("CMA", self._init_optimizer(trans, self._direction))
        sign = 1.0 if self._direction == StudyDirection.MINIMIZE else -1.0
        while True:
            members = [
                one
                for one in completed_trials
                if one.system_attrs.get(self._attr_key_generation) == optimizer.generation
            ]
            # The last generation that is full is told by Optuna itself.
            following = any(
                one.system_attrs.get(self._attr_key_generation, -1) > optimizer.generation
                for one in completed_trials
            )
            if len(members) < optimizer.population_size or not following:
                return optimizer
            optimizer.tell(
                [
                    (trans.transform(one.params), sign * cast("float", one.value))
                    for one in members[: optimizer.population_size]
                ]
            )


def make_sampler(search: Search, space: Space, number: int) -> BaseSampler:
    """The sampler that asks for point `number`."""
    # Apart for each point, else two processes that know the same would draw the same.
    seed = int(uniform(search.seed, search.method, number) * 2**31)
    startup = max(1, min(STARTUP, (search.trials or STARTUP) // _SHARE_OF_STARTUP))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if search.method == "tpe":
            grouped = space.is_conditional and len(search.objective) == 1
            return TPESampler(
                seed=seed,
                n_startup_trials=startup,
                multivariate=True if grouped else None,
                group=grouped,
            )
        if search.method == "gp":
            return GPSampler(seed=seed, n_startup_trials=startup, warn_independent_sampling=False)
        if search.method == "nsga2":
            low, high = _POPULATION
            size = max(low, min(high, (search.trials or high) // _GENERATIONS))
            return NSGAIISampler(population_size=size, seed=seed)
        if search.method == "cmaes":
            # One seed for all points: the state is replayed from its start.
            return ReplayedCmaEs(
                seed=search.seed,
                independent_sampler=RandomSampler(seed),
                warn_independent_sampling=False,
            )
        if search.method == "qmc":
            return QMCSampler(
                seed=search.seed,
                scramble=True,
                independent_sampler=RandomSampler(seed),
                warn_asynchronous_seeding=False,
                warn_independent_sampling=False,
            )
        return RandomSampler(seed)
