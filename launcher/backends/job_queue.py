"""The files of a queue of jobs that one process moves, such as `<runs>/.local/`.

    jobs/<tag>.json      what to run; written once by the submitter; gone when the job has ended
    progress/<tag>.json  how far it is; written by the runner alone
    cancel/<tag>         a request to stop it
    hold/<tag>           a request to keep it from running; taken back by `resume`
    throttle/<sweep>     most jobs of a sweep at the same time, where that was changed since
    refill/<sweep>.json  a search that is to go on, with a job of it; gone when it has
    env/<digest>.json    environment of a submitter, for its eyes only; gone with the last job
    alive/<tag>          locked by the job's own processes for as long as one of them lives
    pid/<tag>            process id, written by the job itself before it becomes the trainer
    queue.lock           held briefly by whoever adds a job or decides that none is left
    runner.lock          held by the one runner, holds its process id; runner.log is what it says

Each file has one writer and is replaced whole, so any process may be killed at any point.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deit_core.errors import RunDirError
from deit_core.records import Record
from deit_core.run_dir import read_json, write_atomic, write_json
from launcher.backends.progress import JobProgress
from launcher.policy import MAX_REQUEUES
from launcher.repair import is_damaged

_TAG = re.compile(r"^[\w.-]+$")


class QueuedJob(Record):
    """jobs/<tag>.json."""

    tag: str
    run_dirs: tuple[str, ...]
    after: tuple[str, ...] = ()
    after_any: tuple[str, ...] = ()
    processes: int = 1
    nodes: int = 1
    cpus: int = 1
    gpus: int = 0
    mem_gb: float | None = None
    """Memory on each node, where that was asked for."""
    cpus_granted: int
    """Cores that this job and all that run beside it may take: those of its submitter."""
    gpus_granted: tuple[str, ...] = ()
    """GPUs that it may be given, by the names its submitter has for them."""
    group: str = ""
    max_parallel: int | None = None
    max_requeues: int = MAX_REQUEUES
    """Attempts in a row without progress before a trial counts as failed."""
    environment: str = ""
    """Digest of the submitter's environment."""
    command: tuple[str, ...]
    """The trainer; the run directories are appended."""
    code: str | None = None
    """Snapshot of the code that it imports; what is installed when null."""
    cwd: str
    submitted_unix_s: float
    submitted_by: str = ""


@dataclass(frozen=True)
class Environment:
    """Environment variables as they are kept; they may hold secrets, so for their owner only."""

    digest: str
    data: bytes

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> Environment:
        """Encode them; equal ones have equal digests."""
        data = json.dumps(dict(sorted(variables.items())), indent=0).encode()
        return cls(hashlib.sha256(data).hexdigest()[:32], data)


class JobQueue:
    """Paths and small operations; constructing it touches nothing on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.jobs = self.path / "jobs"
        self.progress = self.path / "progress"
        self.cancels = self.path / "cancel"
        self.holds = self.path / "hold"
        self.throttles = self.path / "throttle"
        self.to_refill = self.path / "refill"
        self.alive = self.path / "alive"
        self.pids = self.path / "pid"
        self.environments = self.path / "env"
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
        """Write a job's file, not synced: whoever submits many syncs once. Raises RunDirError."""
        write_json(self.jobs / f"{job.tag}.json", job.model_dump(mode="json"), durable=False)

    def keep_environment(self, environment: Environment) -> None:
        """Write a submitter's environment, once however many jobs have it. Raises RunDirError."""
        path = self.environments / f"{environment.digest}.json"
        if not path.exists():
            write_private(path, environment.data)

    def read_environment(self, digest: str) -> dict[str, str] | None:
        """A submitter's environment; None where it is another user's, or lost."""
        try:
            kept = json.loads((self.environments / f"{digest}.json").read_bytes())
        except (OSError, ValueError):
            return None
        return {str(name): str(value) for name, value in kept.items()}

    def forget_submitters(self) -> None:
        """Delete environments and throttles; no job is left, and queue.lock is held."""
        for folder in (self.environments, self.throttles):
            for name in _names(folder):
                with contextlib.suppress(OSError):
                    os.unlink(folder / name)

    def read(self, tag: str) -> QueuedJob:
        """Read a job's file. Raises RunDirError or SchemaError."""
        path = self.jobs / f"{tag}.json"
        return QueuedJob.from_json(read_json(path), str(path))

    def is_damaged(self, tag: str) -> bool:
        """Whether a job's file is there and holds nothing that can be made out."""
        return is_damaged(self.jobs / f"{tag}.json")

    def read_progress(self, tag: str) -> JobProgress:
        """How far a job is; nothing yet where there is no such file, or a power cut emptied it."""
        path = self.progress / f"{tag}.json"
        if not path.exists() or is_damaged(path):
            return JobProgress()
        try:
            return JobProgress.from_json(read_json(path), str(path))
        except RunDirError:
            if path.exists():
                raise
            return JobProgress()  # the runner has just removed the job

    def write_progress(self, tag: str, progress: JobProgress) -> None:
        """Replace a job's progress. Raises RunDirError."""
        path = self.progress / f"{tag}.json"
        write_json(path, progress.model_dump(mode="json"), durable=False)

    def request_cancel(self, tag: str) -> None:
        """Ask the runner to stop a job. Raises RunDirError."""
        write_atomic(self.cancels / tag, b"", durable=False)

    def held(self) -> set[str]:
        """Tags of jobs that must not run for now."""
        return _names(self.holds)

    def request_hold(self, tag: str) -> None:
        """Ask the runner to keep a job from running. Raises RunDirError."""
        write_atomic(self.holds / tag, b"")

    def release(self, tag: str) -> None:
        """Let a held job run again. Raises RunDirError."""
        _remove(self.holds / tag)

    def throttle(self, group: str, most: int | None) -> None:
        """Let at most so many jobs of a sweep run at once; None: as many as fit."""
        write_atomic(self.throttles / group, b"" if most is None else str(most).encode())

    def throttled(self) -> dict[str, int | None]:
        """Most jobs at once of each sweep for which that was changed. Raises RunDirError."""
        found: dict[str, int | None] = {}
        for group in _names(self.throttles):
            with contextlib.suppress(FileNotFoundError, ValueError):
                text = (self.throttles / group).read_text(encoding="ascii")
                found[group] = int(text) if text else None
        return found

    def to_move(self) -> bool:
        """Whether there is anything to do but for jobs that wait and are held."""
        held = self.held()
        return bool(self.refills()) or any(
            tag not in held or self.read_progress(tag).state == "running" for tag in self.tags()
        )

    def refills(self) -> set[str]:
        """Sweeps of searches that are to go on. Raises RunDirError."""
        files = (name for name in _names(self.to_refill) if name.endswith(".json"))
        return {name.removesuffix(".json") for name in files}

    def write_refill(self, group: str, job: QueuedJob) -> None:
        """A search is to go on, with jobs like this one. Raises RunDirError."""
        write_json(self.to_refill / f"{group}.json", job.model_dump(mode="json"), durable=False)

    def read_refill(self, group: str) -> QueuedJob:
        """What its next jobs are like. Raises RunDirError or SchemaError."""
        path = self.to_refill / f"{group}.json"
        return QueuedJob.from_json(read_json(path), str(path))

    def remove_refill(self, group: str) -> None:
        """It has gone on, or need not."""
        with contextlib.suppress(OSError):
            os.unlink(self.to_refill / f"{group}.json")

    def remove(self, tag: str) -> None:
        """Forget a job that has ended; its own file goes before requests about it."""
        for path in (
            self.progress / f"{tag}.json",
            self.pids / tag,
            self.alive / tag,
            self.jobs / f"{tag}.json",
            self.holds / tag,
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


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read. Raises RunDirError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.unlink(missing_ok=True)
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError as error:
        raise RunDirError(f"cannot write {path}: {error.strerror}") from error


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise RunDirError(f"cannot remove {path}: {error.strerror}") from error


def _names(folder: Path) -> set[str]:
    try:
        return {entry.name for entry in os.scandir(folder) if not entry.name.startswith(".")}
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise RunDirError(f"cannot read {folder}: {error.strerror}") from error
