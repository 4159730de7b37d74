"""Errors of the launcher that a user can mend; each is one line and knows where it comes from."""

from __future__ import annotations

from dataclasses import dataclass

from deit_core.errors import UserError


@dataclass(frozen=True)
class Location:
    """Where a value was given: a position in a file, or a command-line option."""

    source: str
    """Path as the user gave it, or an option such as `--set distill.kind=soft`."""
    line: int | None = None
    """Counted from 1, as editors do; None for a command-line option or a whole file."""
    column: int | None = None
    """Counted from 1."""

    def __str__(self) -> str:
        if self.line is None:
            return self.source
        return f"{self.source}:{self.line}:{self.column}"


class SweepError(UserError):
    """A sweep file, training config or override that is not valid."""

    def __init__(self, message: str, location: Location | None = None) -> None:
        self.location = location
        self.message = message
        super().__init__(f"{location}: {message}" if location else message)


class YamlError(SweepError):
    """A file that cannot be read as YAML."""


class LaunchError(UserError):
    """Something that stands in the way of running a sweep: a folder, a backend, a trial's name."""
