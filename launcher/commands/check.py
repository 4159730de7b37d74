"""`doctor`: what is here, and what a sweep would miss."""

from __future__ import annotations

import typer

from launcher.commands.common import runs_folder, start_backend
from launcher.commands.options import BackendName, RunsDir


def doctor(runs_dir: RunsDir = None, backend: BackendName = None) -> None:
    """Check that everything a sweep needs is here."""
    from launcher.doctor import examine

    runs = runs_folder(runs_dir)
    checks = examine(runs, start_backend(backend, runs))
    width = max(len(check.name) for check in checks)
    for check in checks:
        typer.echo(f"{'ok ' if check.ok else 'BAD'}  {check.name:<{width}}  {check.detail}")
    if not all(check.ok for check in checks):
        raise typer.Exit(1)
