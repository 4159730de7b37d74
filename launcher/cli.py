"""`deit-launch`: plan, start, watch and steer sweeps. What a command needs is imported by it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deit_core.errors import UserError
from launcher.usage import OneLineErrors

if TYPE_CHECKING:
    from deit_core.records import PlannedTrial
    from launcher.backends.base import Backend
    from launcher.reconcile import Outcome
    from launcher.request import Request
    from launcher.sweep_dir import SweepDir

EXIT_SOME_FAILED = 3
EXIT_INTERRUPTED = 130

app = typer.Typer(
    cls=OneLineErrors,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Plan, start, watch and steer sweeps of distilled vision transformers.",
)

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Override a field; may be given again."),
]
RunsDir = Annotated[
    Path | None,
    typer.Option("--runs-dir", help="Folder of all sweeps; else $DEIT_RUNS, else ./runs."),
]
BackendName = Annotated[str, typer.Option("--backend", help="Where jobs run: local.")]
SweepArgument = Annotated[Path | None, typer.Argument(help="Sweep folder; else reports/latest.")]
SweepOption = Annotated[
    Path | None, typer.Option("--sweep", help="Sweep folder; else reports/latest.")
]
Trials = Annotated[list[str] | None, typer.Argument(help="Ids, starts of ids, or names.")]
LOCAL = "local"


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"deit-launch {version('deit-sweeps')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


@app.command()
def sweep(  # noqa: PLR0913 - one parameter an option
    file: Annotated[Path, typer.Argument(help="Sweep file.")],
    *,
    set_: Settings = None,
    profile: Annotated[
        str | None, typer.Option("--profile", help="A profile of the sweep file.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and change nothing.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Stay until every trial ended.")] = False,
    backend: BackendName = LOCAL,
    runs_dir: RunsDir = None,
) -> None:
    """Start what is missing of a sweep, and return. Asking twice trains once."""
    from launcher.request import request_of
    from launcher.sweep import load_sweep

    runs = _runs(runs_dir)
    chosen = _backend(backend, runs)
    request = request_of(load_sweep(file, profile=profile, overrides=set_ or []))
    if dry_run:
        _preview(runs, request, chosen)
    else:
        _start(runs, request, chosen, stay=watch)


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="A training config (YAML).")],
    set_: Settings = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return at once instead of showing progress.")
    ] = False,
    backend: BackendName = LOCAL,
    runs_dir: RunsDir = None,
) -> None:
    """Train one config: a sweep of one trial. Ctrl-C leaves it running."""
    from launcher.request import request_of
    from launcher.sweep import load_config_as_sweep

    runs = _runs(runs_dir)
    request = request_of(load_config_as_sweep(config, overrides=set_ or []))
    _start(runs, request, _backend(backend, runs), stay=not detach, to_stay="without --detach")


@app.command()
def status(
    sweep: SweepArgument = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON of a stable schema.")] = False,
) -> None:
    """Show how the trials of a sweep stand."""
    from json import dumps

    from launcher.monitor import Monitor
    from launcher.status_text import print_snapshot
    from launcher.text import open_console

    sweep_dir = _open(sweep)
    chosen = _backend(LOCAL, sweep_dir.runs)
    _revive(chosen)
    snapshot = Monitor(sweep_dir, chosen).look()
    if json:
        typer.echo(dumps(snapshot.as_json(), indent=2))
    else:
        print_snapshot(snapshot, open_console())


@app.command()
def logs(
    trial: Annotated[str, typer.Argument(help="Id, start of an id, or name.")],
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Stay until it ends.")] = False,
    sweep: SweepOption = None,
) -> None:
    """Show what a trial printed."""
    from deit_core.run_dir import RunDir
    from launcher.errors import LaunchError
    from launcher.logs import follow_logs, show_logs
    from launcher.observe import ACTIVE, observe
    from launcher.selection import select_trial

    sweep_dir = _open(sweep)
    chosen = select_trial(trial, sweep_dir.read_plan().trials)
    path = sweep_dir.trial_path(chosen.trial_id)
    if path is None:
        raise LaunchError(f"{chosen.trial_id} ({chosen.name}) has no run directory yet")
    if not follow:
        show_logs(RunDir(path), _write)
        return
    backend = _backend(LOCAL, sweep_dir.runs)

    def active() -> bool:
        _revive(backend)
        return observe({chosen.trial_id: path}, backend)[chosen.trial_id].condition in ACTIVE

    follow_logs(RunDir(path), _write, active)


@app.command()
def retry(
    trials: Trials = None,
    failed: Annotated[bool, typer.Option("--failed", help="Every failed trial.")] = False,
    sweep: SweepOption = None,
) -> None:
    """Start failed or cancelled trials again, from their last checkpoint."""
    from launcher.control import retry as retry_trials

    sweep_dir = _open(sweep)
    chosen = _choose(sweep_dir, trials, failed, "--failed")
    _note_lost(sweep_dir)
    outcome = retry_trials(sweep_dir, _backend(LOCAL, sweep_dir.runs), chosen)
    if outcome.plan.jobs:
        _report_start(outcome)
    else:
        typer.echo("nothing to retry: no trial that was asked for is failed or stopped")


@app.command()
def cancel(
    trials: Trials = None,
    all_: Annotated[bool, typer.Option("--all", help="Every trial of the sweep.")] = False,
    sweep: SweepOption = None,
) -> None:
    """Stop trials; they save first. A later `sweep` or `retry` continues them."""
    from launcher.control import cancel as cancel_trials

    sweep_dir = _open(sweep)
    chosen = _choose(sweep_dir, trials, all_, "--all")
    _note_lost(sweep_dir)
    stopped = cancel_trials(sweep_dir, _backend(LOCAL, sweep_dir.runs), chosen)
    if not stopped:
        typer.echo("nothing to cancel: no trial that was asked for runs or waits")
        return
    typer.echo(f"cancelled: {', '.join(stopped[:10])}{' …' if len(stopped) > 10 else ''}")
    typer.echo(f"to continue: deit-launch retry TRIAL, or the same {_begun_by(sweep_dir)} again")


@app.command()
def doctor(runs_dir: RunsDir = None, backend: BackendName = LOCAL) -> None:
    """Check that everything a sweep needs is here."""
    from launcher.doctor import examine

    runs = _runs(runs_dir)
    checks = examine(runs, _backend(backend, runs))
    width = max(len(check.name) for check in checks)
    for check in checks:
        typer.echo(f"{'ok ' if check.ok else 'BAD'}  {check.name:<{width}}  {check.detail}")
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


# shared by the commands ------------------------------------------------------------------------


def _runs(given: Path | None) -> Path:
    return Path(os.path.abspath(given or os.environ.get("DEIT_RUNS") or "runs"))


def _backend(name: str, runs: Path) -> Backend:
    from launcher.backends.registry import open_backend

    return open_backend(name, runs)


def _open(sweep: Path | None) -> SweepDir:
    from launcher.sweep_dir import open_sweep

    return open_sweep(sweep)


def _revive(backend: Backend) -> None:
    """Wake the queue; someone else's sweep can be looked at, not moved."""
    import contextlib

    from deit_core.errors import RunDirError

    with contextlib.suppress(RunDirError):
        backend.revive()


def _note_lost(sweep_dir: SweepDir) -> None:
    """Name the trials that commands on an existing sweep pass over."""
    from launcher.request import without_config
    from launcher.text import count

    lost = sorted(without_config(sweep_dir, sweep_dir.read_plan()))
    if lost:
        shown = f"{', '.join(lost[:5])}{' …' if len(lost) > 5 else ''}"
        typer.echo(
            f"note: {count(len(lost), 'trial')} passed over, as the run directory was deleted "
            f"({shown}); the same {_begun_by(sweep_dir)} makes it again",
            err=True,
        )


def _begun_by(sweep_dir: SweepDir) -> str:
    """The command that made a sweep folder: a single config came by `train`."""
    given = sweep_dir.read_plan().command.split()[1:2]
    return "`deit-launch train`" if given == ["train"] else "`deit-launch sweep`"


def _write(text: str) -> None:
    typer.echo(text, nl=False)


def _choose(
    sweep_dir: SweepDir, names: list[str] | None, every: bool, flag: str
) -> list[str] | None:
    """Ids of the named trials; None for every one."""
    from launcher.errors import LaunchError
    from launcher.selection import select_trials

    if names and every:
        raise LaunchError(f"{names[0]!r} and {flag} are given; name the trials or pass {flag}")
    if not names and not every:
        raise LaunchError(f"name the trials, or pass {flag}; `deit-launch status` lists them")
    if not names:
        return None
    chosen: list[PlannedTrial] = select_trials(names, sweep_dir.read_plan().trials)
    return [trial.trial_id for trial in chosen]


def _preview(runs: Path, request: Request, backend: Backend) -> None:
    from launcher.plan_text import print_plan
    from launcher.reconcile import preview, why_refused
    from launcher.text import open_console

    plan = preview(runs, request, backend)
    print_plan(plan, open_console(), trials=True)
    refused = why_refused(plan)
    if refused:  # where the plan is made need not be where the data are
        typer.echo(f"warning: this would be refused here: {refused}", err=True)
    typer.echo("dry run: nothing was started")


def _start(
    runs: Path, request: Request, backend: Backend, *, stay: bool, to_stay: str = "with --watch"
) -> None:
    from launcher.reconcile import reconcile

    outcome = reconcile(runs, request, backend, then=_point_latest)
    _report_start(outcome, stay=stay, to_stay=to_stay)
    if stay:
        _stay(outcome.sweep_dir, backend)


def _point_latest(sweep_dir: SweepDir) -> None:
    from launcher.sweep_dir import point_latest

    warning = point_latest(sweep_dir)
    if warning:
        typer.echo(f"warning: {warning}", err=True)


def _report_start(outcome: Outcome, *, stay: bool = False, to_stay: str | None = None) -> None:
    """Say what was started and, to who does not stay, what to do next.

    `to_stay`: how the command that was given stays, where it can.
    """
    from launcher.plan_text import print_plan
    from launcher.text import count, open_console

    print_plan(outcome.plan, open_console(), trials=False)
    folder = _readable(outcome.sweep_dir.path)
    if outcome.adopted:
        typer.echo(f"adopted {count(outcome.adopted, 'job')} of an interrupted call")
    if outcome.plan.jobs:
        typer.echo(f"submitted {count(len(outcome.plan.jobs), 'job')}; folder: {folder}")
    else:
        typer.echo(f"nothing to start; folder: {folder}")
    if stay:
        return
    if "keep" in outcome.plan.counts() or outcome.plan.jobs:
        again = f"deit-launch status{_sweep_argument(outcome.sweep_dir)}"
        typer.echo(f"to watch: {again}" + (f", or the same command {to_stay}" if to_stay else ""))
    elif outcome.plan.counts().get("done"):
        _print_next(outcome.sweep_dir)


def _stay(sweep_dir: SweepDir, backend: Backend) -> None:
    """Show progress until all trials have ended; exits with 3 when some did not complete."""
    from launcher.monitor import Monitor
    from launcher.status_text import print_snapshot
    from launcher.text import open_console
    from launcher.watch import watch

    console = open_console()
    try:
        snapshot = watch(Monitor(sweep_dir, backend), console)
    except KeyboardInterrupt:
        again = f"deit-launch status {_readable(sweep_dir.path)}"
        typer.echo(f"\nsweep continues; re-attach: {again}, or the same command again")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    print_snapshot(snapshot, console)
    _print_next(sweep_dir)
    if not snapshot.all_completed():
        raise typer.Exit(EXIT_SOME_FAILED)


def _sweep_argument(sweep_dir: SweepDir) -> str:
    """What a command needs to be told to take this sweep; nothing for the latest."""
    from launcher.sweep_dir import is_latest

    return "" if is_latest(sweep_dir) else f" {_readable(sweep_dir.path)}"


def _print_next(sweep_dir: SweepDir) -> None:
    from launcher.sweep_dir import LATEST

    folder = _sweep_argument(sweep_dir) or f" {LATEST}"
    typer.echo(f"next: deit-report{folder}")
    typer.echo(f"      tensorboard --logdir{folder}")


def _readable(path: Path) -> Path:
    """Relative to the current folder where it lies below it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def main() -> None:
    """Entry point: user errors are one line on stderr and exit code 2."""
    try:
        app()
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted; nothing is lost: run the same command again\n")
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
