"""Consoles, and how numbers and states are written for people."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console

from launcher.trial_names import plain_text

WIDTH_OF_FILES = 10_000
"""Columns when the output is no terminal: nothing there is cut or broken."""

STATE_STYLES = {
    "completed": "green",
    "pruned": "magenta",
    "running": "cyan",
    "starting": "cyan",
    "queued": "blue",
    "failed": "bold red",
    "damaged": "bold red",
    "stopped": "yellow",
    "paused": "yellow",
    "unknown": "yellow",
}
_MOST_CHARACTERS = 60


def open_console() -> Console:
    """Standard output; only on a terminal with colours, and tables fitted to its width."""
    console = Console(file=sys.stdout, highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(
            file=sys.stdout, highlight=False, markup=False, width=WIDTH_OF_FILES, soft_wrap=True
        )
    return console


def print_lines(console: Console, lines: Iterable[str]) -> None:
    """Print each as one line, however long: a terminal wraps it, and what is copied is whole."""
    for line in lines:
        console.print(line, soft_wrap=True)


def duration(seconds: float | None) -> str:
    """`42s`, `3m 05s`, `2h 07m`, `3d 4h`; `-` when unknown."""
    if seconds is None:
        return "-"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{whole // 86_400}d {whole % 86_400 // 3600}h"


def number(value: float | None, digits: int) -> str:
    """A rounded number; `-` when unknown."""
    return "-" if value is None else f"{value:.{digits}f}"


def value(given: Any) -> str:
    """A swept value, spelled as in a trial's name; `-` where the field has no effect."""
    return "-" if given is None else plain_text(given)


def one_line(text: str | None) -> str:
    """The whole text without line breaks."""
    return " ".join((text or "").split())


def short(text: str | None) -> str:
    """One line for a live view. The middle goes: a message begins with what failed, ends with why.

    Nothing that stays on the screen or in a file is shortened.
    """
    text = one_line(text)
    if len(text) <= _MOST_CHARACTERS:
        return text
    half = (_MOST_CHARACTERS - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def listing(names: Iterable[str], most: int = 5) -> str:
    """`a, b, c and 4 more`."""
    names = list(names)
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def count(number: int, noun: str) -> str:
    """`1 trial`, `3 trials`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def counts(states: dict[str, int]) -> str:
    """`3 completed · 2 running`, most frequent first."""
    ordered = sorted(states.items(), key=lambda item: (-item[1], item[0]))
    return " · ".join(f"{amount:,} {state}" for state, amount in ordered) or "no trials"
