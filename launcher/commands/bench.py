"""The command `bench`: how fast are the models of a sweep?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from launcher.commands.common import readable, runs_folder, start_backend, sweep_backend
from launcher.commands.completion import complete_sweep
from launcher.commands.following import EXIT_INTERRUPTED, EXIT_SOME_FAILED
from launcher.commands.options import BackendName, Partition, RunsDir, Settings

if TYPE_CHECKING:
    from deit_core.run_dir import RunDir
    from launcher.backends.base import Backend
    from launcher.bench.targets import Model
    from launcher.carry_out import Outcome
    from launcher.sweep_dir import SweepDir


def bench(  # noqa: PLR0913 - one parameter an option
    path: Annotated[
        Path | None,
        typer.Argument(
            help="Sweep folder, run directory, or sweep file; else reports/latest.",
            autocompletion=complete_sweep,
        ),
    ] = None,
    *,
    fast: Annotated[
        bool, typer.Option("--fast", help="Warm-up 2 s and timed 3 s, for a first look.")
    ] = False,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", min=1, help="The batch size all are measured at; else 256."),
    ] = None,
    largest_batch_size: Annotated[
        int | None,
        typer.Option("--largest-batch-size", min=1, help="Where larger ones end; else 4096."),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option("--processes", min=1, help="Fresh processes to repeat it in; else 1."),
    ] = None,
    training: Annotated[
        bool | None, typer.Option("--training/--no-training", help="Training steps, too; else yes.")
    ] = None,
    with_data: Annotated[
        bool, typer.Option("--with-data", help="Training fed by the data loader, too.")
    ] = False,
    now: Annotated[
        bool, typer.Option("--now", help="Do not wait for trials that run; they disturb it.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return at once instead of waiting for the result.")
    ] = False,
    set_: Settings = None,
    profile: Annotated[
        str | None, typer.Option("--profile", help="A profile of the sweep file.")
    ] = None,
    backend: BackendName = None,
    partition: Partition = None,
    runs_dir: RunsDir = None,
) -> None:
    """Measure how fast a sweep's models are. Speed needs no trained weights.

    What is measured already is left out. Of a sweep file, the trials are made but not trained.
    """
    from launcher.bench.existing import bench_existing, settings_of
    from launcher.bench.plan import Ask
    from launcher.request import bench_of

    sweep_dir, only, chosen = _find(path, runs_dir, backend, partition, set_, profile)
    settings = settings_of(
        bench_of(sweep_dir.read_plan(), sweep_dir),
        fast=fast or None,
        fixed_batch_size=batch_size,
        largest_batch_size=largest_batch_size,
        processes=processes,
        training=training,
        with_data=with_data,
    )
    ask = Ask(settings, by_name=True, only=only, now=now)
    outcome, models = bench_existing(sweep_dir, chosen, ask, partition)
    _report(outcome, chosen, models, stay=not detach)


def _find(
    path: Path | None,
    runs_dir: Path | None,
    backend: str | None,
    partition: str | None,
    set_: list[str] | None,
    profile: str | None,
) -> tuple[SweepDir, frozenset[str] | None, Backend]:
    """The sweep that is meant, the one trial if one is named, and where to measure."""
    from launcher.bench.existing import find_run
    from launcher.errors import LaunchError
    from launcher.sweep_dir import SweepDir, open_sweep

    if path is not None and path.is_file():
        runs = runs_folder(runs_dir)
        chosen = start_backend(backend, runs, partition)
        return _of_file(path, runs, chosen, set_, profile), None, chosen
    for option, given in (("--set", set_), ("--profile", profile), ("--runs-dir", runs_dir)):
        if given:
            raise LaunchError(f"{option} is for a sweep file; leave it out for a sweep's folder")
    only = None
    if path is not None and path.is_dir() and not SweepDir(path.resolve()).plan_file.exists():
        sweep_dir, trial_id = find_run(path)
        only = frozenset([trial_id])
    else:
        sweep_dir = open_sweep(path)
    elsewhere = backend is not None or partition is not None
    runs = sweep_dir.runs
    chosen = start_backend(backend, runs, partition) if elsewhere else sweep_backend(sweep_dir)
    return sweep_dir, only, chosen


def _of_file(
    file: Path, runs: Path, backend: Backend, set_: list[str] | None, profile: str | None
) -> SweepDir:
    """The folder of a sweep file: the one it has, else a new one whose trials wait."""
    from launcher.commands.start import point_latest
    from launcher.errors import LaunchError
    from launcher.reconcile import reconcile
    from launcher.request import request_of
    from launcher.sweep import load_sweep
    from launcher.sweep_dir import choose_folder

    request = request_of(load_sweep(file, profile=profile, overrides=set_ or ()))
    sweep_dir = choose_folder(runs, request.name, request.digest)
    if sweep_dir.plan_file.exists():
        return sweep_dir
    if request.search is not None:
        raise LaunchError(
            f"{file} is a search, whose models come to be while it runs; start it with "
            f"`deit-launch sweep {file}` first"
        )
    return reconcile(runs, request, backend, then=point_latest, train=False).sweep_dir


def _report(outcome: Outcome, backend: Backend, models: list[Model], *, stay: bool) -> None:
    """Say what was ordered, wait for it, and show what is known."""
    from launcher.bench.bench_dir import look_at_benches
    from launcher.bench.words import bench_lines
    from launcher.commands.common import sweep_argument
    from launcher.text import open_console, print_lines

    console = open_console()
    plan = outcome.plan.bench
    assert plan is not None
    print_lines(console, [*(f"note: {note}" for note in outcome.plan.notes), *bench_lines(plan)])
    wanted = {str(path) for model in models for path in model.run_dirs}
    runs = [
        order.run
        for order in look_at_benches(outcome.sweep_dir, backend)
        if order.run.path in outcome.benches
        or (order.seen.condition in ("queued", "running", "unknown") and order.run_dirs & wanted)
    ]
    again = f"deit-launch status{sweep_argument(outcome.sweep_dir)}"
    if not stay:
        if runs:
            typer.echo(f"to watch: {again}, or the same command without --detach")
        return
    completed = _follow(runs, backend, again)
    _show(models, completed=completed)


def _follow(runs: list[RunDir], backend: Backend, again: str) -> bool:
    """Wait for the orders; whether all of them were carried out."""
    from launcher.bench.follow import follow_benches

    try:
        ended = follow_benches(runs, backend, typer.echo)
    except KeyboardInterrupt:
        typer.echo(f"\nthe measurement continues; see: {again}, or the same command again")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    for one in ended:
        if one.state == "failed":
            typer.echo(f"its log: {readable(Path(one.path))}/job")
    return all(one.state == "completed" for one in ended)


def _show(models: list[Model], *, completed: bool) -> None:
    from launcher.bench.results import print_results
    from launcher.text import open_console

    if not print_results(models, open_console()) or not completed:
        raise typer.Exit(EXIT_SOME_FAILED)
