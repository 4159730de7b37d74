"""What commands share: folders, backends, and the trials a user names."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from launcher.backends.base import Backend
    from launcher.sweep_dir import SweepDir


def runs_folder(given: Path | None) -> Path:
    """The folder of all sweeps: the option, else DEIT_RUNS, else `runs` here."""
    return Path(os.path.abspath(given or os.environ.get("DEIT_RUNS") or "runs"))


def start_backend(
    name: str | None, runs: Path, partition: str | None = None, ray_address: str | None = None
) -> Backend:
    """The backend that new jobs go to: the one that is named, else slurm where it answers.

    Raises:
        LaunchError: there is no backend of this name, it has no partitions, or it is to be chosen
            here and a cluster that there is does not answer.
    """
    from launcher.backends.registry import be_brief, default_backend, open_backend
    from launcher.errors import LaunchError

    be_brief()
    if partition is not None and not partition.strip():
        raise LaunchError("--partition is empty; name one (`sinfo -s` lists them), or leave it out")
    if partition is not None and name not in (None, "slurm"):
        raise LaunchError(
            f"--partition {partition} is for slurm, and --backend {name} is given; "
            f"leave one of them out"
        )
    if ray_address is not None and (name not in (None, "ray") or partition is not None):
        other = f"--backend {name}" if partition is None else f"--partition {partition}"
        raise LaunchError(
            f"--ray-address {ray_address} is for ray, and {other} is given; leave one of them out"
        )
    implied = "slurm" if partition else "ray" if ray_address is not None else None
    chosen = name or implied or default_backend()
    return open_backend(chosen, runs, ray_address=ray_address)


def sweep_backend(sweep_dir: SweepDir) -> Backend:
    """The backend that an existing sweep was started on last; it knows the others.

    Raises:
        LaunchError: a backend that this version does not have.
        SchemaError: the plan cannot be read.
    """
    from launcher.backends.registry import be_brief, open_backend

    be_brief()
    return open_backend(sweep_dir.read_plan().backend or "local", sweep_dir.runs)


def revive(backend: Backend) -> None:
    """Wake the queue; someone else's sweep can be looked at, not moved."""
    from deit_core.errors import RunDirError

    with contextlib.suppress(RunDirError):
        backend.revive()


def note_silence(*, err: bool = False) -> None:
    """Say so where a scheduler was asked and has not answered."""
    from launcher.backends.registry import silence

    said = silence()
    if said is not None:
        typer.echo(f"{said}: what follows is from the files alone", err=err)


def begun_by(sweep_dir: SweepDir) -> str:
    """The command that made a sweep folder: a single config came by `train`."""
    given = sweep_dir.read_plan().command.split()[1:2]
    return "`deit-launch train`" if given == ["train"] else "`deit-launch sweep`"


def note_lost(sweep_dir: SweepDir) -> None:
    """Name the trials that commands on an existing sweep pass over."""
    from launcher.request import without_config
    from launcher.text import count

    lost = sorted(without_config(sweep_dir, sweep_dir.read_plan()))
    if lost:
        shown = f"{', '.join(lost[:5])}{' …' if len(lost) > 5 else ''}"
        typer.echo(
            f"note: {count(len(lost), 'trial')} passed over, as the run directory was deleted "
            f"({shown}); the same {begun_by(sweep_dir)} makes it again",
            err=True,
        )


def choose(
    sweep_dir: SweepDir, names: list[str] | None, every: bool, flag: str
) -> list[str] | None:
    """Ids of the named trials; None for every one.

    Raises:
        LaunchError: neither names nor the flag are given, or both, or a name is no trial's.
    """
    from launcher.errors import LaunchError
    from launcher.selection import select_trials

    if names and every:
        raise LaunchError(f"{names[0]!r} and {flag} are given; name the trials or pass {flag}")
    if not names and not every:
        raise LaunchError(f"name the trials, or pass {flag}; `deit-launch status` lists them")
    if not names:
        return None
    return [one.trial_id for one in select_trials(names, sweep_dir.read_plan().trials)]


MOST_UNASKED = 20
"""Trials that a command takes something from without asking."""


def confirm(sweep_dir: SweepDir, chosen: list[str] | None, action: str, *, yes: bool) -> None:
    """Ask before something is taken from many trials; only somebody who can answer is asked.

    Raises:
        Exit: the answer is no.
    """
    number = len(sweep_dir.read_plan().trials if chosen is None else chosen)
    if yes or number <= MOST_UNASKED or not _can_answer():
        return
    if not typer.confirm(f"{action} {number:,} trials?"):
        typer.echo("nothing was changed")
        raise typer.Exit(1)


def _can_answer() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def readable(path: Path) -> Path:
    """Relative to the current folder where it lies below it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def sweep_argument(sweep_dir: SweepDir) -> str:
    """What a command needs to be told to take this sweep; nothing for the latest."""
    from launcher.sweep_dir import is_latest

    return "" if is_latest(sweep_dir) else f" {readable(sweep_dir.path)}"


def sweep_option(sweep_dir: SweepDir) -> str:
    """The same for a command that names trials first."""
    folder = sweep_argument(sweep_dir)
    return f" --sweep{folder}" if folder else ""
