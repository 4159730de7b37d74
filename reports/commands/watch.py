"""Compile the report of a sweep that goes on, again and again, until all of it has ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

import typer

from reports.commands.compile import Job, Request, prepare, show
from reports.errors import ReportError
from reports.load import load_sweep
from reports.load_trial import TrialReader
from reports.report import Report
from reports.results import SweepResults
from reports.text import count

EXIT_INTERRUPTED = 130
_LEAST_PAUSE_S = 1.0


def compile_until_ended(
    request: Request, every_s: float, wait: Callable[[float], None] = time.sleep
) -> Report:
    """Compile whenever something has changed; only what has changed is read again.

    Args:
        request: what to compile.
        every_s: seconds between two looks at the folder.
        wait: sleeps; tests change the sweep meanwhile.

    Returns:
        The last report.

    Raises:
        UserError: something of it cannot be used, read or written.
        typer.Exit: with 130 after Ctrl-C.
    """
    if request.results is not None:
        raise ReportError("--watch follows a sweep folder: it cannot go with --from")
    job = prepare(request)
    assert job.folder is not None
    reader = TrialReader(job.folder / "trials", remembers=True)
    before: SweepResults | None = None
    try:
        while True:
            began = time.monotonic()
            sweep = load_sweep(job.folder, job.target, reader)
            if sweep != before:
                report = _compile(job, sweep, first=before is None)
                before = sweep
            if has_ended(sweep):
                typer.echo("all of it has ended")
                return report
            # A large sweep takes a while to read and draw: never spend most of the time on it.
            wait(max(every_s, _LEAST_PAUSE_S, time.monotonic() - began))
    except KeyboardInterrupt:
        typer.echo("\nstopped watching; the report is as of the last look")
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _compile(job: Job, sweep: SweepResults, *, first: bool) -> Report:
    report, index = job.write(sweep)
    states = [trial.state for trial in sweep.trials]
    ended = count(len(states) - sweep.unfinished, "trial")
    partial = "partial report" if sweep.unfinished else "report"
    typer.echo(
        f"{datetime.now():%H:%M:%S} {ended} of {len(states)} ended, "
        f"{states.count('running')} running, {states.count('failed')} failed; {partial}: {index}"
    )
    if first and job.opens:
        show(index)
    return report


def has_ended(sweep: SweepResults) -> bool:
    """Whether nothing more is to come: no trial, no point of a search, no measurement."""
    if sweep.unfinished:
        return False
    if sweep.search is not None and sweep.search.get("ended") is None:
        return False
    if sweep.plan.bench is None:
        return True
    return all(trial.throughput for trial in sweep.students if trial.result)
