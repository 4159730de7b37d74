"""Progress on the standard output: a live table on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from deit_core.records import StatusRecord


class ProgressView(Protocol):
    """Shows where each trial of the cohort stands."""

    def update(self, name: str, status: StatusRecord, row: dict[str, Any] | None) -> None:
        """The trial's status has changed; `row` is the metrics row behind it, if there is one."""

    def close(self) -> None:
        """No more updates."""


def open_progress(names: Sequence[str], *, leads: bool = True) -> ProgressView:
    """The view that fits the standard output; none in processes that do not lead."""
    if not leads:
        return NoProgress()
    return LiveProgress(names) if sys.stdout.isatty() else PlainProgress()


def format_seconds(seconds: float | None) -> str:
    """Seconds as 1:02:03 or 2:03; a dash where they are not known."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def describe(status: StatusRecord) -> dict[str, str]:
    """The columns of the display, as text."""

    def number(value: float | None, form: str) -> str:
        return "-" if value is None else format(value, form)

    return {
        "epoch": f"{status.epoch:.1f}",
        "loss": number(status.train_loss, ".3f"),
        "top1": number(status.val_top1, ".2f"),
        "speed": number(status.train_images_per_s, ".0f"),
        "eta": format_seconds(status.eta_s),
    }


class PlainProgress:
    """One line an evaluation, one at the end: readable in a log file."""

    def update(self, name: str, status: StatusRecord, row: dict[str, Any] | None) -> None:
        """Print a line for an evaluation or a final state."""
        fields = describe(status)
        if row is not None and row["kind"] == "eval":
            sys.stdout.write(
                f"{name}: epoch {fields['epoch']}  step {status.step}/{status.total_steps}  "
                f"loss {fields['loss']}  val top-1 {fields['top1']} %  "
                f"{fields['speed']} images/s  ETA {fields['eta']}\n"
            )
        elif status.state != "running":
            reason = f": {status.reason}" if status.reason else ""
            sys.stdout.write(f"{name}: {status.state} at step {status.step}{reason}\n")
        sys.stdout.flush()

    def close(self) -> None:
        """Nothing is held open."""


class NoProgress:
    """Shows nothing: the first process speaks for all."""

    def update(self, name: str, status: StatusRecord, row: dict[str, Any] | None) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Nothing is held open."""


class LiveProgress:
    """One bar a trial, with epoch, loss, accuracy, speed and ETA."""

    def __init__(self, names: Sequence[str], console: Console | None = None) -> None:
        columns = "epoch {task.fields[epoch]}  loss {task.fields[loss]}  top-1 {task.fields[top1]}"
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn(columns + "  {task.fields[speed]} img/s  ETA {task.fields[eta]}"),
            console=console,
        )
        empty: dict[str, Any] = describe(StatusRecord())
        self._tasks: dict[str, TaskID] = {
            name: self._progress.add_task(name, total=None, **empty) for name in names
        }
        self._progress.start()

    def update(self, name: str, status: StatusRecord, row: dict[str, Any] | None) -> None:
        """Redraw the trial's line; name a failure above the table."""
        self._progress.update(
            self._tasks[name],
            total=status.total_steps,
            completed=status.step,
            **describe(status),  # type: ignore[arg-type]
        )
        if status.state in ("failed", "preempted"):
            self._progress.console.print(f"{name}: {status.state}: {status.reason}", markup=False)

    def close(self) -> None:
        """Leave the last state of the table on the screen."""
        self._progress.stop()
