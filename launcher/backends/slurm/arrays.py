"""What is known of the arrays of a runs folder: which job is which element of which array."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from launcher.backends.slurm import client
from launcher.backends.slurm.array_dir import ArrayDir, ArrayJob, ArrayRecord, SlurmDir
from launcher.errors import LaunchError
from launcher.locks import take_lock


@dataclass(frozen=True)
class Place:
    """Where a job is."""

    array: ArrayDir
    record: ArrayRecord
    slurm_id: str
    index: int
    job: ArrayJob

    @property
    def element(self) -> str:
        """The array's element, in SLURM's words."""
        return f"{self.slurm_id}_{self.index}"

    @property
    def is_alone(self) -> bool:
        """Whether the element runs no other job, so that SLURM may be told about it."""
        return len(self.record.elements[self.index]) == 1


def job_id_of(slurm_id: str, index: int, position: int) -> str:
    """As SLURM writes it, `1234_5`; with a position where an element runs several jobs."""
    return f"{slurm_id}_{index}" + (f":{position}" if position else "")


def element_of(job_id: str) -> str:
    """The array's element that runs a job, in SLURM's words."""
    return job_id.partition(":")[0]


def array_of(job_id: str) -> str:
    """SLURM's id of the array that has a job."""
    return job_id.partition("_")[0]


def _split(job_id: str) -> tuple[int, int]:
    element, _, position = job_id.partition(":")
    return int(element.partition("_")[2] or 0), int(position or 0)


class Arrays:
    """Reads `<runs>/.slurm`; what was submitted never changes, so each array is read once."""

    def __init__(self, runs: Path) -> None:
        self.files = SlurmDir(runs)
        self._records: dict[str, ArrayRecord] = {}

    def read(self, array: ArrayDir) -> ArrayRecord | None:
        """array.json; None where a launcher died before it was written."""
        name = array.path.name
        if name not in self._records and array.record_file.exists():
            self._records[name] = array.read()
        return self._records.get(name)

    def live(self) -> Iterator[tuple[ArrayDir, ArrayRecord]]:
        """Arrays with a job that has not said that it has ended, newest first."""
        arrays = [(array, self.read(array)) for array in self.files.arrays()]
        known = [(array, record) for array, record in arrays if record is not None]
        for array, record in sorted(known, key=lambda one: -one[1].submitted_unix_s):
            tags = {job.tag for element in record.elements for job in element}
            if tags - array.marked("ended"):
                yield array, record

    def places(self, job_ids: Iterable[str]) -> dict[str, Place]:
        """Where these jobs are; those of arrays whose files are gone are left out."""
        wanted: dict[str, list[str]] = defaultdict(list)
        for job_id in job_ids:
            wanted[array_of(job_id)].append(job_id)
        found = {}
        for array in self.files.arrays() if wanted else ():
            slurm_id = array.slurm_id()
            record = self.read(array) if slurm_id in wanted else None
            if slurm_id is None or record is None:
                continue
            for job_id in wanted[slurm_id]:
                index, position = _split(job_id)
                with contextlib.suppress(IndexError):
                    job = record.elements[index][position]
                    found[job_id] = Place(array, record, slurm_id, index, job)
        return found

    def find(self, tags: Collection[str]) -> dict[str, str]:
        """Ids of the jobs with these tags that have not said that they have ended.

        Raises:
            LaunchError: whether an array was submitted cannot be told, as SLURM does not answer.
        """
        wanted = set(tags)
        found: dict[str, str] = {}
        if not wanted or not self.files.path.is_dir():
            return found
        with self.submitting():  # waits for an sbatch that its dead launcher has left behind
            for array, record in self.live():
                places = {
                    job.tag: (index, position)
                    for index, element in enumerate(record.elements)
                    for position, job in enumerate(element)
                    if job.tag in wanted
                }
                slurm_id = self._known_as(array, record) if places else None
                if slurm_id is not None:
                    found |= {tag: job_id_of(slurm_id, *where) for tag, where in places.items()}
        return found

    def _known_as(self, array: ArrayDir, record: ArrayRecord) -> str | None:
        """SLURM's id of an array, looked for in its queue if it was never recorded."""
        slurm_id = array.slurm_id()
        if slurm_id is not None:
            return slurm_id
        entries = client.queue_by_name(record.job_name)
        if entries is None:
            raise LaunchError(
                "SLURM does not answer, so whether an interrupted call has submitted jobs is "
                "not known; try again later"
            )
        if entries:
            array.note_id(entries[0].array_id)
        return array.slurm_id()

    def live_elements(self, run_dirs: Collection[str]) -> list[str]:
        """Elements that train one of these, or will; SLURM's silence counts as yes."""
        found: dict[str, None] = {}
        for array, record in self.live():
            slurm_id, ended = array.slurm_id(), array.marked("ended")
            for index, element in enumerate(record.elements):
                for job in element:
                    trains = not set(run_dirs).isdisjoint(job.run_dirs)
                    if slurm_id is not None and job.tag not in ended and trains:
                        found[f"{slurm_id}_{index}"] = None
        entries = client.queue(list(dict.fromkeys(map(array_of, found))))
        if entries is None:
            return list(found)
        queued = {entry.name for entry in entries}
        return [element for element in found if element in queued]

    @contextlib.contextmanager
    def submitting(self) -> Iterator[int]:
        """Hold the lock that a running sbatch has, too."""
        handle = take_lock(self.files.submit_lock, wait=True)
        assert handle is not None
        try:
            yield handle
        finally:
            os.close(handle)
