"""The bench stage of a sweep: what its plan says of it, and carrying that out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from launcher.backends.base import Backend
from launcher.bench.order import order_bench
from launcher.bench.plan import Ask, plan_bench, run_dirs
from launcher.carry_out import Outcome
from launcher.expand import Trial
from launcher.observe import Observation
from launcher.plan import NO_WISH, STARTS, Plan, Wish
from launcher.sweep_dir import SweepDir

_ACTIVE = STARTS | {"keep"}
NOTHING_TRAINED = Wish(only=frozenset(), unasked=True)


def wish_of(ask: Ask | None) -> Wish:
    """What a call wants of the trials: all, or none where models are measured alone."""
    alone = ask is not None and ask.settings.when == "alone"
    return NOTHING_TRAINED if alone else NO_WISH


def with_bench(
    plan: Plan,
    sweep_dir: SweepDir,
    seen: Mapping[str, Observation],
    backend: Backend,
    ask: Ask,
) -> Plan:
    """The plan with what is measured after its trials have ended.

    Args:
        plan: of the trials.
        sweep_dir: the sweep; it need not be there yet.
        seen: how trials stand.
        backend: where to measure.
        ask: for what.

    Raises:
        LaunchError: the models need a GPU, and there is none.
        RunDirError, SchemaError: an order that cannot be read.
    """
    trials = [planned.trial for planned in plan.actions]
    bench = plan_bench(sweep_dir, trials, seen, plan.resources, backend, ask)
    waits_for = () if ask.now else _going_on(plan, sweep_dir, seen)
    bench = replace(bench, waits_for=waits_for, later=ask.later)
    notes = backend.check(bench.resources) if bench.submits else ()
    return replace(plan, bench=bench, notes=tuple(dict.fromkeys((*plan.notes, *notes))))


def _going_on(plan: Plan, sweep_dir: SweepDir, seen: Mapping[str, Observation]) -> tuple[Path, ...]:
    """Run directories of the trials that run or wait, or are about to."""
    trials: Sequence[Trial] = [one.trial for one in plan.actions if one.action in _ACTIVE]
    return tuple(run_dirs(sweep_dir, trials, seen).values())


def measure(outcome: Outcome, backend: Backend) -> Outcome:
    """Order what the plan says is to be measured; the runs folder's lock is held.

    Raises:
        UserError: see `order_bench`.
    """
    if outcome.plan.bench is None:
        return outcome
    made = order_bench(outcome.sweep_dir, outcome.plan.bench, backend)
    return replace(outcome, benches=tuple(run.path for run in made))
