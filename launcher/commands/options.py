"""Options and arguments that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from launcher.commands.completion import complete_backend, complete_sweep, complete_trial

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
    typer.Option(
        "--backend",
        help="Where jobs run: local, slurm or ray; else slurm where it answers.",
        autocompletion=complete_backend,
    ),
]
SweepArgument = Annotated[
    Path | None,
    typer.Argument(help="Sweep folder; else reports/latest.", autocompletion=complete_sweep),
]
SweepOption = Annotated[
    Path | None,
    typer.Option(
        "--sweep", help="Sweep folder; else reports/latest.", autocompletion=complete_sweep
    ),
]
Partition = Annotated[
    str | None,
    typer.Option("--partition", help="SLURM partition; it implies `--backend slurm`."),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        help="Ray cluster: host:port, auto or local; else $RAY_ADDRESS, else auto. "
        "It implies `--backend ray`.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Every = Annotated[bool, typer.Option("--all", help="Every trial of the sweep.")]
Trial = Annotated[
    str, typer.Argument(help="Id, start of an id, or name.", autocompletion=complete_trial)
]
Trials = Annotated[
    list[str] | None,
    typer.Argument(help="Ids, starts of ids, or names.", autocompletion=complete_trial),
]
