"""`doctor`: what is here, and what a sweep would miss."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from launcher.commands.common import runs_folder, start_backend
from launcher.commands.options import BackendName, Partition, RayAddress, RunsDir

if TYPE_CHECKING:
    from pathlib import Path

    from launcher.backends.base import Backend, Check
    from launcher.resources import Resources


def doctor(  # noqa: PLR0913 - one parameter an option
    *,
    runs_dir: RunsDir = None,
    backend: BackendName = None,
    partition: Partition = None,
    ray_address: RayAddress = None,
    account: Annotated[str | None, typer.Option("--account", help="SLURM account.")] = None,
    qos: Annotated[str | None, typer.Option("--qos", help="SLURM quality of service.")] = None,
    submit: Annotated[
        bool,
        typer.Option("--submit", help="Also run a short SLURM job that looks around on nodes."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check that everything a sweep needs is here."""
    from launcher.doctor import examine

    runs = runs_folder(runs_dir)
    chosen, notes = _backend(backend, runs, partition, ray_address)
    if submit:
        _require_slurm(chosen.name)
    checks = notes + examine(runs, chosen, _resources(partition, account, qos), submit=submit)
    if as_json:
        rows = [{"check": one.name, "verdict": one.verdict, "detail": one.detail} for one in checks]
        typer.echo(json.dumps(rows, indent=2))
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            typer.echo(f"{check.verdict:<4}  {check.name:<{width}}  {check.detail}")
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


def _backend(
    name: str | None, runs: Path, partition: str | None, ray_address: str | None
) -> tuple[Backend, list[Check]]:
    """What is looked at: this machine where a cluster is to be chosen and does not answer."""
    from launcher.backends.base import Check
    from launcher.errors import LaunchError

    try:
        return start_backend(name, runs, partition, ray_address), []
    except LaunchError as error:
        if name is not None or partition is not None or ray_address is not None:
            raise
        return start_backend("local", runs), [Check("cluster", True, str(error), note=True)]


def _resources(partition: str | None, account: str | None, qos: str | None) -> Resources:
    """What SLURM would be asked for. Raises LaunchError."""
    from pydantic import ValidationError

    from launcher.errors import LaunchError
    from launcher.resources import Resources

    try:
        return Resources(partition=partition, account=account, qos=qos)
    except ValidationError as error:
        first = error.errors()[0]
        reason = str(first["msg"]).removeprefix("Value error, ")
        raise LaunchError(f"--{first['loc'][0]}: {reason}") from None


def _require_slurm(backend: str) -> None:
    from launcher.errors import LaunchError

    if backend != "slurm":
        raise LaunchError(
            f"--submit runs a SLURM job, and the backend is {backend}; "
            f"pass --backend slurm, or leave --submit out"
        )
