"""What a trial printed, attempt by attempt: from its own logs, or from those of its cohort."""

from __future__ import annotations

import functools
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from deit_core.errors import RunDirError
from deit_core.run_dir import RunDir
from launcher.backends.base import Backend
from launcher.errors import LaunchError
from launcher.observe import owner_of, read_trial_job
from launcher.output import POINTER, SEPARATOR
from launcher.repair import surviving_status

Write = Callable[[str], None]

_PAUSE_S = 0.2
_SAME_START_S = 60.0
"""Processes of one attempt open their logs within this time of each other."""
_SCHEDULERS_LAST_WORDS = 20
"""Lines of what the scheduler said that are shown of a failed trial."""
_HEADING = re.compile(
    rf"^{SEPARATOR} attempt (?P<attempt>\d+) · (?P<when>[\d: -]+) UTC · job (?P<job>\S+)"
    rf"(?: · {re.escape(POINTER)}(?P<pointer>.+?)| · process \d+)? {SEPARATOR}$"
)
_RANK = re.compile(r"^rank(\d+)\.log$")


@dataclass(frozen=True)
class LogFilter:
    """Which part of a trial's output is wanted."""

    rank: int | None = 0
    """A process of the job, by its rank; None: all."""
    attempt: int | None = None
    """None: all."""
    grep: str | None = None
    """A text that a line must contain."""


@dataclass(frozen=True)
class Part:
    """What one attempt printed to one file; what comes before any attempt has no number."""

    text: str
    """With the line that opens the attempt."""
    attempt: int | None = None
    job: str = ""
    started_unix_s: float = 0.0
    pointer: str | None = None
    """Where its output is, relative to the log's folder, if it is not here."""


def split_attempts(text: str) -> list[Part]:
    """Cut a log at the lines that open an attempt."""
    parts: list[Part] = []
    opening = Part("")
    lines: list[str] = []
    for line in text.splitlines(keepends=True):
        found = _HEADING.match(line.rstrip("\n")) if line.startswith(SEPARATOR) else None
        if found is not None:
            parts.append(_with_text(opening, lines))
            opening, lines = _opening(found), []
        lines.append(line)
    return [part for part in (*parts, _with_text(opening, lines)) if part.text]


def _opening(found: re.Match[str]) -> Part:
    when = datetime.strptime(found["when"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    return Part("", int(found["attempt"]), found["job"], when.timestamp(), found["pointer"])


def _with_text(part: Part, lines: list[str]) -> Part:
    return Part("".join(lines), part.attempt, part.job, part.started_unix_s, part.pointer)


def follow_pointer(log: Path) -> Path:
    """The file that has a trial's latest output: the log itself, or the one it points to.

    Raises:
        RunDirError: the log cannot be read.
    """
    parts = split_attempts(_read(log))
    return _target(log, parts[-1]) if parts else log


def _target(log: Path, part: Part) -> Path:
    return log if part.pointer is None else Path(os.path.normpath(log.parent / part.pointer))


def log_files(run: RunDir, rank: int | None = 0) -> list[tuple[str, Path]]:
    """Title and path of the logs of the latest attempt: stdout, then stderr, then other ranks'."""
    found = []
    leader = _leader(run)
    for log in (run.stdout_file, run.stderr_file) if rank in (0, None) else ():
        target = follow_pointer(log)
        if target != log:
            found.append((_title(log.name, own=False), target))
        elif log.exists():
            found.append((log.name, log))
    for number in ranks(run):
        if rank in (number, None):
            path = leader.rank_log(number)
            found.append((_title(path.name, own=leader.path == run.path), path))
    return found


def ranks(run: RunDir) -> list[int]:
    """Ranks of the processes beside the first that have a log of their own."""
    folder = _leader(run).job_dir
    names = [_RANK.match(name) for name in os.listdir(folder)] if folder.is_dir() else []
    return sorted(int(name[1]) for name in names if name is not None)


def _leader(run: RunDir) -> RunDir:
    """The trial whose folder has the output of the latest attempt."""
    return RunDir(follow_pointer(run.stdout_file).parent.parent)


def _title(name: str, *, own: bool) -> str:
    return name if own else f"{name} (of the cohort)"


def show_logs(run: RunDir, write: Write, wanted: LogFilter | None = None) -> None:
    """Write what a trial printed: each log from its first attempt to its last.

    Raises:
        RunDirError: the trial has printed nothing yet, or its logs cannot be read.
        LaunchError: there is no such attempt or rank, or no line with the text.
    """
    wanted = wanted or LogFilter()
    attempts = split_attempts(_read(run.stdout_file))
    if not attempts:
        raise RunDirError(f"{run.path.name} has no log yet: no job has started it")
    _check(run, attempts, wanted)
    shown: Path | None = None
    for path, own, text in _texts(run, attempts, wanted):
        if path != shown:
            write(f"---- {_title(path.name, own=own)}: {path}\n")
            shown = path
        write(text)
    if shown is None and wanted.grep is not None:
        raise LaunchError(f"no line has {wanted.grep!r}; --rank all looks at every process")


def _check(run: RunDir, attempts: list[Part], wanted: LogFilter) -> None:
    numbers = [part.attempt for part in attempts if part.attempt is not None]
    if wanted.attempt is not None and wanted.attempt not in numbers:
        known = f"there are {_span(numbers)}" if numbers else "none is marked in its log"
        raise LaunchError(f"there is no attempt {wanted.attempt}; {known}")
    known_ranks = [0, *ranks(run)]
    if wanted.rank is not None and wanted.rank not in known_ranks:
        raise LaunchError(f"there is no log of rank {wanted.rank}; there are {_span(known_ranks)}")


def _span(numbers: list[int]) -> str:
    return f"{min(numbers)} to {max(numbers)}" if len(set(numbers)) > 1 else f"{numbers[0]} alone"


def _texts(
    run: RunDir, attempts: list[Part], wanted: LogFilter
) -> Iterator[tuple[Path, bool, str]]:
    """File, whether it is the trial's own, and text of each part that is wanted, in order."""
    read = functools.cache(lambda path: split_attempts(_read(path)))
    for stream in _streams(run, wanted.rank):
        for part in attempts:
            if wanted.attempt not in (None, part.attempt):
                continue
            folder = _target(run.stdout_file, part).parent
            found = _beside(read(folder / stream), part)
            text = _matching(found.text, wanted.grep) if found else ""
            if text:
                yield folder / stream, folder == run.job_dir, text


def _streams(run: RunDir, rank: int | None) -> list[str]:
    first = [run.stdout_file.name, run.stderr_file.name] if rank in (0, None) else []
    return first + [run.rank_log(k).name for k in ranks(run) if rank in (k, None)]


def _beside(parts: list[Part], attempt: Part) -> Part | None:
    """What another file has of an attempt: of the same job, and begun at the same time."""

    def distance(part: Part) -> float:
        return abs(part.started_unix_s - attempt.started_unix_s)

    same = [part for part in parts if part.job == attempt.job]
    nearest = min(same, key=distance, default=None)
    return nearest if nearest is not None and distance(nearest) <= _SAME_START_S else None


def _matching(text: str, grep: str | None) -> str:
    if grep is None:
        return text if text.endswith("\n") or not text else f"{text}\n"
    return "".join(f"{line}\n" for line in text.splitlines() if grep in line)


def log_before_start(run: RunDir, backend: Backend) -> Path | None:
    """The log of what the trial's latest job did before it started the trial, if it has one."""
    job = read_trial_job(run)
    owner = None if job is None else owner_of(job.backend, backend)
    if job is None or job.job_id is None or owner is None:
        return None
    path = owner.log_before_start(job.job_id)
    return path if path is not None and _read(path) else None


def is_news(early: Path, run: RunDir) -> bool:
    """Whether a job's early log was written to after all that the trial itself has printed."""
    printed = run.stdout_file
    return not printed.exists() or early.stat().st_mtime > printed.stat().st_mtime


def show_early_log(early: Path, write: Write) -> None:
    """Write what a job said before it started its trials. Raises RunDirError."""
    write(f"---- {early.name} (before the trial started): {early}\n{_matching(_read(early), None)}")


def show_scheduler_log(run: RunDir, write: Write, early: Path | None = None) -> None:
    """Write what the scheduler said of a trial's jobs. Raises RunDirError where it said nothing.

    `early`: see `log_before_start`.
    """
    path = _leader(run).scheduler_log
    text = _read(path)
    if early is not None:
        show_early_log(early, write)
        if not text:
            return
    if not text:
        raise RunDirError(f"{run.path.name} has no log of a scheduler: see `deit-launch why`")
    write(f"---- {path.name}: {path}\n{text}")


def show_last_words(run: RunDir, write: Write) -> None:
    """Write the end of what the scheduler said, where the trial failed and it said something."""
    status, path = surviving_status(run), _leader(run).scheduler_log
    if status.state != "failed" or not path.exists():
        return
    if path.stat().st_mtime >= (status.started_unix_s or 0.0):
        lines = _read(path).splitlines(keepends=True)[-_SCHEDULERS_LAST_WORDS:]
        write(f"---- {path.name} (its end): {path}\n{''.join(lines)}")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise RunDirError(f"cannot read {path}: {error.strerror}") from error


@dataclass
class _Tail:
    """A log that is still written to."""

    title: str
    path: Path
    file: IO[str]
    rest: str = ""
    """The beginning of a line whose end is not there yet."""

    def news(self, grep: str | None) -> str:
        """What was written since; with `grep`, whole lines that have the text."""
        text = self.file.read()
        if grep is None:
            return text
        whole, newline, self.rest = (self.rest + text).rpartition("\n")
        return _matching(whole + newline, grep)


def follow_logs(
    run: RunDir, write: Write, active: Callable[[], bool], wanted: LogFilter | None = None
) -> None:
    """Write what is there and what comes, until the trial is no longer active.

    The file is named wherever what follows is from another one than what came before.
    """
    wanted = wanted or LogFilter()
    tails: dict[Path, _Tail] = {}
    latest: Path | None = None
    try:
        while True:
            more = active()  # asked before reading, so that the last lines are not missed
            for title, path in log_files(run, wanted.rank):
                if path not in tails and path.exists():
                    file = open(path, encoding="utf-8", errors="replace")  # noqa: SIM115
                    tails[path] = _Tail(title, path, file)
            for tail in tails.values():
                text = tail.news(wanted.grep)
                if text and tail.path != latest:
                    write(f"---- {tail.title}: {tail.path}\n")
                    latest = tail.path
                write(text)
            if not more:
                return
            time.sleep(_PAUSE_S)
    finally:
        for tail in tails.values():
            tail.file.close()
