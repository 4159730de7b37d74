"""What a shell offers after TAB. Called at every key, so it reads JSON and imports nothing slow.

A shell that completes must never be shown an error: what cannot be read offers nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import typer

_LATEST = Path("reports", "latest")
_BACKENDS = ("local", "slurm", "ray")


def complete_trial(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Ids of the sweep's trials, each with its name; their names once one is being typed."""
    given = ctx.params.get("sweep")
    trials = list(_planned(Path(given) if given else _LATEST))
    by_id = [(trial_id, name) for trial_id, name in trials if trial_id.startswith(incomplete)]
    by_name = [(name, trial_id) for trial_id, name in trials if name.startswith(incomplete)]
    return by_id or by_name


def _planned(sweep: Path) -> Iterator[tuple[str, str]]:
    try:
        plan = json.loads((sweep / "plan.json").read_bytes())
        yield from [(str(one["trial_id"]), str(one["name"])) for one in plan["trials"]]
    except (OSError, ValueError, LookupError, TypeError):
        return


def complete_sweep(ctx: typer.Context, incomplete: str) -> list[str]:
    """Sweep folders of the runs folder, newest first."""
    runs = Path(os.environ.get("DEIT_RUNS") or "runs")
    try:
        folders = [runs / entry.name for entry in os.scandir(runs) if entry.is_dir()]
    except OSError:
        return []
    sweeps = [str(folder) for folder in folders if (folder / "plan.json").exists()]
    return sorted((name for name in sweeps if name.startswith(incomplete)), reverse=True)


def complete_backend(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of backends."""
    return [name for name in _BACKENDS if name.startswith(incomplete)]


def complete_cause(ctx: typer.Context, incomplete: str) -> list[str]:
    """Reasons for which a trial can have failed."""
    from deit_core.records import FailureKind

    return [name for name in get_args(FailureKind) if name.startswith(incomplete)]
