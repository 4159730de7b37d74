"""Commands that start trials: `sweep` and `train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from launcher.commands.common import runs_folder, start_backend
from launcher.commands.following import report_start, stay_with
from launcher.commands.options import BackendName, Partition, RayAddress, RunsDir, Settings

if TYPE_CHECKING:
    from launcher.backends.base import Backend
    from launcher.request import Request
    from launcher.sweep_dir import SweepDir


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
    backend: BackendName = None,
    partition: Partition = None,
    ray_address: RayAddress = None,
    runs_dir: RunsDir = None,
) -> None:
    """Start what is missing of a sweep, and return. Asking twice trains once."""
    from launcher.request import request_of
    from launcher.sweep import load_sweep

    runs = runs_folder(runs_dir)
    chosen = start_backend(backend, runs, partition, ray_address)
    overrides = _settings(set_, partition)
    request = request_of(load_sweep(file, profile=profile, overrides=overrides))
    if dry_run:
        _preview(runs, request, chosen)
    else:
        _start(runs, request, chosen, stay=watch)


def train(  # noqa: PLR0913 - one parameter an option
    config: Annotated[Path, typer.Argument(help="A training config (YAML).")],
    *,
    set_: Settings = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return at once instead of showing progress.")
    ] = False,
    backend: BackendName = None,
    partition: Partition = None,
    ray_address: RayAddress = None,
    runs_dir: RunsDir = None,
) -> None:
    """Train one config: a sweep of one trial. Ctrl-C leaves it running."""
    from launcher.request import request_of
    from launcher.sweep import load_config_as_sweep

    runs = runs_folder(runs_dir)
    chosen = start_backend(backend, runs, partition, ray_address)
    overrides = _settings(set_, partition)
    request = request_of(load_config_as_sweep(config, overrides=overrides))
    _start(runs, request, chosen, stay=not detach, to_stay="without --detach")


def _settings(given: list[str] | None, partition: str | None) -> list[str]:
    """What `--set` and `--partition` say, as `--set` says it."""
    from json import dumps

    settings = list(given or [])
    return settings if partition is None else [*settings, f"resources.partition={dumps(partition)}"]


def _preview(runs: Path, request: Request, backend: Backend) -> None:
    from launcher.forecast import forecast_lines
    from launcher.plan_text import print_plan
    from launcher.reconcile import preview, why_refused
    from launcher.text import open_console, print_lines

    plan = preview(runs, request, backend)
    console = open_console()
    print_plan(plan, console, trials=True)
    print_lines(console, forecast_lines(plan, request.resources, backend))
    refused = why_refused(plan)
    if refused:  # where the plan is made need not be where the data are
        typer.echo(f"warning: this would be refused here: {refused}", err=True)
    typer.echo("dry run: nothing was started")


def _start(
    runs: Path, request: Request, backend: Backend, *, stay: bool, to_stay: str = "with --watch"
) -> None:
    from launcher.reconcile import reconcile

    outcome = reconcile(runs, request, backend, then=point_latest)
    report_start(outcome, stay=stay, to_stay=to_stay)
    if stay:
        stay_with(outcome.sweep_dir, backend)


def point_latest(sweep_dir: SweepDir) -> None:
    """Let `reports/latest` point to a sweep; says so where it cannot."""
    from launcher import sweep_dir as folders

    warning = folders.point_latest(sweep_dir)
    if warning:
        typer.echo(f"warning: {warning}", err=True)
