"""How far a search is, for tables and for those who wait for it."""

from __future__ import annotations

from dataclasses import dataclass

from launcher.search.records import SearchDir
from launcher.sweep_dir import SweepDir


@dataclass(frozen=True)
class SearchProgress:
    """Points of a search."""

    method: str
    objective: tuple[str, ...]
    asked: int
    points: int
    """To be tried in all."""
    ended: str | None = None
    """Why no more are asked for; null while more are."""
    paused: bool = False
    """Whether none are asked for until `deit-launch resume --all`."""

    @property
    def asks(self) -> bool:
        """Whether more points are to be asked for as soon as there is room."""
        return self.ended is None and not self.paused

    def __str__(self) -> str:
        line = (
            f"search by {self.method} for {' and '.join(self.objective)}: "
            f"{self.asked} of {self.points} points asked"
        )
        if self.ended is not None:
            return f"{line}; no more: {self.ended}"
        return f"{line}; paused: no more until `deit-launch resume --all`" if self.paused else line


def read_progress(sweep_dir: SweepDir) -> SearchProgress | None:
    """How far the search of a folder is; None where it is none. Raises RunDirError, SchemaError."""
    search_dir = SearchDir(sweep_dir)
    if not search_dir.exists():
        return None
    record, ended = search_dir.read_search(), search_dir.read_ended()
    return SearchProgress(
        method=record.search.method,
        objective=record.search.objective,
        asked=search_dir.count_points(),
        points=record.budget,
        ended=None if ended is None else ended.reason,
        paused=search_dir.is_paused(),
    )
