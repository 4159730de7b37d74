"""The files of one job array, `<runs>/.slurm/<array>/`.

    array.json        what was submitted (ArrayRecord); written before sbatch is called
    submit.sh         the batch script
    id                SLURM's job id; written by the submitter, and by each element as it starts
    progress/<tag>    how far a job is (JobProgress); written by the element that runs it
    ended/<tag>       its element will do no more for this job
    cancel/<tag>      a request to stop it
    hold/<tag>        a request to keep it from running
    more/<index>      jobs that an element has taken up beside those that were submitted
    owner/<index>     which supervisor serves an element: the one that SLURM has started last
    log/<index>.log   what the element's supervisor says

Each file is replaced whole. Markers are empty files: they are there or not.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from deit_core.errors import RunDirError
from deit_core.records import Record
from deit_core.run_dir import read_json, write_atomic, write_json
from launcher.backends.progress import JobProgress
from launcher.resources import Resources

Marker = Literal["ended", "cancel", "hold"]


class ArrayJob(Record):
    """One job of an array."""

    tag: str
    run_dirs: tuple[str, ...]
    after: tuple[str, ...] = ()
    """Run directories (of teachers) that must be completed first."""
    after_any: tuple[str, ...] = ()
    """Run directories of trials that must have ended first, whichever way."""


class ArrayRecord(Record):
    """array.json."""

    array: str
    group: str
    """The sweep's folder."""
    job_name: str
    """Unique to this array; finds it in SLURM's queue where its id was never recorded."""
    elements: tuple[tuple[ArrayJob, ...], ...]
    """Jobs by array index; an element runs its jobs one after the other."""
    resources: Resources
    avoid: tuple[str, ...] = ()
    """Nodes to exclude beside those of `resources`."""
    mem_factor: float = 1.0
    """By how much more memory `resources` says than the sweep file."""
    processes: int
    """Ranks of each job."""
    cpus_per_task: int
    gpus_per_node: int
    signal_lead_s: int
    """Seconds before the time limit at which SLURM warns the ranks."""
    command: tuple[str, ...]
    """The trainer of one rank; the run directories are appended."""
    code: str | None = None
    cluster: str = ""
    """Its ClusterName; empty where it was not known."""
    submitted_by: str = ""
    submitted_unix_s: float


class ArrayDir:
    """Paths and small operations; constructing it touches nothing on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record_file = path / "array.json"
        self.script = path / "submit.sh"
        self.id_file = path / "id"
        self.more = path / "more"

    def log(self, index: int | str) -> Path:
        """What the supervisor of an element says; also with SLURM's `%a`."""
        return self.path / "log" / f"{index}.log"

    def create(self, record: ArrayRecord, script: str) -> None:
        """Write what an array is, before it is submitted. Raises RunDirError."""
        write_atomic(self.script, script.encode())
        try:
            (self.path / "log").mkdir(exist_ok=True)
        except OSError as error:
            raise RunDirError(f"cannot write {self.path}: {error.strerror}") from error
        write_json(self.record_file, record.model_dump(mode="json"))

    def read(self) -> ArrayRecord:
        """What was submitted, and what its elements have taken up since.

        Raises:
            RunDirError, SchemaError: a file cannot be read.
        """
        return self.with_more(self.read_submitted())

    def read_submitted(self) -> ArrayRecord:
        """array.json. Raises RunDirError or SchemaError."""
        return ArrayRecord.from_json(read_json(self.record_file), str(self.record_file))

    def with_more(self, record: ArrayRecord) -> ArrayRecord:
        """The record as submitted, with what its elements have taken up.

        Raises:
            RunDirError, SchemaError: a file cannot be read.
        """
        if not self.more.is_dir():
            return record
        elements = tuple(
            (*jobs, *self._more_jobs(index)) for index, jobs in enumerate(record.elements)
        )
        return record.model_copy(update={"elements": elements})

    def _more_jobs(self, index: int) -> tuple[ArrayJob, ...]:
        path = self.more / str(index)
        if not path.exists():
            return ()
        return tuple(ArrayJob.from_json(values, str(path)) for values in read_json(path))

    def add_jobs(self, index: int, jobs: Sequence[ArrayJob]) -> None:
        """Let an element run further jobs after those it has. Raises RunDirError, SchemaError."""
        known = (*self._more_jobs(index), *jobs)
        write_json(self.more / str(index), [job.model_dump(mode="json") for job in known])

    def slurm_id(self) -> str | None:
        """SLURM's id of the array; None where it is not known."""
        try:
            return self.id_file.read_text(encoding="ascii").strip() or None
        except (OSError, UnicodeDecodeError):
            return None

    def note_id(self, slurm_id: str) -> None:
        """Record SLURM's id. Raises RunDirError."""
        write_atomic(self.id_file, f"{slurm_id}\n".encode())

    def read_progress(self, tag: str) -> JobProgress | None:
        """How far a job is; None where nothing is known of it. Raises SchemaError."""
        path = self.path / "progress" / tag
        try:
            return JobProgress.from_json(read_json(path), str(path))
        except RunDirError:
            return None

    def write_progress(self, tag: str, progress: JobProgress) -> None:
        """Replace a job's progress. Raises RunDirError."""
        write_json(self.path / "progress" / tag, progress.model_dump(mode="json"))

    def take_over(self, index: int, token: str) -> None:
        """Serve an element from now on, in place of whoever did before. Raises RunDirError."""
        write_atomic(self.path / "owner" / str(index), token.encode())

    def owner(self, index: int) -> str | None:
        """Token of the supervisor that serves an element; None where that cannot be told."""
        try:
            return (self.path / "owner" / str(index)).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            return None

    # markers ---------------------------------------------------------------------------------

    def mark(self, kind: Marker, tag: str) -> None:
        """Set a marker. Raises RunDirError."""
        write_atomic(self.path / kind / tag, b"")

    def unmark(self, kind: Marker, tag: str) -> None:
        """Remove a marker that may be there. Raises RunDirError."""
        try:
            (self.path / kind / tag).unlink(missing_ok=True)
        except OSError as error:
            raise RunDirError(f"cannot write {self.path}: {error.strerror}") from error

    def is_marked(self, kind: Marker, tag: str) -> bool:
        """Whether a marker is set."""
        return (self.path / kind / tag).exists()

    def marked(self, kind: Marker) -> set[str]:
        """Tags of all jobs with a marker, by one look."""
        try:
            return set(os.listdir(self.path / kind))
        except OSError:
            return set()


class SlurmDir:
    """`<runs>/.slurm`: all arrays of a runs folder."""

    def __init__(self, runs: Path) -> None:
        self.path = runs / ".slurm"
        self.submit_lock = self.path / "submit.lock"

    def array(self, name: str) -> ArrayDir:
        """The files of one array."""
        return ArrayDir(self.path / name)

    def arrays(self) -> Iterator[ArrayDir]:
        """All arrays, in no order. Those that cannot be listed are left out."""
        with contextlib.suppress(OSError), os.scandir(self.path) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.is_dir():
                    yield ArrayDir(Path(entry.path))
