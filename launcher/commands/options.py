"""Options and arguments that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Override a field; may be given again."),
]
RunsDir = Annotated[
    Path | None,
    typer.Option("--runs-dir", help="Folder of all sweeps; else $DEIT_RUNS, else ./runs."),
]
BackendName = Annotated[
    str | None,
    typer.Option("--backend", help="Where jobs run: local or slurm; else slurm where it answers."),
]
SweepArgument = Annotated[Path | None, typer.Argument(help="Sweep folder; else reports/latest.")]
SweepOption = Annotated[
    Path | None, typer.Option("--sweep", help="Sweep folder; else reports/latest.")
]
Trial = Annotated[str, typer.Argument(help="Id, start of an id, or name.")]
Trials = Annotated[list[str] | None, typer.Argument(help="Ids, starts of ids, or names.")]
