"""Attach a cost to a plan: reads what is known of earlier runs, the disk and this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path

from deit_core.cores import cpu_name
from launcher.cost.disk import free_gib
from launcher.cost.predict import predict
from launcher.cost.pricing import Site
from launcher.cost.records import MOST_TRIALS, read_records
from launcher.expand import Expansion
from launcher.observe import Observation
from launcher.plan import Plan
from launcher.resources import Resources


def with_cost(
    plan: Plan,
    runs: Path,
    expansion: Expansion,
    resources: Resources,
    observations: Mapping[str, Observation],
) -> Plan:
    """The plan with its predicted cost; unchanged where it starts nothing.

    Raises:
        RunDirError: the runs folder cannot be listed.
    """
    if not plan.jobs:
        return plan
    like = islice(_finished_like(plan, observations), MOST_TRIALS // 2)
    site = Site(
        slots=plan.size.slots,
        cpu_name=cpu_name() if plan.backend == "local" else None,
        records=read_records(runs, first=like),
        free_gib=free_gib(runs),
        mem_gb=None if resources.mem_gb is None else resources.mem_gb * resources.nodes,
        time_limit_s=None if plan.backend == "local" else resources.time_s,
        progress={
            trial_id: min(1.0, seen.status.step / seen.status.total_steps)
            for trial_id, seen in observations.items()
            if seen.status.total_steps
        },
    )
    return replace(plan, cost=predict(plan.jobs, expansion.trials, site))


def _finished_like(plan: Plan, observations: Mapping[str, Observation]) -> Iterator[Path]:
    """Run directories of finished trials that differ from those to come only in their seed."""
    due = {trial.group_id for job in plan.jobs for trial in job.trials}
    for planned in plan.actions:
        seen = observations.get(planned.trial.trial_id)
        if planned.action == "done" and planned.trial.group_id in due and seen and seen.path:
            yield seen.path
