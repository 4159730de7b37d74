"""Commands that write a sweep in the form of another program."""

from __future__ import annotations

from typing import Annotated

import typer

from launcher.commands.common import note_silence, sweep_backend
from launcher.commands.options import SweepArgument

Target = Annotated[
    str,
    typer.Option(
        "--to", metavar="STORAGE", help="sqlite:///FILE, a journal FILE, or a database's URL."
    ),
]


def export_optuna(
    to: Target,
    sweep: SweepArgument = None,
    objective: Annotated[
        list[str] | None,
        typer.Option("--objective", metavar="METRIC", help="Else the search's; may be repeated."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
) -> None:
    """Write a sweep as an Optuna study."""
    from launcher.optuna_export.export import export_sweep
    from launcher.sweep_dir import open_sweep
    from launcher.text import count

    sweep_dir = open_sweep(sweep)
    exported = export_sweep(
        sweep_dir, sweep_backend(sweep_dir), to, objectives=objective or (), force=force
    )
    note_silence()
    states = ", ".join(f"{number} {state}" for state, number in sorted(exported.states.items()))
    typer.echo(f"{count(exported.states.total(), 'trial')} written to {to} ({states})")
    if exported.unreported:
        lacking = count(exported.unreported, "completed trial")
        typer.echo(f"      {lacking} without an objective's value counted as fail")
    typer.echo(f"      optuna-dashboard {to}")
