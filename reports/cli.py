"""`deit-report [PATH]`: compile a sweep folder into a report."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from deit_core.errors import UserError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def report(
    path: Annotated[
        Path, typer.Argument(help="A sweep folder, or a link to one.", show_default=True)
    ] = Path("reports/latest"),
    output: Annotated[
        Path | None,
        typer.Option(help="Folder to write into; PATH/report if not given.", show_default=False),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Swept values to compare with, such as `kind=none` or `kind=soft, depth=6`; "
            "if not given, the variants without distillation, else the first variant.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Compile a sweep's results into index.html, report.md, results.csv and results.json.

    Works at any time: trials that are missing, running or failed are shown as such.
    """
    from rich.console import Console

    from reports.context import Options
    from reports.load import load_sweep, resolve_sweep
    from reports.render_terminal import print_report
    from reports.report import compile_report
    from reports.write import source_date_epoch, write_report

    # In a home that cannot be written matplotlib logs where it keeps its cache instead.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    folder = resolve_sweep(path)
    typer.echo(f"sweep folder: {folder}")
    target = Path(os.path.abspath(output)) if output else folder / "report"
    options = Options(baseline=baseline, source_date_epoch=source_date_epoch())
    compiled = compile_report(load_sweep(folder, target), options)
    index = write_report(compiled, target)
    print_report(compiled, Console())
    typer.echo(f"report: {index}")


def main() -> None:
    """Entry point: user errors are one line on stderr and exit code 2."""
    try:
        app()
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
