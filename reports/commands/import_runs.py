"""`deit-report import SRC... --output DIR`: runs of other programs as a sweep folder."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer


def import_runs(  # noqa: PLR0913, PLR0917 - one argument for each option
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SRC...",
            help="Folders or files of runs; NAME=SRC names the variant, and runs under one name "
            "are its seeds.",
        ),
    ],
    output: Annotated[Path, typer.Option(help="The sweep folder to make; new or empty.")],
    name: Annotated[
        str | None, typer.Option(help="Name of the sweep; that of --output if not given.")
    ] = None,
    program: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="tensorboard, timm or deit: read files of this program only.",
            show_default=False,
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="TAG",
            help="Tag, column or key of top-1 accuracy, where it is none of the usual ones.",
            show_default=False,
        ),
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(help="Of accuracies: percent or fraction.", show_default=False),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="State what no file says, for all runs: a config field such as "
            "data.source=imagenet, or val_images=50000. May be repeated.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Import runs of other programs: TensorBoard event files, timm's summary.csv, DeiT's log.txt.

    The last epoch counts, never the best. What the files do not say stays unknown.
    """
    from reports.errors import ReportError
    from reports.importers.find import READERS, find_runs
    from reports.importers.run import Reading, UnreadableRunError, check_unit
    from reports.importers.write import Import, read_stated, write_sweep
    from reports.reference.fields import CONFIG_FIELDS
    from reports.text import count, utc
    from reports.write import source_date_epoch

    only = next((one for one in READERS if one == program), None)
    if program is not None and only is None:
        raise ReportError(f"--format {program!r} is unknown; valid: {', '.join(sorted(READERS))}")
    reading = Reading(metric, check_unit(unit))
    stated = read_stated(settings or [], CONFIG_FIELDS)
    runs, skipped = [], []
    for found in [one for source in sources for one in find_runs(source, only)]:
        try:
            runs.append((found, READERS[found.program](found.path, reading)))
        except UnreadableRunError as error:
            skipped.append(f"{found.path}: {error}")
    for why in skipped:
        typer.echo(f"skipped: {why}", err=True)
    if not runs:
        raise ReportError(f"no run could be imported; {count(len(skipped), 'source')} skipped")
    folder = write_sweep(
        Import(
            name or output.absolute().name,
            tuple(runs),
            stated,
            tuple(skipped),
            shlex.join(["deit-report", *sys.argv[1:]]),
            utc(_now(source_date_epoch())),
        ),
        output,
    )
    typer.echo(f"imported {count(len(runs), 'run')}: {folder}")
    typer.echo(f"next: deit-report {shlex.quote(str(folder))}")


def _now(given: int | None) -> float:
    import time

    return time.time() if given is None else given
