"""log.txt of facebookresearch/deit (main.py): one JSON object for each epoch.

Keys: train_lr, train_loss, test_loss, test_acc1, test_acc5, epoch (from 0), n_parameters. Test
accuracies are percentages; a distilled model's are those of its fused heads.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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

NAME = "log.txt"
METRIC = "test_acc1"


def read_deit_log(path: Path, reading: Reading) -> ForeignRun:
    """Read one log.txt.

    Raises:
        UnreadableRunError: it holds no epoch with an accuracy.
    """
    metric = reading.metric or METRIC
    rows, damaged, parameters = [], 0, None
    for line in read_text(path).splitlines():
        if not line.strip():
            continue
        values = _object(line)
        epoch = number(values.get("epoch")) if values else None
        if values is None or epoch is None:
            damaged += 1
            continue
        parameters = number(values.get("n_parameters")) or parameters
        rows.append(_row(values, epoch, metric))
    if not rows:
        raise UnreadableRunError(f"{path.name} holds no line of a DeiT log")
    notes = (f"{path.name}: {count(damaged, 'damaged line')} left out",) if damaged else ()
    return ForeignRun(
        program="deit",
        files=(path.name,),
        metric=metric,
        rows=in_percent(last_of_each(rows, "epoch"), reading.unit),
        parameters=None if parameters is None else round(parameters),
        notes=notes,
    )


def _object(line: str) -> dict[str, Any] | None:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def _row(values: dict[str, Any], epoch: float, metric: str) -> Row:
    told = {
        "val_top1": number(values.get(metric)),
        "val_top5": number(values.get("test_acc5")),
        "val_loss": number(values.get("test_loss")),
        "train_loss": number(values.get("train_loss")),
    }
    return {"epoch": epoch + 1} | {key: value for key, value in told.items() if value is not None}
