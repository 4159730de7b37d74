"""`deit-report [PATH]`: compile a sweep folder into a report."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from deit_core.errors import UserError
from reports.commands.diff import diff
from reports.commands.import_runs import import_runs

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(
    epilog="Exit codes: 0 the report is written; 2 something cannot be used, read or written; "
    "4 worse than published (with --fail-on-regression); 130 stopped with Ctrl-C. "
    "Further commands: `deit-report diff A B` compares two sweeps, `deit-report import` takes in "
    "runs of other programs; a folder of such a name is ./diff."
)
def report(  # noqa: PLR0913, PLR0917 - one argument for each option
    path: Annotated[
        Path, typer.Argument(help="A sweep folder, or a link to one.", show_default=True)
    ] = Path("reports/latest"),
    results: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Make the report from a results.json instead; no run directory is needed.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write into; if not given, PATH/report, or the folder of --from.",
            show_default=False,
        ),
    ] = None,
    formats: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="LIST",
            help="Which files to write, of html,md,csv,json,tex,svg,pdf; all if not given. "
            "Others are left as they are.",
            show_default=False,
        ),
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
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Published results to set beside: `deit`, `cait`, or a JSON or CSV file.",
            show_default=False,
        ),
    ] = None,
    fail_on_regression: Annotated[
        bool,
        typer.Option(
            "--fail-on-regression",
            help="Exit with code 4 when a mean is below the published number beyond chance.",
        ),
    ] = False,
    opens: Annotated[bool, typer.Option("--open", help="Show the page in a browser.")] = False,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Compile again whenever something changed, until all ended."),
    ] = False,
    every: Annotated[
        float, typer.Option(metavar="SECONDS", help="Between two looks of --watch.", min=1)
    ] = 20.0,
) -> None:
    """Compile a sweep's results into a page, Markdown, LaTeX tables, figures, CSV and JSON.

    Works at any time: trials that are missing, running or failed are shown as such.
    """
    from reports.commands.compile import Request, compile_once
    from reports.commands.regression import fail_if_below
    from reports.commands.watch import compile_until_ended

    request = Request(path, results, output, formats, baseline, opens, reference)
    compiled = compile_until_ended(request, every) if watch else compile_once(request)
    if fail_on_regression:
        fail_if_below(compiled)


tools = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
"""Commands beside the report itself, which is what a path as the first word asks for."""
_TOOLS: dict[str, Callable[..., None]] = {"diff": diff, "import": import_runs}
for _name, _command in _TOOLS.items():
    tools.command(_name)(_command)


@tools.callback()
def _together() -> None:
    """Compare sweeps, and take in runs of other programs."""


def main() -> None:
    """Entry point: user errors are one line on stderr and exit code 2."""
    try:
        if sys.argv[1:2] and sys.argv[1] in _TOOLS:
            tools(prog_name="deit-report")
        app()
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("\ninterrupted; files that were not written yet are as they were", err=True)
        sys.exit(130)
