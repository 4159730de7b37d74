"""The files of the local queue, `<runs>/.local/`.

    jobs/<tag>.json      what to run; written once by the submitter; gone when the job has ended
    progress/<tag>.json  how far it is; written by the runner alone
    cancel/<tag>         a request to stop it
    alive/<tag>          locked by the job's own processes for as long as one of them lives
    pid/<tag>            process id, written by the job itself before it becomes the trainer
    queue.lock           held briefly by whoever adds a job or decides that none is left
    runner.lock          held by the one runner, holds its process id; runner.log is what it says

Each file has one writer and is replaced whole, so any process may be killed at any point.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Literal

from pydantic import Field

from deit_core.errors import RunDirError
from deit_core.records import Record
from deit_core.run_dir import read_json, write_atomic, write_json

_TAG = re.compile(r"^[\w.-]+$")


class QueuedJob(Record):
    """jobs/<tag>.json."""

    tag: str
    run_dirs: tuple[str, ...]
    after: tuple[str, ...] = ()
    cpus: int = 1
    gpus: int = 0
    group: str = ""
    max_parallel: int | None = None
    command: tuple[str, ...]
    """The trainer; the run directories are appended."""
    cwd: str
    submitted_unix_s: float
    submitted_by: str = ""


class JobProgress(Record):
    """progress/<tag>.json."""

    state: Literal["queued", "running"] = "queued"
    attempt: int = 0
    gpus: tuple[str, ...] = ()
    """Names of the GPUs that the running attempt has."""
    running: tuple[str, ...] = ()
    """Run directories that the running attempt trains."""
    solo: bool = False
    """One trial at a time: set when the cohort went down together."""
    failures: dict[str, int] = Field(default_factory=dict)
    """Attempts in a row that ended without a result and without progress, by run directory."""
    steps: dict[str, int] = Field(default_factory=dict)
    """Furthest step seen at the end of an attempt, by run directory."""


class LocalQueue:
    """Paths and small operations; constructing it touches nothing on disk."""

    def __init__(self, runs: Path) -> None:
        self.path = runs / ".local"
        self.jobs = self.path / "jobs"
        self.progress = self.path / "progress"
        self.cancels = self.path / "cancel"
        self.alive = self.path / "alive"
        self.pids = self.path / "pid"
        self.queue_lock = self.path / "queue.lock"
        self.runner_lock = self.path / "runner.lock"
        self.runner_log = self.path / "runner.log"

    def tags(self) -> set[str]:
        """Tags of all jobs that have not ended."""
        return {name.removesuffix(".json") for name in _names(self.jobs) if name.endswith(".json")}

    def cancelled(self) -> set[str]:
        """Tags of jobs that were asked to stop."""
        return _names(self.cancels)

    def has(self, tag: str) -> bool:
        """Whether a job with this tag is queued or running."""
        return _TAG.match(tag) is not None and (self.jobs / f"{tag}.json").exists()

    def add(self, job: QueuedJob) -> None:
        """Write a job's file. Raises RunDirError."""
        write_json(self.jobs / f"{job.tag}.json", job.model_dump(mode="json"))

    def read(self, tag: str) -> QueuedJob:
        """Read a job's file. Raises RunDirError or SchemaError."""
        path = self.jobs / f"{tag}.json"
        return QueuedJob.from_json(read_json(path), str(path))

    def read_progress(self, tag: str) -> JobProgress:
        """How far a job is; nothing yet where there is no such file."""
        path = self.progress / f"{tag}.json"
        if not path.exists():
            return JobProgress()
        return JobProgress.from_json(read_json(path), str(path))

    def write_progress(self, tag: str, progress: JobProgress) -> None:
        """Replace a job's progress. Raises RunDirError."""
        path = self.progress / f"{tag}.json"
        write_json(path, progress.model_dump(mode="json"), durable=False)

    def request_cancel(self, tag: str) -> None:
        """Ask the runner to stop a job. Raises RunDirError."""
        write_atomic(self.cancels / tag, b"", durable=False)

    def remove(self, tag: str) -> None:
        """Forget a job that has ended; its own file goes last but one, the request to stop last."""
        for path in (
            self.progress / f"{tag}.json",
            self.pids / tag,
            self.alive / tag,
            self.jobs / f"{tag}.json",
            self.cancels / tag,
        ):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def pid(self, tag: str) -> int | None:
        """Process id (and process group) of a running job; None in its first milliseconds."""
        try:
            return int((self.pids / tag).read_text())
        except (FileNotFoundError, ValueError):
            return None


def _names(folder: Path) -> set[str]:
    try:
        return {entry.name for entry in os.scandir(folder) if not entry.name.startswith(".")}
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise RunDirError(f"cannot read {folder}: {error.strerror}") from error
