"""Where metric rows go. metrics.jsonl is the truth; every other sink shows the same rows."""

from __future__ import annotations

import time
from typing import Any, Protocol

from deit_core.records import StatusRecord, finite
from deit_core.run_dir import RunDir

HEARTBEAT_S = 5.0
"""Least time between two heartbeats in status.json."""


_PREFIXES = ("val_ema_", "val_", "train_")


def scalars(row: dict[str, Any]) -> dict[str, float]:
    """The numbers of a row under the tags that every view of it shows: `val/top1_cls`, `train/lr`.

    The training figures of an evaluation row cover another span than those of a training row:
    `train/loss_at_eval`.
    """
    tagged = {_tag_of(key, row["kind"]): value for key, value in row.items() if key != "val_images"}
    return {
        tag: value
        for tag, value in tagged.items()
        if tag is not None and isinstance(value, int | float)
    }


def _tag_of(key: str, kind: str) -> str | None:
    if key == "lr":
        return "train/lr"
    if kind == "eval" and key.startswith("train_"):
        return f"train/{key.removeprefix('train_')}_at_eval"
    for prefix in _PREFIXES:
        if key.startswith(prefix):
            return f"{prefix[:-1]}/{key.removeprefix(prefix)}"
    return None


class MetricSink(Protocol):
    """Takes every row of one trial, in order."""

    def emit(self, row: dict[str, Any]) -> None:
        """Take one row."""

    def close(self, state: str) -> None:
        """Training has ended in `state`."""


class JsonlSink:
    """metrics.jsonl."""

    def __init__(self, run: RunDir) -> None:
        self._run = run

    def emit(self, row: dict[str, Any]) -> None:
        """Append the row."""
        self._run.append_metrics(row)

    def close(self, state: str) -> None:
        """Nothing is held open."""


class StatusFile:
    """status.json of one trial: the only writer while the job runs.

    Args:
        run: where it is.
        status: what it says now.
        writes: false in the processes that do not lead: they keep the record to themselves.
    """

    def __init__(self, run: RunDir, status: StatusRecord, *, writes: bool = True) -> None:
        self._run = run
        self._writes = writes
        self.record = status
        self._written_s = 0.0

    def update(self, *, force: bool = False, **fields: Any) -> None:
        """Change fields; written when the last write is older than a heartbeat, or when forced."""
        now = time.time()
        for key in ("train_loss", "train_images_per_s", "val_top1"):
            if key in fields:
                fields[key] = finite(fields[key])
        self.record = self.record.model_copy(update={**fields, "heartbeat_unix_s": now})
        if self._writes and (force or now - self._written_s >= HEARTBEAT_S):
            self._run.write_status(self.record)
            self._written_s = now

    def due(self) -> bool:
        """Whether a heartbeat is due."""
        return self._writes and time.time() - self._written_s >= HEARTBEAT_S


def starting_status(previous: StatusRecord, **fields: Any) -> StatusRecord:
    """The status of a trial whose next attempt begins now."""
    return StatusRecord(
        state="running",
        attempt=previous.attempt + 1,
        started_unix_s=time.time(),
        heartbeat_unix_s=time.time(),
        step=previous.step,
        epoch=previous.epoch,
        total_steps=previous.total_steps,
        val_top1=previous.val_top1,
        repeated_steps=previous.repeated_steps,
        energy_j=previous.energy_j,
        energy_source=previous.energy_source,
        **fields,
    )
