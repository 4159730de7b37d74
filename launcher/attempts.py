"""The attempts at a trial: where and when each ran, how far it came, and what ended it.

Kept in the run directory (`RunDir.attempts_file`), one line when an attempt starts and one when it
has ended; the later line of the same number counts. It is evidence for people and for the choice of
nodes; whether a trial may start is never read from it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deit_core.attempts import AttemptRecord, read_attempts
from deit_core.errors import RunDirError, SchemaError
from deit_core.run_dir import RunDir
from launcher.repair import surviving_status


@dataclass(frozen=True)
class Start:
    """What is known of an attempt when it starts."""

    tag: str
    backend: str
    job_id: str | None = None
    nodes: tuple[str, ...] = ()
    processes: int = 1


def last_attempt(run: RunDir) -> AttemptRecord | None:
    """The latest one; None before the first, and where the file is no longer readable."""
    try:
        attempts = read_attempts(run)
    except SchemaError:
        return None
    return attempts[-1] if attempts else None


def note_start(run_dirs: Sequence[str | Path], start: Start) -> None:
    """Write down that a job starts an attempt at these trials, before it does.

    Where the job's previous attempt has no end, it is taken to have never begun.

    Raises:
        RunDirError: a file cannot be written.
    """
    now = time.time()
    for path in run_dirs:
        run = RunDir(path)
        status, last = surviving_status(run), last_attempt(run)
        resumed = last is not None and last.tag == start.tag and last.ended_unix_s is None
        before = max(status.attempt, last.number if last else 0)
        record = AttemptRecord(
            number=last.number if last and resumed else before + 1,
            tag=start.tag,
            backend=start.backend,
            job_id=start.job_id,
            nodes=start.nodes,
            processes=start.processes,
            started_unix_s=now,
            first_step=status.step,
        )
        _append(run, record)


def note_end(run: RunDir, record: AttemptRecord) -> None:
    """Write down how an attempt ended. Raises RunDirError."""
    _append(run, record)


def _append(run: RunDir, record: AttemptRecord) -> None:
    """One whole line in one write; a line that a crash tore is ended first."""
    line = json.dumps(record.model_dump(mode="json"), ensure_ascii=False).encode() + b"\n"
    try:
        run.job_dir.mkdir(parents=True, exist_ok=True)
        with open(run.attempts_file, "a+b") as file:
            if file.tell() > 0:
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b"\n" else b"\n" + line
            file.write(line)
    except OSError as error:
        raise RunDirError(f"cannot write {run.attempts_file}: {error.strerror}") from error
