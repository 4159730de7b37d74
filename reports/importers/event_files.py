"""TensorBoard event files of any program: the scalars of one folder."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from reports.importers.run import (
    ForeignRun,
    Reading,
    Row,
    UnreadableRunError,
    in_percent,
    number,
)
from reports.text import listing

PATTERN = "*tfevents*"

TOP1_TAGS = (
    "val/top1", "val_top1", "eval/top1", "eval_top1", "test/top1", "test_top1",
    "val/acc1", "val_acc1", "eval/acc1", "eval_acc1", "test/acc1", "test_acc1",
)  # fmt: skip
"""Tags that mean top-1 accuracy, the first that is there; --metric names any other."""
_OTHERS: Mapping[str, tuple[str, ...]] = {
    "val_top5": ("val/top5", "val_top5", "eval/top5", "eval_top5", "test_acc5", "val/acc5"),
    "val_loss": ("val/loss", "val_loss", "eval/loss", "eval_loss", "test_loss", "test/loss"),
    "epoch": ("epoch",),
}


def read_events(folder: Path, reading: Reading) -> ForeignRun:
    """Read all event files of a folder.

    A step is what the program called one: an optimiser step or an epoch. It is stored as a step.

    Raises:
        UnreadableRunError: they hold no scalar that is known to be top-1 accuracy.
    """
    scalars = _scalars(folder)
    metric = _metric(scalars, reading.metric)
    by_step = scalars[metric]
    rows: list[Row] = []
    told = {key: _first(scalars, tags) for key, tags in _OTHERS.items()}
    for step in sorted(by_step):
        wall, value = by_step[step]
        row: Row = {"step": step, "unix_s": wall}
        if (top1 := number(value)) is not None:
            row["val_top1"] = top1
        for key, points in told.items():
            if step in points and (other := number(points[step][1])) is not None:
                row[key] = other
        rows.append(row)
    files = tuple(sorted(path.name for path in folder.glob(PATTERN)))
    return ForeignRun("tensorboard", files, metric, in_percent(rows, reading.unit))


Points = dict[int, tuple[float, float]]
"""Wall time in Unix seconds and value, by step; of a step that was written twice, the later."""


def _scalars(folder: Path) -> dict[str, Points]:
    # Two seconds to import, and only needed here. The default would keep 10,000 points of a tag.
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util import tensor_util

    for name in ("tensorboard", "tensorflow"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    kept = {"scalars": 0, "tensors": 0}
    try:
        events = EventAccumulator(str(folder), size_guidance=kept).Reload()
        tags = events.Tags()
        found = {
            tag: {one.step: (one.wall_time, one.value) for one in events.Scalars(tag)}
            for tag in tags["scalars"]
        }
        for tag in tags["tensors"]:  # as TensorFlow 2 writes scalars
            points = [(one.step, one.wall_time, one.tensor_proto) for one in events.Tensors(tag)]
            if all(_is_number(proto) for _, _, proto in points):
                found[tag] = {
                    step: (wall, float(tensor_util.make_ndarray(proto)))
                    for step, wall, proto in points
                }
    except Exception as error:  # noqa: BLE001 - a parser of foreign binary files raises anything
        raise UnreadableRunError(f"its event files cannot be read: {error!r}"[:200]) from None
    return found


def _is_number(proto: object) -> bool:
    """A float or double without dimensions."""
    dtype, shape = getattr(proto, "dtype", None), getattr(proto, "tensor_shape", None)
    return dtype in (1, 2) and not getattr(shape, "dim", ())


def _metric(scalars: Mapping[str, Points], wanted: str | None) -> str:
    """The tag to take for top-1 accuracy. Raises UnreadableRunError."""
    if not scalars:
        raise UnreadableRunError("its event files hold no scalars")
    metric = wanted or next((tag for tag in TOP1_TAGS if tag in scalars), None)
    if metric is None or metric not in scalars:
        said = f"no tag {wanted}" if wanted else "no tag that is known to be top-1 accuracy"
        raise UnreadableRunError(
            f"its event files have {said}; name one with --metric, of {listing(sorted(scalars), 8)}"
        )
    return metric


def _first(scalars: Mapping[str, Points], tags: tuple[str, ...]) -> Points:
    return next((scalars[tag] for tag in tags if tag in scalars), {})
