"""Commands that look at trials and change nothing: `status` and `logs`."""

from __future__ import annotations

from typing import Annotated

import typer

from launcher.commands.common import revive, sweep_backend
from launcher.commands.options import SweepArgument, SweepOption, Trial


def status(
    sweep: SweepArgument = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON of a stable schema.")] = False,
) -> None:
    """Show how the trials of a sweep stand."""
    from json import dumps

    from launcher.monitor import Monitor
    from launcher.status_text import print_snapshot
    from launcher.sweep_dir import open_sweep
    from launcher.text import open_console

    sweep_dir = open_sweep(sweep)
    chosen = sweep_backend(sweep_dir)
    revive(chosen)
    snapshot = Monitor(sweep_dir, chosen).look()
    if json:
        typer.echo(dumps(snapshot.as_json(), indent=2))
    else:
        print_snapshot(snapshot, open_console())


def logs(
    trial: Trial,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Stay until it ends.")] = False,
    sweep: SweepOption = None,
) -> None:
    """Show what a trial printed."""
    from deit_core.run_dir import RunDir
    from launcher.errors import LaunchError
    from launcher.logs import follow_logs, show_logs
    from launcher.observe import ACTIVE, observe
    from launcher.selection import select_trial
    from launcher.sweep_dir import open_sweep

    sweep_dir = open_sweep(sweep)
    chosen = select_trial(trial, sweep_dir.read_plan().trials)
    path = sweep_dir.trial_path(chosen.trial_id)
    if path is None:
        raise LaunchError(f"{chosen.trial_id} ({chosen.name}) has no run directory yet")
    if not follow:
        show_logs(RunDir(path), _write)
        return
    backend = sweep_backend(sweep_dir)

    def active() -> bool:
        revive(backend)
        return observe({chosen.trial_id: path}, backend)[chosen.trial_id].condition in ACTIVE

    follow_logs(RunDir(path), _write, active)


def _write(text: str) -> None:
    typer.echo(text, nl=False)
