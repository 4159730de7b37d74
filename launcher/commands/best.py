"""The command `best`."""

from __future__ import annotations

from typing import Annotated

import typer

from launcher.commands.common import note_silence, sweep_backend
from launcher.commands.options import SweepArgument


def best(
    sweep: SweepArgument = None,
    objective: Annotated[
        list[str] | None,
        typer.Option("--objective", metavar="METRIC", help="Rank by this; again for a trade-off."),
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="How many to show.")] = 10,
    json: Annotated[bool, typer.Option("--json", help="Print JSON of a stable schema.")] = False,
) -> None:
    """Rank a sweep's variants by its objectives."""
    from json import dumps

    from launcher.search.best import find_best
    from launcher.search.best_text import as_json, print_best
    from launcher.sweep_dir import open_sweep
    from launcher.text import open_console

    sweep_dir = open_sweep(sweep)
    found = find_best(sweep_dir, sweep_backend(sweep_dir), objective)
    note_silence(err=json)
    if json:
        typer.echo(dumps(as_json(found), indent=2))
    else:
        print_best(found, open_console(), top)
