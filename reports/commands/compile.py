"""Compile a report once, from a sweep folder or from a results.json."""

from __future__ import annotations

import logging
import os
import webbrowser
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import typer

from reports.context import Options
from reports.errors import ReportError
from reports.load import load_sweep, resolve_sweep
from reports.reference.compare import with_reference
from reports.reference.published import load_reference
from reports.report import Report, compile_report
from reports.results import SweepResults
from reports.results_file import read_results
from reports.write import parse_formats, source_date_epoch, write_report


@dataclass(frozen=True)
class Request:
    """What the user asked for."""

    path: Path
    """A sweep folder, or a link to one; not looked at where `results` is given."""
    results: Path | None = None
    """A results.json to make the report from."""
    output: Path | None = None
    formats: str | None = None
    """Comma separated; None: all."""
    baseline: str | None = None
    opens: bool = False
    """Whether a browser is to show the page."""
    reference: str | None = None
    """Published results to set beside: `deit`, `cait` or a file."""


@dataclass(frozen=True)
class Job:
    """A request that was checked: where to read, where to write."""

    folder: Path | None
    """The real path of the sweep folder; None for a report from a results.json."""
    target: Path
    formats: tuple[str, ...]
    options: Options
    opens: bool
    reference: Mapping[str, Any] | None = None
    """Published results, as read; None: those that a results.json brings, if any."""

    def write(self, sweep: SweepResults) -> tuple[Report, Path]:
        """Compile and write; returns the report, and what to look at. Raises UserError."""
        report = compile_report(with_reference(sweep, self.reference), self.options)
        return report, write_report(report, self.target, self.formats)


def prepare(request: Request) -> Job:
    """Check what was asked for and say which sweep folder it is about.

    Raises:
        ReportError: something of it cannot be used.
    """
    from reports.write import FORMATS

    formats = FORMATS if request.formats is None else parse_formats(request.formats)
    if request.opens and "html" not in formats:
        raise ReportError("--open shows the page: add html to --format")
    # In a home that cannot be written matplotlib logs where it keeps its cache instead.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    reference = None if request.reference is None else load_reference(request.reference)
    options = Options(request.baseline, source_date_epoch(), request.reference)
    output = Path(os.path.abspath(request.output)) if request.output else None
    if request.results is not None:
        target = output or Path(os.path.abspath(request.results)).parent
        return Job(None, target, formats, options, request.opens, reference)
    folder = resolve_sweep(request.path)
    typer.echo(f"sweep folder: {folder}")
    return Job(folder, output or folder / "report", formats, options, request.opens, reference)


def compile_once(request: Request) -> Report:
    """Read, compile, write, and print the answer; returns the report.

    Raises:
        UserError: something of it cannot be used, read or written.
    """
    from rich.console import Console

    from reports.render.terminal import print_report

    job = prepare(request)
    if request.results is not None:
        sweep, kept = read_results(request.results)
        job = replace(job, options=_overridden(kept, job.options))
    else:
        assert job.folder is not None
        sweep = load_sweep(job.folder, job.target)
    report, index = job.write(sweep)
    print_report(report, Console())
    typer.echo(f"report: {index}")
    if job.opens:
        show(index)
    return report


def _overridden(kept: Options, asked: Options) -> Options:
    """What the report was made with, but for what is asked for anew."""
    return replace(kept, **{key: value for key, value in vars(asked).items() if value is not None})


def show(index: Path) -> None:
    """Open the page in a browser, or say how to where there is none."""
    try:
        opened = webbrowser.open(index.as_uri())
    except (webbrowser.Error, OSError):
        opened = False
    if not opened:
        typer.echo(f"no browser was found here; the page is {index.as_uri()}")
