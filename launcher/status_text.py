"""A snapshot of a sweep as a table: every trial of a small one, a line a group of a large one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from launcher.monitor import Row, Snapshot, by_group
from launcher.status_groups import Group, group_rows
from launcher.text import (
    STATE_STYLES,
    WIDTH_OF_FILES,
    count,
    counts,
    duration,
    listing,
    number,
    one_line,
    print_lines,
    value,
)

MOST_ROWS = 60
"""Trials listed one by one; a larger sweep is shown by group."""
_MOST_PROBLEMS = 20
_MOST_PRUNED = 3
"""Pruned trials whose reasons are given one by one; each has numbers of its own."""
_EXPENDABLE = ("images/s", "ETA", "heartbeat", "attempt")
"""Columns that a narrow terminal goes without, the first of them first."""
_WRONG = ("failed", "damaged", "stopped")
_ANY_TRIAL = "TRIAL"


@dataclass(frozen=True)
class _Column:
    title: str
    cells: Sequence[str | Text]
    folds: bool = False
    """Whether long cells may go on in the next line."""


def print_snapshot(snapshot: Snapshot, console: Console, by: str | None = None) -> None:
    """Print a sweep's state, what is wrong, and what to do about it.

    Args:
        snapshot: the sweep.
        console: where to.
        by: swept field whose values are summed up first, and order the trials.
    """
    if by is not None:
        groups = group_rows(snapshot.rows, by)
        rows = tuple(row for group in groups for row in group.rows)
        snapshot = replace(snapshot, rows=rows)
    lines = [f"{snapshot.sweep}: {counts(snapshot.shown_counts())}", f"folder: {snapshot.path}"]
    if snapshot.search is not None:
        lines.append(str(snapshot.search))
    if snapshot.bench is not None:
        lines.append(str(snapshot.bench))
    if snapshot.stalls():
        lines.append(
            f"nothing runs, and nobody has asked for {duration(snapshot.quiet_s)}: the same "
            f"`deit-launch sweep …` goes on; search/refill.log may say why"
        )
    print_lines(console, lines)
    if by is not None:
        _print_by(groups, by, console)
    if len(snapshot.rows) <= MOST_ROWS:
        print_trials(snapshot.rows, snapshot.axes, console)
    else:
        _print_large(snapshot, console)
    print_lines(console, reason_lines(snapshot.rows))
    print_lines(console, warning_lines(snapshot.rows))


def _print_by(groups: Sequence[Group], field: str, console: Console) -> None:
    shown = groups[:MOST_ROWS]
    columns = [
        _Column(field.rsplit(".", 1)[-1], [group.label for group in shown], folds=True),
        *_result_columns(shown),
    ]
    _print_table(columns, console)
    _print_more(len(groups) - MOST_ROWS, " values", console)
    print_lines(console, [""])


def _result_columns(groups: Sequence[Group]) -> list[_Column]:
    """Counts, and the mean of what is finished with the number of trials it is the mean of."""
    return [
        _Column("trials", [str(len(group.rows)) for group in groups]),
        _Column("states", [counts(group.states) for group in groups], folds=True),
        _Column("mean top-1 %", [number(group.mean_top1, 2) for group in groups]),
        _Column("of", [f"n={len(group.results)}" for group in groups]),
    ]


def _print_large(snapshot: Snapshot, console: Console) -> None:
    _print_groups(snapshot, console)
    running = [row for row in snapshot.rows if row.state == "running"]
    wrong = [row for row in snapshot.rows if row.state in _WRONG]
    for title, rows in (("running", running), ("failed or stopped", wrong)):
        if rows:
            print_lines(console, ["", f"{title}: {len(rows):,}"])
            print_trials(rows[:_MOST_PROBLEMS], snapshot.axes, console)
            _print_more(len(rows) - _MOST_PROBLEMS, "", console)


def print_trials(rows: Sequence[Row], axes: Sequence[str], console: Console) -> None:
    """Print one line a trial, the seeds of a variant together."""
    together = [row for members in by_group(tuple(rows)).values() for row in members]
    _print_table(_trial_columns(together, axes), console)


def reason_lines(rows: Sequence[Row]) -> list[str]:
    """Why trials are not completed: every reason whole, and once for all trials that share it."""
    groups: dict[tuple[str, str], list[Row]] = {}
    pruned = sum(row.state == "pruned" for row in rows)
    for row in rows:
        if row.state == "pruned" and pruned > _MOST_PRUNED:
            continue
        if row.why and row.state not in ("completed", "running"):
            shared = one_line(row.why).replace(row.trial_id, _ANY_TRIAL)
            groups.setdefault((row.shown_state, shared), []).append(row)
    lines = []
    for (state, shared), members in groups.items():
        reason = one_line(members[0].why) if len(members) == 1 else shared
        trials = listing(row.trial_id for row in members)
        lines.append(f"{state}: {count(len(members), 'trial')} ({trials}): {reason}")
    if pruned > _MOST_PRUNED:
        lines.append(f"pruned: {pruned:,} trials; `deit-launch pruning` sums them up")
    if any(row.state == "damaged" for row in rows):
        lines.append("to mend: delete a damaged trial's folder and run the same sweep again")
    return lines


def warning_lines(rows: Sequence[Row]) -> list[str]:
    """One line when images could not be read."""
    affected = [row for row in rows if row.unreadable_images]
    if not affected:
        return []
    worst = max(affected, key=lambda row: row.unreadable_images)
    first = f", the first is {worst.first_unreadable}" if worst.first_unreadable else ""
    shared = f" in each of {len(affected)} trials" if len(affected) > 1 else ""
    if len({row.unreadable_images for row in affected}) > 1:
        shared = f" in one of {len(affected)} trials that met some"
    return [
        f"warning: {count(worst.unreadable_images, 'image')} could not be read{shared}{first}; "
        f"`deit-launch logs {worst.trial_id}` names them all"
    ]


def _trial_columns(rows: Sequence[Row], axes: Sequence[str]) -> list[_Column]:
    shown: dict[str, Callable[[Row], str | Text]] = {
        "state": lambda row: Text(row.shown_state, style=STATE_STYLES.get(row.shown_state, "")),
        "epoch": lambda row: f"{row.epoch:.1f}" if row.attempt else "-",
        "top-1 %": lambda row: number(row.val_top1, 2),
        "images/s": lambda row: number(row.train_images_per_s, 0),
        "ETA": lambda row: duration(row.eta_s),
        "heartbeat": _heartbeat,
        "attempt": lambda row: str(row.attempt) if row.attempt else "-",
    }
    return [
        _Column("trial", [row.trial_id for row in rows]),
        *_axis_columns(rows, axes),
        _Column("seed", [str(row.seed) for row in rows]),
        *(_Column(title, [cell(row) for row in rows]) for title, cell in shown.items()),
    ]


def _heartbeat(row: Row) -> str:
    return "-" if row.heartbeat_age_s is None else f"{duration(row.heartbeat_age_s)} ago"


def _axis_columns(rows: Sequence[Row], axes: Sequence[str]) -> Iterator[_Column]:
    """A column an axis; a teacher, which no axis touches, is named in the first."""
    for position, (axis, label) in enumerate(zip(axes, _labels(axes), strict=True)):
        teacher = "" if position else "teacher"
        cells = [teacher if row.role == "teacher" else value(row.swept.get(axis)) for row in rows]
        yield _Column(label, cells, folds=True)


def _labels(axes: Sequence[str]) -> list[str]:
    """Axes by their last part where that is enough to tell them apart."""
    last = Counter(axis.rsplit(".", 1)[-1] for axis in axes)
    return [
        axis.rsplit(".", 1)[-1] if last[axis.rsplit(".", 1)[-1]] == 1 else axis for axis in axes
    ]


def _print_groups(snapshot: Snapshot, console: Console) -> None:
    groups = [Group(name, tuple(rows)) for name, rows in by_group(snapshot.rows).items()]
    shown = groups[:MOST_ROWS]
    columns = [
        *_axis_columns([group.rows[0] for group in shown], snapshot.axes),
        *_result_columns(shown),
    ]
    _print_table(columns, console)
    _print_more(len(groups) - MOST_ROWS, " variants", console)


def _print_more(hidden: int, noun: str, console: Console) -> None:
    if hidden > 0:
        print_lines(console, [f"… and {hidden:,} more{noun} (status --json has all)"])


def _print_table(columns: Sequence[_Column], console: Console) -> None:
    """Print a table, on a narrow terminal without the columns that can be spared."""
    kept = list(columns)
    for title in _EXPENDABLE:
        if _width(kept, console) <= console.width:
            break
        kept = [column for column in kept if column.title != title]
    dense = _width(kept, console) > console.width
    console.print(_table(kept, dense=dense), soft_wrap=False)


def _width(columns: Sequence[_Column], console: Console) -> int:
    options = console.options.update(width=WIDTH_OF_FILES)
    return Measurement.get(console, options, _table(columns)).maximum


def _table(columns: Sequence[_Column], *, dense: bool = False) -> Table:
    table = Table(box=None, pad_edge=False, collapse_padding=dense, header_style="bold")
    for column in columns:
        if column.folds:
            table.add_column(column.title, overflow="fold")
        else:
            table.add_column(column.title, no_wrap=True)
    for cells in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*cells)
    return table
