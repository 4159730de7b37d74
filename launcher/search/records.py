"""The files of a search: what is searched, and every point that was asked for.

`<sweep>/search/search.json`    SearchRecord: all that is needed to ask, from any machine
`<sweep>/search/points/<n>.json`  PointRecord: made once, by whoever asked first
`<sweep>/search/ended.json`     why no more is asked, if so
`<sweep>/search/paused`         is there while the user has paused it
`<sweep>/search/lease`          held while somebody asks
`<sweep>/search/refill.log`     what those said who asked without a terminal
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from deit_core.errors import RunDirError
from deit_core.records import Record
from deit_core.run_dir import read_json, write_atomic, write_json
from launcher.search.config import Search
from launcher.search.space import Space
from launcher.sweep_dir import SweepDir, one_line_errors


class WarmRecord(Record):
    """A finished point of another sweep that this search learns from."""

    params: dict[str, Any]
    values: tuple[float, ...]
    """One for each objective."""
    violations: Mapping[str, float] = Field(default_factory=dict)
    """By how much each constraint is broken; not positive where it is kept."""
    trial_ids: tuple[str, ...]


class SearchRecord(Record):
    """search.json."""

    name: str
    source: str
    """The sweep file as the user named it, for messages."""
    search: Search
    space: Space
    config: dict[str, Any]
    """The training config that is varied, as plain nested dicts with what the file says."""
    teacher: dict[str, Any] | None = None
    """The same of the stage that is trained first."""
    seeds: tuple[int, ...]
    warm: tuple[WarmRecord, ...] = ()
    cwd: str
    """Where relative paths of the config start."""

    @property
    def base(self) -> dict[str, Any]:
        """The config that points are laid over."""
        return {**self.config, "seed": self.seeds[0]}

    @property
    def budget(self) -> int:
        """How many points are to be tried."""
        return self.search.trials or 0


class PointRecord(Record):
    """One point that was asked for."""

    number: int
    """From 0, in the order of asking."""
    params: dict[str, Any]
    """Value of every field that varies there."""
    trial_ids: tuple[str, ...]
    """Its trials, one for each seed."""
    asked_unix_s: float
    asked_by: str
    """Host and process."""
    attrs: Mapping[str, Any] = Field(default_factory=dict)
    """What the sampler wants to be remembered of the point, such as its generation."""
    study_attrs: Mapping[str, Any] = Field(default_factory=dict)
    """The same of the search as a whole, after this point."""


class EndedRecord(Record):
    """Why a search asks for no more points."""

    reason: str
    stopped: bool = False
    """Whether the user stopped it, so that only the user goes on with it."""


class SearchDir:
    """The search of one sweep folder; constructing it touches nothing on disk."""

    def __init__(self, sweep_dir: SweepDir) -> None:
        self.sweep_dir = sweep_dir
        self.path = sweep_dir.path / "search"
        self.search_file = self.path / "search.json"
        self.points = self.path / "points"
        self.ended_file = self.path / "ended.json"
        self.paused_file = self.path / "paused"
        self.lease_file = self.path / "lease"
        self.log_file = self.path / "refill.log"

    def exists(self) -> bool:
        """Whether the sweep is a search."""
        return self.search_file.exists()

    def read_search(self) -> SearchRecord:
        """search.json. Raises RunDirError or SchemaError."""
        return SearchRecord.from_json(read_json(self.search_file), str(self.search_file))

    def write_search(self, record: SearchRecord) -> None:
        """Replace search.json. Raises RunDirError."""
        write_json(self.search_file, record.model_dump(mode="json"))

    def read_points(self) -> list[PointRecord]:
        """Every point, by number. Raises RunDirError or SchemaError."""
        if not self.points.is_dir():
            return []
        with one_line_errors("read the points of the search"):
            files = sorted(file for file in self.points.iterdir() if file.suffix == ".json")
        return [PointRecord.from_json(read_json(file), str(file)) for file in files]

    def count_points(self) -> int:
        """How many points there are. Raises RunDirError."""
        if not self.points.is_dir():
            return 0
        with one_line_errors("read the points of the search"):
            return sum(name.endswith(".json") for name in os.listdir(self.points))

    def add_point(self, point: PointRecord) -> bool:
        """Make a point's file; False where somebody else has made that number meanwhile.

        A link is made in one step or not at all, also on NFS: it needs no lock.

        Raises:
            RunDirError: no permission, or no space.
        """
        target = self.points / f"{point.number:06d}.json"
        draft = self.points / f".{point.number:06d}.{os.getpid()}.{secrets.token_hex(4)}"
        write_atomic(draft, (point.model_dump_json(indent=1) + "\n").encode())
        try:
            os.link(draft, target)
        except FileExistsError:
            return False
        except OSError as error:
            raise RunDirError(f"cannot write {target}: {error.strerror}") from error
        finally:
            draft.unlink(missing_ok=True)
        return True

    def read_ended(self) -> EndedRecord | None:
        """Why no more is asked; None while more is. Raises RunDirError or SchemaError."""
        try:
            values = read_json(self.ended_file)
        except RunDirError:
            if self.ended_file.exists():
                raise
            return None
        return EndedRecord.from_json(values, str(self.ended_file))

    def end(self, reason: str, *, stopped: bool = False) -> None:
        """Write down that no more is asked. Raises RunDirError."""
        record = EndedRecord(reason=reason, stopped=stopped)
        write_json(self.ended_file, record.model_dump(mode="json"))

    def is_stopped(self) -> bool:
        """Whether the user has stopped or paused it. Raises RunDirError or SchemaError."""
        ended = self.read_ended()
        return self.is_paused() or (ended is not None and ended.stopped)

    def is_paused(self) -> bool:
        """Whether the user has paused it."""
        return self.paused_file.exists()

    def pause(self) -> None:
        """Ask for nothing, and go on with nothing, until it is resumed. Raises RunDirError."""
        write_atomic(self.paused_file, b"")

    def resume(self) -> bool:
        """Take back a pause; whether there was one. Raises RunDirError."""
        with one_line_errors("go on with the search"):
            try:
                self.paused_file.unlink()
            except FileNotFoundError:
                return False
        return True

    def reopen(self) -> None:
        """Ask again. Raises RunDirError."""
        with one_line_errors("go on with the search"):
            self.ended_file.unlink(missing_ok=True)


def sampler_attrs(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are plain data; a sampler's own state is rebuilt instead of stored."""
    return {
        key: value
        for key, value in attrs.items()
        if isinstance(value, bool | int | float | str | list) and ":optimizer" not in key
    }


def search_of(folder: Path) -> SearchDir | None:
    """The search of a sweep folder; None where it is none."""
    found = SearchDir(SweepDir(folder))
    return found if found.exists() else None
