"""Commands that look at trials and change nothing."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from launcher.commands.common import note_silence, readable, revive, sweep_backend
from launcher.commands.following import stay_with
from launcher.commands.options import SweepArgument, SweepOption, Trial

if TYPE_CHECKING:
    from pathlib import Path

    from deit_core.records import PlannedTrial
    from launcher.sweep_dir import SweepDir

Json = Annotated[bool, typer.Option("--json", help="Print JSON of a stable schema.")]


def status(
    sweep: SweepArgument = None,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="FIELD", help="Swept field to group by; else the first."),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Stay until every trial ended.")] = False,
    json: Json = False,
) -> None:
    """Show how the trials of a sweep stand."""
    from json import dumps

    from launcher.errors import LaunchError
    from launcher.monitor import Monitor
    from launcher.status_groups import group_field
    from launcher.status_text import print_snapshot
    from launcher.sweep_dir import open_sweep
    from launcher.text import open_console

    if json and (watch or by):
        raise LaunchError("--json prints every trial once; leave --watch and --by out")
    sweep_dir = open_sweep(sweep)
    chosen = sweep_backend(sweep_dir)
    monitor = Monitor(sweep_dir, chosen)
    field = group_field(by, monitor.plan, searched=monitor.searched)
    if watch:
        stay_with(sweep_dir, chosen, by=field)
        return
    revive(chosen)
    snapshot = monitor.look()
    note_silence(err=json)
    if json:
        typer.echo(dumps(snapshot.as_json(), indent=2))
    else:
        print_snapshot(snapshot, open_console(), by=field)


def logs(  # noqa: PLR0913 - one parameter an option
    trial: Trial,
    *,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Stay until it ends.")] = False,
    rank: Annotated[
        str, typer.Option("--rank", metavar="R|all", help="A process of the job, or all.")
    ] = "0",
    attempt: Annotated[int | None, typer.Option("--attempt", help="One attempt alone.")] = None,
    grep: Annotated[str | None, typer.Option("--grep", help="Lines with this text alone.")] = None,
    scheduler: Annotated[
        bool, typer.Option("--scheduler", help="What the scheduler said of its jobs instead.")
    ] = False,
    sweep: SweepOption = None,
) -> None:
    """Show what a trial printed, attempt by attempt."""
    from deit_core.run_dir import RunDir
    from launcher.errors import LaunchError
    from launcher.logs import (
        LogFilter,
        follow_logs,
        is_news,
        log_before_start,
        show_early_log,
        show_last_words,
        show_logs,
        show_scheduler_log,
    )
    from launcher.observe import ACTIVE, observe

    if follow and (attempt is not None or scheduler):
        raise LaunchError("-f shows what is printed from now on; leave --attempt, --scheduler out")
    wanted = LogFilter(_rank(rank), attempt, grep)
    sweep_dir, chosen = _trial(trial, sweep)
    path = sweep_dir.trial_path(chosen.trial_id)
    if path is None:
        raise LaunchError(f"{chosen.trial_id} ({chosen.name}) has no run directory yet")
    run, backend = RunDir(path), sweep_backend(sweep_dir)
    early = log_before_start(run, backend)
    if scheduler:
        show_scheduler_log(run, _write, early)
        return
    if not follow:
        news = early if early is not None and is_news(early, run) else None
        if news is None or run.stdout_file.exists():
            show_logs(run, _write, wanted)
        if grep is None and attempt is None:
            show_last_words(run, _write)
        if news is not None:
            show_early_log(news, _write)
        return

    def active() -> bool:
        revive(backend)
        return observe({chosen.trial_id: path}, backend)[chosen.trial_id].condition in ACTIVE

    follow_logs(run, _write, active, wanted)


def why(trial: Trial, json: Json = False, sweep: SweepOption = None) -> None:
    """Explain why a trial is where it is, and what to do."""
    from json import dumps

    from launcher.why import explain, look_into

    sweep_dir, chosen = _trial(trial, sweep)
    backend = sweep_backend(sweep_dir)
    if json:
        lines = [dumps(look_into(sweep_dir, chosen, backend).as_json(), indent=2)]
    else:
        lines = explain(sweep_dir, chosen, backend)
    note_silence(err=json)
    for line in lines:
        typer.echo(line)


def pruning(sweep: SweepArgument = None, json: Json = False) -> None:
    """Sum up what a sweep's pruner has done, or would have done."""
    from json import dumps

    from launcher.pruning_report import look_at_pruning
    from launcher.pruning_text import report_lines
    from launcher.sweep_dir import open_sweep

    report = look_at_pruning(open_sweep(sweep))
    for line in [dumps(report.as_json(), indent=2)] if json else report_lines(report):
        typer.echo(line)


def tensorboard(
    sweep: SweepArgument = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free one.")] = 6006,
) -> None:
    """Show a sweep's curves in TensorBoard. On this machine alone, until Ctrl-C."""
    from launcher.sweep_dir import open_sweep

    folder = open_sweep(sweep).tensorboard
    typer.echo(f"event files: {readable(folder)}; Ctrl-C stops TensorBoard")
    sys.stdout.flush()
    options = ["--logdir", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    os.execv(sys.executable, [sys.executable, "-P", "-m", "tensorboard.main", *options])


def _trial(given: str, sweep: Path | None) -> tuple[SweepDir, PlannedTrial]:
    from launcher.selection import select_trial
    from launcher.sweep_dir import open_sweep

    sweep_dir = open_sweep(sweep)
    return sweep_dir, select_trial(given, sweep_dir.read_plan().trials)


def _rank(given: str) -> int | None:
    from launcher.errors import LaunchError

    if given == "all":
        return None
    if not (given.isascii() and given.isdigit()):
        raise LaunchError(f"{given!r} is no rank; give a number from 0 up, or `all`")
    return int(given)


def _write(text: str) -> None:
    typer.echo(text, nl=False)
