"""Submitting an order again whose job cannot go on as it is: it needs more, or other nodes."""

from __future__ import annotations

from dataclasses import replace

from deit_core.run_dir import RunDir
from launcher.backends.base import Backend
from launcher.bench.order import submit_order
from launcher.bench.plan import Ask, plan_bench
from launcher.bench.section import BenchSettings
from launcher.errors import LaunchError
from launcher.live_jobs import observe_sweep
from launcher.locks import locked
from launcher.observe import ACTIVE
from launcher.request import read_request
from launcher.sweep_dir import SweepDir


def submit_bench_again(run: RunDir, backend: Backend) -> None:
    """Submit what is left of an order; trials that still run are waited for.

    Raises:
        LaunchError: its sweep is gone.
        UserError: see `submit_order`.
    """
    sweep_dir = SweepDir(run.path.parent.parent)
    if not sweep_dir.plan_file.exists():
        raise LaunchError(f"{sweep_dir.path} is half deleted: plan.json is missing")
    with locked(sweep_dir.lock_file):
        request = read_request(sweep_dir)
        seen = observe_sweep(sweep_dir, request, backend)
        resources = backend.settle(request.resources)
        trials = request.expansion.trials
        ask = Ask(BenchSettings(), unasked=True)
        plan = plan_bench(sweep_dir, trials, seen, resources, backend, ask)
        active = [one.path for one in seen.values() if one.condition in ACTIVE and one.path]
        submit_order(sweep_dir, run, replace(plan, waits_for=tuple(active)), backend)
