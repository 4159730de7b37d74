"""What of a sweep is to be measured now, and what is measured or ordered. Changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deit_core.throughput_records import BenchProtocol
from launcher.backends.base import Backend
from launcher.bench.bench_dir import Order, look_at_benches
from launcher.bench.section import BenchSettings
from launcher.bench.size import alone_on_a_node, bench_size
from launcher.bench.targets import Missing, Model, models_of, what_is_missing
from launcher.expand import Trial
from launcher.job_size import JobSize
from launcher.observe import ACTIVE, Observation
from launcher.resources import Resources
from launcher.sweep_dir import SweepDir


@dataclass(frozen=True)
class Ask:
    """Who asks for a measurement, and of what."""

    settings: BenchSettings
    by_name: bool = False
    """Whether the user asks for just this: what failed is then tried again."""
    unasked: bool = False
    """Whether no user has called: what was ordered once is then left as it is."""
    only: frozenset[str] | None = None
    """Ids of the trials whose models are meant; None: all."""
    later: bool = False
    """Whether more trials come to be, so that nothing is measured yet."""
    now: bool = False
    """Whether trials that run or wait are not waited for."""


@dataclass(frozen=True)
class BenchPlan:
    """What will be ordered."""

    settings: BenchSettings
    resources: Resources
    size: JobSize
    missing: Missing
    open_orders: tuple[Order, ...] = ()
    """Orders whose jobs were stopped, or never submitted: they are submitted again."""
    failed: Order | None = None
    """The latest order that failed, where that is left to the user."""
    waits_for: tuple[Path, ...] = ()
    """Run directories of trials that must have ended first."""
    later: bool = False
    """Whether a search has not asked for all of its points yet."""

    @property
    def protocol(self) -> BenchProtocol:
        """How the models are measured."""
        return self.settings.protocol

    @property
    def models(self) -> tuple[Model, ...]:
        """Those that a new order is for."""
        return self.missing.to_measure

    @property
    def submits(self) -> bool:
        """Whether a job is submitted."""
        return not self.later and bool(self.models or self.open_orders)


def plan_bench(
    sweep_dir: SweepDir,
    trials: Sequence[Trial],
    seen: Mapping[str, Observation],
    resources: Resources,
    backend: Backend,
    ask: Ask,
) -> BenchPlan:
    """Compare a sweep's models with their records and with the orders there are.

    Args:
        sweep_dir: the sweep; it need not be there yet.
        trials: all of its trials.
        seen: how they stand.
        resources: of the sweep's jobs.
        backend: where to measure.
        ask: for what.

    Raises:
        LaunchError: the models need a GPU, and there is none.
        RunDirError, SchemaError: an order that cannot be read.
    """
    asked = [one for one in trials if ask.only is None or one.trial_id in ask.only]
    alone = alone_on_a_node(resources)
    size = bench_size(alone, backend, asked)
    protocol = ask.settings.protocol
    orders = [one for one in look_at_benches(sweep_dir, backend) if one.record.protocol == protocol]
    active = [one for one in orders if one.seen.condition in ACTIVE]
    open_orders = [one for one in orders if one.seen.condition in ("new", "stopped")]
    failed = [one for one in orders if one.seen.condition == "failed"]
    ordered = active + open_orders
    if not ask.by_name:
        ordered += failed
    if ask.unasked:
        ordered, open_orders = orders, []
    paths = run_dirs(sweep_dir, asked, seen)
    missing = what_is_missing(
        models_of(trials, paths, seen, with_data="training_with_data" in protocol.quantities),
        protocol,
        "cuda" if size.gpus else "cpu",
        {path for order in ordered for path in order.run_dirs},
        again=ask.by_name,
    )
    return BenchPlan(
        settings=ask.settings,
        resources=alone,
        size=size,
        missing=missing,
        open_orders=tuple(open_orders),
        failed=failed[-1] if failed and not ask.by_name else None,
    )


def run_dirs(
    sweep_dir: SweepDir, trials: Collection[Trial], seen: Mapping[str, Observation]
) -> dict[str, Path]:
    """Run directories by trial id: those there are, and where the others will be made."""
    root = sweep_dir.trials.resolve()
    found = {}
    for trial in trials:
        one = seen.get(trial.trial_id)
        found[trial.trial_id] = (one.path if one else None) or root / trial.trial_id
    return found
