"""Commands that change what becomes of trials: `retry` and `cancel`."""

from __future__ import annotations

from typing import Annotated

import typer

from launcher.commands.common import begun_by, choose, note_lost, sweep_backend
from launcher.commands.following import report_start
from launcher.commands.options import SweepOption, Trials


def retry(
    trials: Trials = None,
    failed: Annotated[bool, typer.Option("--failed", help="Every failed trial.")] = False,
    sweep: SweepOption = None,
) -> None:
    """Start failed or cancelled trials again, from their last checkpoint."""
    from launcher.control import retry as retry_trials
    from launcher.sweep_dir import open_sweep

    sweep_dir = open_sweep(sweep)
    chosen = choose(sweep_dir, trials, failed, "--failed")
    note_lost(sweep_dir)
    outcome = retry_trials(sweep_dir, sweep_backend(sweep_dir), chosen)
    if outcome.plan.jobs:
        report_start(outcome)
    else:
        typer.echo("nothing to retry: no trial that was asked for is failed or stopped")


def cancel(
    trials: Trials = None,
    all_: Annotated[bool, typer.Option("--all", help="Every trial of the sweep.")] = False,
    sweep: SweepOption = None,
) -> None:
    """Stop trials; they save first. A later `sweep` or `retry` continues them."""
    from launcher.control import cancel as cancel_trials
    from launcher.sweep_dir import open_sweep

    sweep_dir = open_sweep(sweep)
    chosen = choose(sweep_dir, trials, all_, "--all")
    note_lost(sweep_dir)
    stopped = cancel_trials(sweep_dir, sweep_backend(sweep_dir), chosen)
    if not stopped:
        typer.echo("nothing to cancel: no trial that was asked for runs or waits")
        return
    typer.echo(f"cancelled: {', '.join(stopped[:10])}{' …' if len(stopped) > 10 else ''}")
    typer.echo(f"to continue: deit-launch retry TRIAL, or the same {begun_by(sweep_dir)} again")
