"""The best of a sweep as a table, and how to find out whether it was luck."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from launcher.search.best import Best, Candidate
from launcher.text import count, print_lines, value
from launcher.trial_names import short_labels

_FRESH_SEEDS = "[1, 2, 3]"
_ONCE = frozenset({"--watch", "--dry-run"})
"""Options that say nothing of what is trained."""


def print_best(best: Best, console: Console, most: int) -> None:
    """Print the first of them, or the whole front where that is longer."""
    shown = best.candidates[: max(most, best.front if len(best.objective) > 1 else 0)]
    if not shown:
        left = count(best.unfinished, "variant")
        print_lines(console, [f"nothing has finished yet; {left} without a result"])
        return
    print_lines(console, [_headline(best)])
    console.print(_table(best, shown))
    more = len(best.candidates) - len(shown)
    if more:
        print_lines(console, [f"and {more} more: --top {len(best.candidates)}"])
    print_lines(console, _advice(best))


def _headline(best: Best) -> str:
    asked = " and ".join(
        f"{metric} ({direction[:3]}.)"
        for metric, direction in zip(best.objective, best.directions, strict=True)
    )
    finished = count(len(best.candidates), "finished variant")
    left = f", {best.unfinished} without a result" if best.unfinished else ""
    front = f"; the first {best.front} are the trade-offs" if len(best.objective) > 1 else ""
    return f"by {asked}: {finished}{left}{front}"


def _table(best: Best, shown: Sequence[Candidate]) -> Table:
    fields = list(shown[0].swept)
    labels = short_labels(fields)
    table = Table(box=None, pad_edge=False, header_style="bold")
    bound = any(one.broken for one in best.candidates)
    columns = ["rank", "trial", *best.objective, *(labels[f] for f in fields), "seeds"]
    for column in [*columns, "breaks"] if bound else columns:
        table.add_column(column, overflow="fold")
    for place, one in enumerate(shown, start=1):
        numbers = (f"{n:,.0f}" if n.is_integer() else f"{n:,.5g}" for n in one.values)
        swept = (value(one.swept.get(field)) for field in fields)
        broken = [", ".join(one.broken) or "-"] if bound else []
        table.add_row(str(place), one.trial_ids[0], *numbers, *swept, str(one.seeds), *broken)
    return table


def _advice(best: Best) -> list[str]:
    """The winner of many is partly lucky: the same with fresh seeds tells."""
    first = best.candidates[0]
    command = [word for word in shlex.split(best.command) if word not in _ONCE]
    if first.seeds > 1 or len(best.candidates) == 1 or command[:2] != ["deit-launch", "sweep"]:
        return []
    tried = len(best.candidates) + best.unfinished
    fixed = {name: given for name, given in first.swept.items() if given is not None}
    settings = [f"{name}={value(given)}" for name, given in fixed.items()]
    for setting in [*settings, f"seeds={_FRESH_SEEDS}"]:
        command += ["--set", setting]
    return [
        f"the best of {tried} at one seed owes part of it to luck; "
        f"with fresh seeds: {shlex.join(command)}"
    ]


def as_json(best: Best) -> dict[str, Any]:
    """What `best --json` prints."""
    return {
        "schema_version": 1,
        "objective": list(best.objective),
        "directions": list(best.directions),
        "front": best.front,
        "unfinished": best.unfinished,
        "candidates": [
            {
                "name": one.name,
                "trial_ids": list(one.trial_ids),
                "swept": dict(one.swept),
                "values": dict(zip(best.objective, one.values, strict=True)),
                "seeds": one.seeds,
                "breaks": list(one.broken),
            }
            for one in best.candidates
        ],
    }
