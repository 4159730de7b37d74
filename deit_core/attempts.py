"""The attempts at a trial, as its run directory records them. Torch-free.

`RunDir.attempts_file` gets one line when an attempt starts and one when it has ended; the later
line of the same number counts. The launcher writes them (launcher/attempts.py); the report counts
what they cost.
"""

from __future__ import annotations

import json
from typing import Literal

from deit_core.errors import RunDirError
from deit_core.records import Record
from deit_core.run_dir import RunDir

Cause = Literal[
    "completed",
    "pruned",
    "preempted",
    "cancelled",
    "paused",
    "node_failure",
    "timeout",
    "gpu_memory",
    "host_memory",
    "diverged",
    "user_error",
    "crashed",
    "lost",
    "dependency",
]
"""What ended an attempt."""


class AttemptRecord(Record):
    """One attempt at one trial."""

    number: int
    """From 1; as in the logs and in status.json."""
    tag: str
    """The job."""
    backend: str
    job_id: str | None = None
    """As the scheduler calls it."""
    nodes: tuple[str, ...] = ()
    processes: int = 1
    """Ranks that train together."""
    started_unix_s: float
    first_step: int = 0
    """Step that the trial had reached before."""
    ended_unix_s: float | None = None
    """Null while it runs, and where nobody saw it end."""
    last_step: int | None = None
    exit_code: int | None = None
    """Negative: killed by that signal. Null: nobody saw it."""
    cause: Cause | None = None
    reason: str | None = None
    """What went wrong, in words."""
    again: bool | None = None
    """Whether the launcher goes on with the trial by itself."""
    scheduler: str | None = None
    """State and reason in the scheduler's words, such as `NODE_FAIL (NodeFail)`."""
    max_rss_gib: float | None = None
    """Largest resident memory of a process, where the scheduler measured it."""

    @property
    def progressed(self) -> bool:
        """Whether it brought the trial further."""
        return (self.last_step or 0) > self.first_step


def read_attempts(run: RunDir) -> tuple[AttemptRecord, ...]:
    """All attempts, oldest first; lines that a crash has torn are left out.

    Raises:
        RunDirError: the file cannot be read.
        SchemaError: a newer version wrote it.
    """
    try:
        lines = run.attempts_file.read_bytes().splitlines()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise RunDirError(f"cannot read {run.attempts_file}: {error.strerror}") from error
    found: dict[int, AttemptRecord] = {}
    for line in lines:
        try:
            values = json.loads(line)
        except ValueError:
            continue
        record = AttemptRecord.from_json(values, str(run.attempts_file))
        found[record.number] = record
    return tuple(found[number] for number in sorted(found))
