"""After a start: what was submitted, staying with it, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from launcher.commands.common import readable, sweep_argument, sweep_option

if TYPE_CHECKING:
    from launcher.backends.base import Backend
    from launcher.carry_out import Outcome
    from launcher.sweep_dir import SweepDir

EXIT_SOME_FAILED = 3
EXIT_INTERRUPTED = 130


def report_start(outcome: Outcome, *, stay: bool = False, to_stay: str | None = None) -> None:
    """Say what was started and, to who does not stay, what to do next.

    `to_stay`: how the command that was given stays, where it can.
    """
    from launcher.plan_text import print_plan
    from launcher.text import count, open_console

    print_plan(outcome.plan, open_console(), trials=False)
    folder = readable(outcome.sweep_dir.path)
    if outcome.adopted:
        typer.echo(f"adopted {count(outcome.adopted, 'job')} of an interrupted call")
    if outcome.plan.jobs:
        typer.echo(f"submitted {count(len(outcome.plan.jobs), 'job')}; folder: {folder}")
    else:
        typer.echo(f"nothing to start; folder: {folder}")
    if stay:
        return
    if "keep" in outcome.plan.counts() or outcome.plan.jobs:
        again = f"deit-launch status{sweep_argument(outcome.sweep_dir)}"
        typer.echo(f"to watch: {again}" + (f", or the same command {to_stay}" if to_stay else ""))
    elif outcome.plan.counts().get("done"):
        print_next(outcome.sweep_dir)


def stay_with(sweep_dir: SweepDir, backend: Backend, by: str | None = None) -> None:
    """Show progress until all trials have ended; exits with 3 when some did not complete.

    `by`: the swept field to group by at the end; None: the first that varies.
    """
    from launcher.monitor import Monitor
    from launcher.status_groups import group_field
    from launcher.status_text import print_snapshot
    from launcher.text import open_console
    from launcher.watch import watch

    console = open_console()
    try:
        monitor = Monitor(sweep_dir, backend)
        snapshot = watch(monitor, console)
    except KeyboardInterrupt:
        again = f"deit-launch status {readable(sweep_dir.path)}"
        typer.echo(f"\nsweep continues; re-attach: {again}, or the same command again")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    print_snapshot(
        snapshot, console, by or group_field(None, monitor.plan, searched=monitor.searched)
    )
    failed = [row.trial_id for row in snapshot.rows if row.state == "failed"]
    if failed:
        _print_what_of_failed(failed[0], sweep_dir)
    if len(failed) < len(snapshot.rows):
        print_next(sweep_dir)
    if not snapshot.all_completed():
        raise typer.Exit(EXIT_SOME_FAILED)


def _print_what_of_failed(trial_id: str, sweep_dir: SweepDir) -> None:
    option = sweep_option(sweep_dir)
    typer.echo(f"why it failed: deit-launch why {trial_id}{option}")
    typer.echo(f"to try again:  deit-launch retry --failed{option}")


def print_next(sweep_dir: SweepDir) -> None:
    """The commands that make something of results."""
    from launcher.search.records import SearchDir
    from launcher.sweep_dir import LATEST

    folder = sweep_argument(sweep_dir) or f" {LATEST}"
    if SearchDir(sweep_dir).exists():
        typer.echo(f"best: deit-launch best{sweep_argument(sweep_dir)}")
    typer.echo(f"next: deit-report{folder}")
    typer.echo(f"      deit-launch tensorboard{sweep_argument(sweep_dir)}")
