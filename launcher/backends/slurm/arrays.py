"""What is known of the arrays of a runs folder: which job is which element of which array."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
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
    def jobs(self) -> tuple[ArrayJob, ...]:
        """All jobs of the element, in their order."""
        return self.record.elements[self.index]

    def is_meant(self, entry: client.QueueEntry) -> bool:
        """Whether what SLURM says is about this element, and not about a namesake's."""
        return entry.name == self.element and entry.job_name == self.record.job_name


@dataclass(frozen=True)
class QueuedArray:
    """An array of which SLURM still has elements."""

    array: ArrayDir
    record: ArrayRecord
    slurm_id: str
    entries: tuple[client.QueueEntry, ...]

    @property
    def free(self) -> list[client.QueueEntry]:
        """Elements that run, or will without being released first."""
        return [entry for entry in self.entries if not entry.is_held]

    @property
    def after(self) -> frozenset[str]:
        """Run directories that its jobs wait for until they are completed."""
        return frozenset(path for job in self._jobs for path in job.after)

    @property
    def after_any(self) -> frozenset[str]:
        """Run directories that its jobs wait for until they have ended."""
        return frozenset(path for job in self._jobs for path in job.after_any)

    @property
    def _jobs(self) -> Iterator[ArrayJob]:
        return (job for element in self.record.elements for job in element)


def job_id_of(slurm_id: str, index: int, position: int, namesake: str = "") -> str:
    """As SLURM writes it, `1234_5`, and what tells the job from others of this name.

    Args:
        slurm_id: of the array.
        index: of its element.
        position: of the job in the element, where it runs several: `1234_5:1`.
        namesake: name of the array's folder, where another array has had SLURM's id before.
    """
    job_id = f"{slurm_id}_{index}" + (f":{position}" if position else "")
    return f"{job_id}@{namesake}" if namesake else job_id


def element_of(job_id: str) -> str:
    """The array's element that runs a job, in SLURM's words."""
    return job_id.partition("@")[0].partition(":")[0]


def array_of(job_id: str) -> str:
    """SLURM's id of the array that has a job."""
    return job_id.partition("_")[0]


def _split(job_id: str) -> tuple[int, int]:
    element, _, position = job_id.partition("@")[0].partition(":")
    return int(element.partition("_")[2] or 0), int(position or 0)


class Arrays:
    """Reads `<runs>/.slurm`; what was submitted never changes, so that is read once."""

    def __init__(self, runs: Path) -> None:
        self.files = SlurmDir(runs)
        self._records: dict[str, ArrayRecord] = {}

    def read(self, array: ArrayDir) -> ArrayRecord | None:
        """What an array is; None where a launcher died before it was written."""
        name = array.path.name
        if name not in self._records and array.record_file.exists():
            self._records[name] = array.read_submitted()
        record = self._records.get(name)
        return None if record is None else array.with_more(record)

    def live(self) -> Iterator[tuple[ArrayDir, ArrayRecord]]:
        """Arrays with a job that has not said that it has ended, newest first."""
        for array, record in reversed(self._by_age()):
            tags = {job.tag for element in record.elements for job in element}
            if tags - array.marked("ended"):
                yield array, record

    def of(self, group: str) -> Iterator[tuple[ArrayDir, ArrayRecord]]:
        """All arrays of a sweep, oldest first."""
        return ((array, record) for array, record in self._by_age() if record.group == group)

    def count_elements(self, group: str) -> int:
        """Elements of a sweep that SLURM has, those between two jobs among them.

        Raises:
            LaunchError: SLURM does not answer.
        """
        names = {
            slurm_id: record.job_name
            for array, record in self.of(group)
            if (slurm_id := array.slurm_id()) is not None
        }
        entries = client.queue(list(names))
        if entries is None:
            raise LaunchError("SLURM does not answer; try again later")
        return sum(entry.job_name == names.get(entry.array_id) for entry in entries)

    def _by_age(
        self, slurm_ids: Collection[str | None] | None = None
    ) -> list[tuple[ArrayDir, ArrayRecord]]:
        """Arrays with these of SLURM's ids, or all, oldest first."""
        chosen = self.files.arrays()
        if slurm_ids is not None:
            chosen = (array for array in chosen if array.slurm_id() in slurm_ids)
        arrays = [(array, self.read(array)) for array in chosen]
        known = [(array, record) for array, record in arrays if record is not None]
        return sorted(known, key=lambda one: (one[1].submitted_unix_s, one[1].array))

    def namesake(self, array: ArrayDir, slurm_id: str) -> str:
        """What the ids of an array's jobs need to be told from an older array's of the same id.

        A controller that lost its state counts from where it was before. Empty if none had it.
        """
        first = next(iter(self._by_age([slurm_id])), None)
        return "" if first is None or first[0].path == array.path else array.path.name

    def places(self, job_ids: Iterable[str]) -> dict[str, Place]:
        """Where these jobs are; those of arrays whose files are gone are left out."""
        wanted: dict[str, list[str]] = defaultdict(list)
        for job_id in job_ids:
            wanted[array_of(job_id)].append(job_id)
        found: dict[str, Place] = {}
        for array, record in self._by_age(wanted) if wanted else ():
            slurm_id = array.slurm_id() or ""
            for job_id in wanted[slurm_id]:
                namesake = job_id.partition("@")[2]
                if namesake != record.array if namesake else job_id in found:
                    continue
                index, position = _split(job_id)
                with contextlib.suppress(IndexError):
                    job = record.elements[index][position]
                    found[job_id] = Place(array, record, slurm_id, index, job)
        return found

    def entries(self, places: Mapping[str, Place]) -> dict[str, client.QueueEntry] | None:
        """What SLURM says of elements, by the job's id; None when it does not answer."""
        entries = client.queue(sorted({place.slurm_id for place in places.values()}))
        if entries is None:
            return None
        queued = {entry.name: entry for entry in entries}
        return {
            job_id: entry
            for job_id, place in places.items()
            if (entry := queued.get(place.element)) is not None and place.is_meant(entry)
        }

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
                    namesake = self.namesake(array, slurm_id)
                    found |= {
                        tag: job_id_of(slurm_id, *where, namesake) for tag, where in places.items()
                    }
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
        found: dict[tuple[str, str], None] = {}
        for array, record in self.live():
            slurm_id, ended = array.slurm_id(), array.marked("ended")
            for index, element in enumerate(record.elements):
                for job in element:
                    trains = not set(run_dirs).isdisjoint(job.run_dirs)
                    if slurm_id is not None and job.tag not in ended and trains:
                        found[f"{slurm_id}_{index}", record.job_name] = None
        entries = client.queue(list(dict.fromkeys(array_of(element) for element, _ in found)))
        if entries is None:
            return [element for element, _ in found]
        queued = {(entry.name, entry.job_name) for entry in entries}
        return [element for element, name in found if (element, name) in queued]

    def live_arrays(self, run_dirs: Collection[str]) -> list[str]:
        """Arrays with a job that trains one of these, or will; there may be thousands of them."""
        wanted = frozenset(run_dirs)
        found = []
        for array, record in self.live() if wanted else ():
            slurm_id, ended = array.slurm_id(), array.marked("ended")
            jobs = (job for element in record.elements for job in element if job.tag not in ended)
            if slurm_id is not None and any(not wanted.isdisjoint(job.run_dirs) for job in jobs):
                found.append((slurm_id, record.job_name))
        entries = client.queue([slurm_id for slurm_id, _ in found])
        if entries is None:
            return [slurm_id for slurm_id, _ in found]
        queued = {(entry.array_id, entry.job_name) for entry in entries}
        return [slurm_id for slurm_id, name in found if (slurm_id, name) in queued]

    def awaited(self, after: Iterable[str], after_any: Iterable[str]) -> list[str]:
        """What SLURM lets end before a job starts: see `Job.after` and `Job.after_any`."""
        teachers, trials = list(after), list(after_any)
        return [
            *(self.live_elements(teachers) if teachers else ()),
            *(self.live_arrays(trials) if trials else ()),
        ]

    def queued(self, group: str) -> list[QueuedArray]:
        """A sweep's arrays of which SLURM has elements, oldest first.

        Raises:
            LaunchError: SLURM does not answer.
        """
        known = [
            (array, record, slurm_id)
            for array, record in self.live()
            if record.group == group and (slurm_id := array.slurm_id()) is not None
        ]
        entries = client.queue(list(dict.fromkeys(slurm_id for _, _, slurm_id in known)))
        if entries is None:
            raise LaunchError("SLURM does not answer; try again later")
        by_name: dict[tuple[str, str], list[client.QueueEntry]] = defaultdict(list)
        for entry in entries:
            by_name[entry.array_id, entry.job_name].append(entry)
        return [
            QueuedArray(array, record, slurm_id, tuple(mine))
            for array, record, slurm_id in reversed(known)
            if (mine := by_name.get((slurm_id, record.job_name)))
        ]

    @contextlib.contextmanager
    def submitting(self) -> Iterator[int]:
        """Hold the lock that a running sbatch has, too."""
        handle = take_lock(self.files.submit_lock, wait=True)
        assert handle is not None
        try:
            yield handle
        finally:
            os.close(handle)
