"""summary.csv and args.yaml of timm's train.py (timm.utils.update_summary).

Columns: epoch (from 0), train_loss, eval_loss, eval_top1, eval_top5, lr; accuracies in percent. A
resumed run writes the header once more. Of args.yaml only what has an equal meaning in a run config
is taken.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from reports.importers.run import (
    ForeignRun,
    Reading,
    Row,
    UnreadableRunError,
    in_percent,
    last_of_each,
    number,
    read_text,
)
from reports.text import count

NAME = "summary.csv"
ARGS = "args.yaml"
METRIC = "eval_top1"


def read_timm(path: Path, reading: Reading) -> ForeignRun:
    """Read one summary.csv with the args.yaml beside it.

    Raises:
        UnreadableRunError: it holds no epoch with an accuracy.
    """
    metric = reading.metric or METRIC
    rows, damaged = _rows(read_text(path), path.name, metric)
    notes = [f"{path.name}: {count(damaged, 'damaged line')} left out"] if damaged else []
    args = _args(path.with_name(ARGS), notes)
    if args.get("model_ema"):
        notes.append("with model_ema timm writes the accuracy of the averaged weights")
    epochs = number(args.get("epochs"))
    return ForeignRun(
        program="timm",
        files=(path.name, *((ARGS,) if args else ())),
        metric=metric,
        rows=in_percent(last_of_each(rows, "epoch"), reading.unit),
        settings=_settings(args),
        seed=_whole(args.get("seed")),
        num_classes=_whole(args.get("num_classes")),
        epochs_planned=epochs,
        notes=tuple(notes),
    )


def _rows(text: str, name: str, metric: str) -> tuple[list[Row], int]:
    lines = list(csv.reader(io.StringIO(text.replace("\0", ""))))
    header = lines[0] if lines else []
    if "epoch" not in header or metric not in header:
        raise UnreadableRunError(f"{name} has no columns epoch and {metric}")
    rows, damaged = [], 0
    for line in lines[1:]:
        if not line or line == header:
            continue
        values = dict(zip(header, line, strict=False))
        epoch = number(values.get("epoch"))
        if epoch is None or len(line) != len(header):
            damaged += 1
            continue
        told = {
            "val_top1": number(values.get(metric)),
            "val_top5": number(values.get("eval_top5")),
            "val_loss": number(values.get("eval_loss")),
            "train_loss": number(values.get("train_loss")),
        }
        rows.append({"epoch": epoch + 1} | {k: v for k, v in told.items() if v is not None})
    return rows, damaged


def _args(path: Path, notes: list[str]) -> Mapping[str, Any]:
    if not path.exists():
        return {}
    try:
        values = yaml.safe_load(read_text(path))
    except (yaml.YAMLError, UnreadableRunError):
        values = None
    if not isinstance(values, dict):
        notes.append(f"{path.name} cannot be read: the settings are not known")
        return {}
    return values


def _whole(value: Any) -> int | None:
    found = number(value)
    return int(found) if found is not None and found >= 0 and found.is_integer() else None


def _epochs(value: Any) -> str | None:
    found = number(value)
    return None if found is None else f"{found:g}ep"


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


_SETTINGS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "model": ("model.name", _text),
    "img_size": ("model.img_size", _whole),
    "epochs": ("train.duration", _epochs),
    "opt": ("optim.name", _text),
    "lr": ("optim.lr", number),
    "weight_decay": ("optim.weight_decay", number),
    "warmup_epochs": ("optim.warmup", _epochs),
    "min_lr": ("optim.min_lr", number),
    "warmup_lr": ("optim.warmup_lr", number),
    "drop": ("model.drop_rate", number),
    "drop_path": ("model.drop_path_rate", number),
    "mixup": ("augment.mixup_alpha", number),
    "cutmix": ("augment.cutmix_alpha", number),
    "reprob": ("augment.erasing_probability", number),
    "smoothing": ("augment.label_smoothing", number),
}
"""Argument of timm -> config field of equal meaning, and how its value is read."""


def _settings(args: Mapping[str, Any]) -> dict[str, Any]:
    """What args.yaml says; an argument that is null was left to timm, so it is not known."""
    found = {field: read(args.get(name)) for name, (field, read) in _SETTINGS.items()}
    told = {field: value for field, value in found.items() if value is not None}
    if "optim.lr" in told:  # given as it is, not per so many images
        told["optim.lr_reference_batch_size"] = None
    return told
