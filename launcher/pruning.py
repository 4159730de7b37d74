"""Telling trials how they are compared: job/pruner.json of each, before its job is submitted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deit_core.errors import RunDirError
from deit_core.pruning import PrunerRecord, read_pruner
from deit_core.run_dir import RunDir, write_json
from launcher.plan import STARTS, Plan
from launcher.repair import surviving_status
from launcher.sweep_dir import one_line_errors


def pruner_note(pruner: PrunerRecord) -> str:
    """What a plan says of the pruner."""
    where = ", ".join(f"{100 * rung:.3g} %" for rung in pruner.rungs)
    kind = f"hyperband in {pruner.brackets} brackets" if pruner.brackets > 1 else "halving"
    effect = "is stopped" if pruner.mode == "prune" else "would be stopped (advice only)"
    return (
        f"pruner: {kind}; whoever is not among the best 1 in {pruner.reduction_factor:g} by "
        f"{pruner.metric} at {where} of its schedule {effect}; costs are without it"
    )


def tell_pruner(plan: Plan, paths: Mapping[str, Path], own: Path) -> None:
    """Write to each trial that a plan starts how it is compared.

    A trial that was pruned, and that the user asks for by name, is exempt from then on. Teachers
    are never pruned, nor is a student that others wait for, nor what another sweep has begun.

    Args:
        plan: what is started.
        paths: real run directory of every trial.
        own: the real folder of the sweep's own trials.

    Raises:
        RunDirError: a file cannot be read or written.
    """
    awaited = {name for planned in plan.actions for name in planned.trial.after}
    for planned in plan.actions:
        trial = planned.trial
        if planned.action not in STARTS:
            continue
        run = RunDir(paths[trial.trial_id])
        if planned.action == "retry" and surviving_status(run).state == "pruned":
            _exempt(run)
            continue
        if run.path.parent != own:
            continue
        spared = trial.role == "teacher" or trial.trial_id in awaited
        _tell(run, None if spared else plan.pruner)


def _exempt(run: RunDir) -> None:
    told = read_pruner(run)
    if told is not None:
        _write(run, told.model_copy(update={"exempt": True}))


def _tell(run: RunDir, pruner: PrunerRecord | None) -> None:
    try:
        told = read_pruner(run)
    except RunDirError:
        told = None  # a power cut has emptied it
        _remove(run)
    if told == pruner or (told is not None and told.exempt):
        return
    if pruner is None:
        _remove(run)
    else:
        _write(run, pruner)


def _remove(run: RunDir) -> None:
    with one_line_errors("take the pruner away from a trial"):
        run.pruner_file.unlink(missing_ok=True)


def _write(run: RunDir, pruner: PrunerRecord) -> None:
    """Not fsynced: whoever submits the job syncs all that was written at once."""
    write_json(run.pruner_file, pruner.model_dump(mode="json"), durable=False)
