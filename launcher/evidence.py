"""What the processes of an attempt printed, as far as it says why they ended."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deit_core.run_dir import RunDir
from launcher.output import SEPARATOR

_TAIL_BYTES = 256 * 1024
"""What matters is at the end; a log may have grown for days."""
_TRACEBACK = "Traceback (most recent call last):"
_COMPLAINT = re.compile(r"^error(?: in process \d+)?: (.*)", re.MULTILINE)
# What srun, torch's launchers and joblib put before a line that another process printed.
_PREFIX = re.compile(r"^(?:\d+: |\[rank\d+\]:\s?)")


@dataclass(frozen=True)
class Evidence:
    """The end of an attempt in its logs: the first process's, the others', the scheduler's."""

    text: str = ""
    """All of it, for patterns."""
    complaint: str | None = None
    """The last `error: …` line."""
    traceback: tuple[str, ...] = ()
    """The last traceback of the process that says most, from its first to its last line."""
    source: Path | None = None
    """The log that has it."""

    @property
    def exception(self) -> str | None:
        """The last line of the traceback: type and message."""
        return self.traceback[-1].strip() if self.traceback else None


def gather_evidence(leader: RunDir) -> Evidence:
    """Read the logs of the latest attempt; `leader` is the first trial of its job.

    Logs that cannot be read are left out: evidence is what there is.
    """
    logs = [leader.stderr_file, *leader.rank_logs(), leader.scheduler_log]
    parts = [(log, _since_separator(_tail(log))) for log in logs]
    complaints = [found[-1] for _, part in parts if (found := _COMPLAINT.findall(part))]
    traceback, source = _best_traceback(parts)
    return Evidence(
        text="\n".join(part for _, part in parts if part),
        complaint=complaints[0].strip() if complaints else None,
        traceback=traceback,
        source=source,
    )


def last_lines(log: Path, most: int = 20) -> tuple[str, ...]:
    """The end of a log, without empty lines; nothing where there is none."""
    return tuple(line.rstrip() for line in _tail(log).splitlines() if line.strip())[-most:]


def _tail(log: Path) -> str:
    try:
        with open(log, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _since_separator(text: str) -> str:
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith(SEPARATOR)]
    return "\n".join(lines[starts[-1] + 1 :] if starts else lines)


def _best_traceback(parts: Iterable[tuple[Path, str]]) -> tuple[tuple[str, ...], Path | None]:
    """The first log's, unless it only says that another process was lost."""
    found = [(last_traceback(part.splitlines()), log) for log, part in parts]
    for traceback, log in found:
        if traceback and "LostProcessError" not in traceback[-1]:
            return traceback, log
    return (), None


def last_traceback(lines: Sequence[str]) -> tuple[str, ...]:
    """The last traceback among these lines; the prefixes of its processes are taken off.

    It ends with the first line after it that is not indented: the exception.
    """
    bare = [_PREFIX.sub("", line) for line in lines]
    starts = [number for number, line in enumerate(bare) if line.startswith(_TRACEBACK)]
    if not starts:
        return ()
    taken = [bare[starts[-1]]]
    for line in bare[starts[-1] + 1 :]:
        taken.append(line)
        if line and not line[0].isspace():
            break
    return tuple(taken)
