"""Staying with a sweep: a live table on a terminal, plain lines elsewhere.

Watching only reads (and wakes a runner that was killed), so leaving loses nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from launcher.bench.progress import BenchProgress
from launcher.monitor import Monitor, Row, Snapshot
from launcher.search.refill import go_on
from launcher.text import counts, duration, number, short

EVALUATION_PAUSE_S = 10.0
"""Between two lines about evaluations of the same trial where lines are printed one by one."""
_LEAST_PAUSE_S = 0.5
_MOST_LIVE_ROWS = 20


def watch(monitor: Monitor, console: Console) -> Snapshot:
    """Show a sweep until nothing works on it any more; returns how it ended.

    Raises:
        RunDirError: the sweep folder cannot be read.
    """
    if console.is_terminal:
        with Live(console=console, transient=True, auto_refresh=False) as live:
            return _follow(monitor, lambda now: live.update(_live_view(now), refresh=True))
    changes = Changes()

    def print_changes(now: Snapshot) -> None:
        for line in changes.since_last(now):
            console.print(line)
        if str(now.bench) != str(changes.bench):
            changes.bench = now.bench
            console.print(str(now.bench))

    return _follow(monitor, print_changes)


def _follow(monitor: Monitor, show: Callable[[Snapshot], None]) -> Snapshot:
    while True:
        began = time.monotonic()
        monitor.backend.revive()
        now = monitor.look()
        show(now)
        if now.settled():
            return now
        if not now.busy():
            # Who moved the last job does this too, unless it was killed.
            go_on(monitor.sweep_dir, monitor.backend)
        # A large sweep takes a while to look at: never spend more than a fifth of a core on it.
        time.sleep(max(_LEAST_PAUSE_S, 4 * (time.monotonic() - began)))


class Changes:
    """Lines for what is new in a snapshot: state changes, and now and then an evaluation."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[str, Row] = {}
        """Each trial as it was last spoken of, or first seen."""
        self._spoken_s: dict[str, float] = {}
        self.bench: BenchProgress | None = None
        """The measurement as it was last spoken of."""

    def since_last(self, now: Snapshot) -> Iterator[str]:
        """One line for each trial that changed its state, or was evaluated again a while later."""
        for row in now.rows:
            before = self._last.get(row.trial_id)
            line = _change(before, row)
            quiet_s = self._clock() - self._spoken_s.get(row.trial_id, -math.inf)
            if before is not None and before.state == row.state and quiet_s < EVALUATION_PAUSE_S:
                continue
            self._last[row.trial_id] = row
            if line is not None:
                self._spoken_s[row.trial_id] = self._clock()
                yield f"{row.trial_id} {row.name}: {line}"


def _change(before: Row | None, row: Row) -> str | None:
    if before is None:
        return row.state if row.state not in ("new", "queued") else None
    if before.state != row.state:
        return _describe(row)
    if row.state == "running" and row.val_top1 not in (None, before.val_top1):
        return (
            f"epoch {row.epoch:.1f}, top-1 {number(row.val_top1, 2)} %, "
            f"{number(row.train_images_per_s, 0)} images/s, {duration(row.eta_s)} left"
        )
    return None


def _describe(row: Row) -> str:
    if row.state == "completed":
        return f"completed, top-1 {number(row.val_top1, 2)} %"
    if row.state == "running":
        return f"running (attempt {max(1, row.attempt)})"  # 0 until its process has said so
    return f"{row.state}{': ' + row.reason if row.reason else ''}"


def _live_view(now: Snapshot) -> Group:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("trial", "", "epoch", "images/s", "loss", "top-1 %", "ETA"):
        table.add_column(column, no_wrap=True)
    active = [row for row in now.rows if row.state == "running"]
    for row in active[:_MOST_LIVE_ROWS]:
        bar = ProgressBar(total=row.total_steps or 1, completed=row.step, width=20)
        table.add_row(
            row.name,
            bar,
            f"{row.epoch:.1f}",
            number(row.train_images_per_s, 0),
            number(row.train_loss, 3),
            number(row.val_top1, 2),
            duration(row.eta_s),
        )
    problems = [row for row in now.rows if row.state in ("failed", "damaged")]
    lines = [f"failed: {row.name}: {short(row.reason)}" for row in problems[-3:]]
    if now.bench is not None:
        lines.append(str(now.bench))
    return Group(f"{now.sweep}: {counts(now.shown_counts())}", table, *lines)
