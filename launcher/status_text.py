"""A snapshot of a sweep as a table: every trial of a small one, a line a group of a large one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from launcher.monitor import Row, Snapshot, by_group
from launcher.text import STATE_STYLES, counts, duration, number, short, value

MOST_ROWS = 60
"""Trials listed one by one; a larger sweep is shown by group."""
_MOST_PROBLEMS = 20
_COLUMNS = ("state", "epoch", "top-1 %", "images/s", "ETA", "heartbeat", "attempt", "reason")


def print_snapshot(snapshot: Snapshot, console: Console) -> None:
    """Print a sweep's state."""
    console.print(f"{snapshot.sweep}: {counts(snapshot.counts())}")
    console.print(f"folder: {snapshot.path}")
    if len(snapshot.rows) <= MOST_ROWS:
        console.print(trial_table(snapshot.rows, snapshot.axes))
        return
    console.print(_group_table(snapshot))
    running = [row for row in snapshot.rows if row.state == "running"]
    wrong = [row for row in snapshot.rows if row.state in ("failed", "damaged", "stopped")]
    for title, rows in (("running", running), ("failed or stopped", wrong)):
        if rows:
            console.print(f"\n{title}: {len(rows):,}")
            console.print(trial_table(rows[:_MOST_PROBLEMS], snapshot.axes))
            if len(rows) > _MOST_PROBLEMS:
                console.print(f"… and {len(rows) - _MOST_PROBLEMS:,} more (status --json has all)")


def trial_table(rows: Sequence[Row], axes: Sequence[str]) -> Table:
    """One line a trial, the seeds of a variant together."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("trial", *_labels(axes), "seed", *_COLUMNS):
        table.add_column(column, no_wrap=column != "reason")
    for members in by_group(tuple(rows)).values():
        for row in members:
            table.add_row(*_cells(row, axes))
    return table


def _labels(axes: Sequence[str]) -> list[str]:
    """Axes by their last part where that is enough to tell them apart."""
    last = Counter(axis.rsplit(".", 1)[-1] for axis in axes)
    return [
        axis.rsplit(".", 1)[-1] if last[axis.rsplit(".", 1)[-1]] == 1 else axis for axis in axes
    ]


def _cells(row: Row, axes: Sequence[str]) -> list[str | Text]:
    first = ["teacher"] if row.role == "teacher" else []
    swept = (first + [""] * len(axes))[: len(axes)] if first else _swept(row, axes)
    beat = row.heartbeat_age_s
    return [
        row.trial_id,
        *swept,
        str(row.seed),
        Text(row.state, style=STATE_STYLES.get(row.state, "")),
        f"{row.epoch:.1f}" if row.attempt else "-",
        number(row.val_top1, 2),
        number(row.train_images_per_s, 0),
        duration(row.eta_s),
        "-" if beat is None else f"{duration(beat)} ago",
        str(row.attempt) if row.attempt else "-",
        "" if row.state in ("completed", "running") else short(row.reason),
    ]


def _swept(row: Row, axes: Sequence[str]) -> list[str]:
    return [value(row.swept.get(axis)) for axis in axes]


def _group_table(snapshot: Snapshot) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in (*_labels(snapshot.axes), "trials", "states", "top-1 %"):
        table.add_column(column, no_wrap=True)
    groups = list(by_group(snapshot.rows).values())
    for members in groups[:MOST_ROWS]:
        known = [row.val_top1 for row in members if row.val_top1 is not None]
        span = f"{min(known):.2f} to {max(known):.2f}" if known else "-"
        table.add_row(
            *_swept(members[0], snapshot.axes),
            str(len(members)),
            counts(dict(Counter(row.state for row in members))),
            span,
        )
    if len(groups) > MOST_ROWS:
        table.caption = f"… and {len(groups) - MOST_ROWS:,} more variants (status --json has all)"
    return table
