"""Consoles, and how numbers and states are written for people."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console

WIDTH_OF_FILES = 200
"""Columns when the output is no terminal: tables must not be cut at 80."""

STATE_STYLES = {
    "completed": "green",
    "running": "cyan",
    "queued": "blue",
    "failed": "bold red",
    "damaged": "bold red",
    "stopped": "yellow",
    "unknown": "yellow",
}
_MOST_CHARACTERS = 60


def open_console() -> Console:
    """Standard output; colours and cut lines only on a terminal."""
    console = Console(file=sys.stdout, highlight=False, markup=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(file=sys.stdout, highlight=False, markup=False, width=WIDTH_OF_FILES)
    return console


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
    """A swept value; `-` where the field has no effect."""
    return "-" if given is None else f"{given:g}" if isinstance(given, float) else str(given)


def short(text: str | None) -> str:
    """One line of a table's cell."""
    text = " ".join((text or "").split())
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"


def count(number: int, noun: str) -> str:
    """`1 trial`, `3 trials`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def counts(states: dict[str, int]) -> str:
    """`3 completed · 2 running`, most frequent first."""
    ordered = sorted(states.items(), key=lambda item: (-item[1], item[0]))
    return " · ".join(f"{amount:,} {state}" for state, amount in ordered) or "no trials"
