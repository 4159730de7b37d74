"""What a trial printed, from its own log or from that of the cohort it was trained in."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from deit_core.errors import RunDirError
from deit_core.run_dir import RunDir
from launcher.output import POINTER, SEPARATOR

_PAUSE_S = 0.2


def follow_pointer(log: Path) -> Path:
    """The file that has a trial's latest output: the log itself, or the one it points to.

    Raises:
        RunDirError: the log cannot be read.
    """
    last = ""
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith(SEPARATOR):
                    last = line
    except FileNotFoundError:
        return log
    except OSError as error:
        raise RunDirError(f"cannot read {log}: {error.strerror}") from error
    if POINTER not in last:
        return log
    relative = last.split(POINTER, 1)[1].rsplit(f" {SEPARATOR}", 1)[0]
    return Path(os.path.normpath(log.parent / relative))


def log_files(run: RunDir) -> list[tuple[str, Path]]:
    """Title and path of the logs to show: stdout, then stderr, each once."""
    found = []
    for log in (run.stdout_file, run.stderr_file):
        target = follow_pointer(log)
        if target != log:
            found.append((f"{log.name} (of the cohort)", target))
        elif log.exists():
            found.append((log.name, log))
    return found


def show_logs(run: RunDir, write: Callable[[str], None]) -> None:
    """Write both logs. Raises RunDirError when the trial has printed nothing yet."""
    files = log_files(run)
    if not files:
        raise RunDirError(f"{run.path.name} has no log yet: no job has started it")
    for title, path in files:
        write(f"---- {title}: {path}\n")
        write(_read(path))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise RunDirError(f"cannot read {path}: {error.strerror}") from error


def follow_logs(run: RunDir, write: Callable[[str], None], active: Callable[[], bool]) -> None:
    """Write what is there and what comes, until the trial is no longer active.

    The file is named wherever what follows is from another one than what came before.
    """
    opened: dict[Path, IO[str]] = {}
    titles: dict[Path, str] = {}
    latest: Path | None = None
    try:
        while True:
            more = active()  # asked before reading, so that the last lines are not missed
            for title, path in log_files(run):
                if path not in opened and path.exists():
                    opened[path] = open(path, encoding="utf-8", errors="replace")  # noqa: SIM115
                    titles[path] = title
            for path, file in opened.items():
                text = file.read()
                if text and path != latest:
                    write(f"---- {titles[path]}: {path}\n")
                    latest = path
                write(text)
            if not more:
                return
            time.sleep(_PAUSE_S)
    finally:
        for file in opened.values():
            file.close()
