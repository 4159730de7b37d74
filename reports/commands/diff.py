"""`deit-report diff A B`: what changed between two sweeps."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated

import typer


def diff(
    a: Annotated[Path, typer.Argument(metavar="A", help="A sweep folder or a results.json.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another, compared with A.")],
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write index.html, report.md and diff.json into; if not given, the "
            "comparison is only printed.",
            show_default=False,
        ),
    ] = None,
    fail_on_regression: Annotated[
        bool,
        typer.Option(
            "--fail-on-regression",
            help="Exit with code 4 when a variant is worse in B than in A: the interval of the "
            "difference lies below 0.",
        ),
    ] = False,
) -> None:
    """Compare two sweeps: accuracy with intervals, throughput, and what was changed.

    Variants are matched by their config, else by equal swept values.
    """
    from rich.console import Console

    from reports.commands.regression import EXIT_REGRESSION
    from reports.context import Options
    from reports.diff.report import compile_diff
    from reports.diff.write import print_diff, write_diff
    from reports.results_file import read_any
    from reports.write import source_date_epoch

    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    options = Options(source_date_epoch=source_date_epoch())
    report = compile_diff(read_any(a), read_any(b), options)
    print_diff(report, Console())
    if output is not None:
        index = write_diff(report, Path(os.path.abspath(output)))
        typer.echo(f"comparison: {index}")
    if fail_on_regression and report.difference.worse:
        for one in report.difference.worse:
            typer.echo(f"regression: {one.pair.label} is worse in B than in A", err=True)
        raise typer.Exit(EXIT_REGRESSION)
