"""Imported runs as a sweep folder, that a report is compiled from like from any other."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deit_core.imported import IMPORTED_FILE, ImportedRecord, ImportedSummary
from deit_core.records import PlannedTrial, PlanRecord, StatusRecord, TrialRecord
from deit_core.run_dir import RunDir, write_atomic, write_json
from reports.errors import ReportError
from reports.importers.find import Found
from reports.importers.run import ForeignRun
from reports.text import count

AXIS = "run"
"""What an imported sweep varies: the name of the run."""

_COUNTS = ("val_images", "train_images", "num_classes", "parameters")
"""Numbers of a summary that a user may state."""


@dataclass(frozen=True)
class Import:
    """All runs of one import."""

    name: str
    runs: tuple[tuple[Found, ForeignRun], ...]
    stated: Mapping[str, Any]
    """Settings by config field, and counts, that the user stated for all runs."""
    skipped: tuple[str, ...]
    """Sources that could not be read, and why."""
    command: str
    created_utc: str


def write_sweep(imported: Import, output: Path) -> Path:
    """Write the sweep folder; plan.json comes last.

    Raises:
        ReportError: the folder holds something already.
        RunDirError: no permission, or no space left.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ReportError(f"--output {output} is there already; name a folder that is new or empty")
    planned = []
    for (found, run), (variant, seed, known) in zip(
        imported.runs, _seeds(imported.runs), strict=True
    ):
        trial = _trial(found, run, variant, seed)
        record = _record(trial.trial_id, found, run, imported.stated, known)
        _write_run(RunDir(output / "trials" / trial.trial_id), trial, run, record)
        planned.append(PlannedTrial(**trial.model_dump(include=set(PlannedTrial.model_fields))))
    plan = PlanRecord(
        sweep=imported.name,
        description=f"{count(len(planned), 'run')} imported from other programs",
        sweep_hash=_digest([trial.trial_id for trial in planned]),
        created_utc=imported.created_utc,
        command=imported.command,
        axes=(AXIS,),
        trials=tuple(planned),
        notes=tuple(f"Not imported: {why}" for why in imported.skipped),
    )
    write_json(output / "plan.json", plan.model_dump(mode="json"))
    return output


def _seeds(runs: Sequence[tuple[Found, ForeignRun]]) -> list[tuple[str, int, bool]]:
    """Variant, seed, and whether the seed was written down, of each run.

    Runs under one name that the user gave are seeds of one variant; so are runs of timm with equal
    settings, which are named by their model. Unknown seeds are numbered.
    """
    variants: dict[str, list[int]] = {}
    by_settings: dict[str, str] = {}
    found = []
    for one, run in runs:
        variant = one.variant or one.name
        if one.variant is None and run.settings and run.seed is not None:
            key = _digest(dict(run.settings))
            if key not in by_settings:
                by_settings[key] = _new_name(str(run.settings.get("model.name", variant)), variants)
            variant = by_settings[key]
        used = variants.setdefault(variant, [])
        free = next(number for number in range(len(used) + 1) if number not in used)
        seed = free if run.seed is None else run.seed
        used.append(seed)
        found.append((variant, seed, run.seed is not None))
    return found


def _new_name(name: str, taken: Mapping[str, Any]) -> str:
    """The name, numbered where another variant has it."""
    names = (name, *(f"{name} ({number})" for number in range(2, len(taken) + 2)))
    return next(one for one in names if one not in taken)


def _trial(found: Found, run: ForeignRun, variant: str, seed: int) -> TrialRecord:
    rows = list(run.rows)
    return TrialRecord(
        trial_id=_digest([variant, seed, found.name, rows]),
        group_id=_digest([variant]),
        name=f"{variant},seed={seed}",
        seed=seed,
        swept={AXIS: variant},
    )


def _record(
    trial_id: str, found: Found, run: ForeignRun, stated: Mapping[str, Any], known: bool
) -> ImportedRecord:
    last = run.rows[-1]
    counts = {key: stated[key] for key in _COUNTS if key in stated}
    counts = {"parameters": run.parameters, "num_classes": run.num_classes} | counts
    summary = ImportedSummary(
        trial_id=trial_id,
        epochs=last.get("epoch"),
        steps=last.get("step"),
        val_top1=last.get("val_top1"),
        val_top5=last.get("val_top5"),
        val_loss=last.get("val_loss"),
        train_loss=last.get("train_loss"),
        finished_unix_s=last.get("unix_s"),
        **counts,
    )
    settings = {key: value for key, value in stated.items() if key not in _COUNTS}
    return ImportedRecord(
        trial_id=trial_id,
        program=run.program,
        source=str(found.path),
        files=run.files,
        metric=run.metric,
        seed_known=known,
        settings={**run.settings, **settings},
        stated=tuple(stated),
        notes=run.notes,
        summary=summary,
    )


def _write_run(
    run_dir: RunDir, trial: TrialRecord, run: ForeignRun, record: ImportedRecord
) -> None:
    lines = [json.dumps({"kind": "eval", **row}, allow_nan=False) for row in run.rows]
    write_atomic(run_dir.metrics_file, "".join(line + "\n" for line in lines).encode())
    write_json(run_dir.path / IMPORTED_FILE, record.model_dump(mode="json"), durable=False)
    run_dir.write_status(_status(run))
    write_json(run_dir.trial_file, trial.model_dump(mode="json"), durable=False)


def _status(run: ForeignRun) -> StatusRecord:
    """Completed, unless it ends without a value or before the epochs that its settings plan."""
    last = run.rows[-1]
    at = StatusRecord(step=int(last.get("step", 0)), epoch=float(last.get("epoch", 0.0)))
    if last.get("val_top1") is None:
        why = "the last row holds no accuracy"
        return at.model_copy(update={"state": "failed", "reason": why})
    planned, reached = run.epochs_planned, last.get("epoch")
    if planned is not None and reached is not None and reached < planned:
        reason = f"its files end after {reached:g} of {planned:g} epochs"
        return at.model_copy(update={"state": "preempted", "reason": reason})
    return at.model_copy(update={"state": "completed"})


def _digest(values: Any) -> str:
    text = json.dumps(values, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def read_stated(pairs: Sequence[str], fields: Sequence[str]) -> dict[str, Any]:
    """`--set KEY=VALUE` as settings and counts.

    Raises:
        ReportError: an unknown key, or a value that does not fit.
    """
    stated: dict[str, Any] = {}
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not sign:
            raise ReportError(f"--set {pair!r}: write KEY=VALUE")
        if key not in (*fields, *_COUNTS):
            close = difflib.get_close_matches(key, (*fields, *_COUNTS), n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ReportError(f"--set {pair!r}: {key} is no setting{hint}")
        try:
            stated[key] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ReportError(f"--set {pair!r}: {text!r} is no value") from None
        if key in _COUNTS and (not isinstance(stated[key], int) or stated[key] < 1):
            raise ReportError(f"--set {pair!r}: {key} is a number of at least 1")
        if isinstance(stated[key], dict | list):
            raise ReportError(f"--set {pair!r}: give one value")
    return stated
