"""The SLURM backend: job arrays, whose elements look after themselves (see `supervisor`).

What is submitted is written first (array.json), under a lock that the sbatch process inherits: a
launcher that dies leaves either no array, or one that is found again by its name.
"""

from __future__ import annotations

import contextlib
import functools
import getpass
import os
import secrets
import sys
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from launcher.backends.base import Capacity, Check, Job, JobReport, Peers, no_peers
from launcher.backends.slurm import client
from launcher.backends.slurm.array_dir import ArrayDir, ArrayJob, ArrayRecord, SlurmDir
from launcher.backends.slurm.checks import (
    TEST_PATIENCE_S,
    check_runs_folder,
    refuse_by_sbatch,
    refuse_longer_than_qos,
    warnings,
)
from launcher.backends.slurm.feasibility import refuse_impossible, smallest_node
from launcher.backends.slurm.forecast import arrays_text, start_text
from launcher.backends.slurm.limits import Limits, into_arrays, into_elements, read_limits, shares
from launcher.backends.slurm.partitions import read_partitions
from launcher.backends.slurm.site_defaults import with_site_defaults
from launcher.errors import LaunchError
from launcher.job_size import JobSize, scheduled_size
from launcher.locks import take_lock
from launcher.resources import Resources

TRAINER = (sys.executable, "-P", "-m", "deit_core")
"""Command line of one rank; the run directories are appended."""
LONGEST_LEAD_S = 120
"""Warning before the time limit: time to end a step, to evaluate no further, and to save."""
_HELD = ("JobHeldUser", "JobHeldAdmin", "job requeued in held state")


@dataclass(frozen=True)
class _Class:
    """Jobs of one class go into one array: they differ in nothing that SLURM is told."""

    resources: str
    mem_factor: float
    processes: int
    cpus: int
    gpus: int
    after: tuple[Path, ...]
    group: str
    code: Path | None
    max_parallel: int | None


@dataclass(frozen=True)
class _Place:
    """Where a job id points to."""

    array: ArrayDir
    slurm_id: str
    index: int
    job: ArrayJob

    @property
    def element(self) -> str:
        return f"{self.slurm_id}_{self.index}"


class SlurmBackend:
    """Runs jobs on a cluster that shares the runs folder with this machine."""

    name = "slurm"

    def __init__(self, runs: Path, *, command: Sequence[str] = TRAINER) -> None:
        self.peers: Peers = no_peers
        self.files = SlurmDir(runs.resolve())
        self.command = tuple(command)
        self._records: dict[str, ArrayRecord] = {}

    # submitting --------------------------------------------------------------------------------

    def submit(self, jobs: Sequence[Job]) -> dict[str, str]:
        """Submit jobs in as few arrays as the cluster's limits allow.

        Raises:
            LaunchError: SLURM does not answer, or refuses.
            RunDirError: the runs folder cannot be written.
        """
        client.require_slurm()
        ids = dict(self.find([job.tag for job in jobs]))
        classes: dict[_Class, list[Job]] = defaultdict(list)
        for job in jobs:
            if job.tag not in ids:
                classes[_class_of(job)].append(job)
        for members in sorted(classes.values(), key=lambda members: len(members[0].after)):
            ids |= self._submit_class(members, room_for=len(classes))
        return ids

    def _submit_class(self, jobs: Sequence[Job], *, room_for: int) -> dict[str, str]:
        first = jobs[0]
        limits = self._limits(first.resources)
        elements = into_elements(jobs, self._room(limits, first.resources, room_for))
        parts = into_arrays(elements, limits.array_size)
        throttles = shares(first.max_parallel, [len(part) for part in parts])
        ids: dict[str, str] = {}
        earlier: list[str] = []
        for part, throttle in zip(parts, throttles, strict=True):
            surplus = first.max_parallel is not None and len(earlier) >= first.max_parallel
            waits = [earlier[-first.max_parallel]] if surplus and first.max_parallel else []
            slurm_id = self._submit_array(part, throttle, waits, ids)
            earlier.append(slurm_id)
        return ids

    @functools.cached_property
    def _limits_of(self) -> dict[tuple[str | None, str | None], Limits]:
        return {}

    def _limits(self, resources: Resources) -> Limits:
        resources = with_site_defaults(resources)
        key = (resources.qos, resources.account)
        if key not in self._limits_of:
            self._limits_of[key] = read_limits(qos=resources.qos, account=resources.account)
        return self._limits_of[key]

    def _room(self, limits: Limits, resources: Resources, classes: int) -> int | None:
        """Elements that may still be queued; an equal share where several classes need some."""
        if limits.submit is None:
            return None
        queued = client.count_queued(qos=resources.qos)
        return max(1, (limits.submit - queued) // classes)

    def _submit_array(
        self,
        elements: Sequence[tuple[Job, ...]],
        throttle: int | None,
        waits: Sequence[str],
        ids: dict[str, str],
    ) -> str:
        from launcher.backends.slurm.script import batch_script, sbatch_command

        name = secrets.token_hex(4)
        array = self.files.array(name)
        cluster = self._limits(elements[0][0].resources).cluster
        record = _record(name, elements, self.command).model_copy(update={"cluster": cluster})
        script = batch_script(record, array, throttle=throttle, cwd=os.getcwd())
        with self._submitting() as lock:
            array.create(record, script)
            options = self._dependency(elements[0][0], waits)
            answer = client.ask(*sbatch_command(array.script, options), pass_fds=(lock,))
            if not answer.ok:
                raise LaunchError(f"sbatch refuses the jobs: {answer.error}")
            slurm_id = answer.out.strip().partition(";")[0]
            array.note_id(slurm_id)
        for index, members in enumerate(elements):
            for place, job in enumerate(members):
                ids[job.tag] = _job_id(slurm_id, index, place)
        return slurm_id

    def _dependency(self, job: Job, waits: Sequence[str]) -> list[str]:
        """Students start once their teacher's job has ended, however: files say how it went."""
        teachers = {str(path) for path in job.after}
        live = [] if not teachers else self._elements_of(teachers)
        wanted = [*live, *waits]
        return [f"--dependency=afterany:{':'.join(wanted)}"] if wanted else []

    def _elements_of(self, run_dirs: set[str]) -> list[str]:
        """Live array elements that train one of these."""
        found = []
        for array, record in self._live_arrays():
            ended = array.marked("ended")
            slurm_id = array.slurm_id()
            for index, element in enumerate(record.elements):
                for job in element:
                    if slurm_id and job.tag not in ended and run_dirs.intersection(job.run_dirs):
                        found.append(f"{slurm_id}_{index}")
        entries = client.queue([element.partition("_")[0] for element in found])
        distinct = list(dict.fromkeys(found))
        if entries is None:
            return distinct
        queued = {entry.name for entry in entries}
        return [element for element in distinct if element in queued]

    @contextlib.contextmanager
    def _submitting(self) -> Iterator[int]:
        """Hold the lock that a running sbatch has, too."""
        handle = take_lock(self.files.submit_lock, wait=True)
        assert handle is not None
        try:
            yield handle
        finally:
            os.close(handle)

    # looking -----------------------------------------------------------------------------------

    def find(self, tags: Collection[str]) -> Mapping[str, str]:
        """The ids of live jobs by their tags.

        Raises:
            LaunchError: whether an array was submitted cannot be told, as SLURM does not answer.
        """
        wanted = set(tags)
        if not wanted or not self.files.path.is_dir():
            return {}
        found: dict[str, str] = {}
        with self._submitting():  # waits for an sbatch that its dead launcher has left behind
            for array, record in self._live_arrays():
                places = {
                    job.tag: (index, place)
                    for index, element in enumerate(record.elements)
                    for place, job in enumerate(element)
                    if job.tag in wanted
                }
                slurm_id = self._known_as(array, record) if places else None
                if slurm_id is not None:
                    found |= {tag: _job_id(slurm_id, *where) for tag, where in places.items()}
        reports = self.states(found.values())
        ended = {job_id for job_id, report in reports.items() if report.state == "ended"}
        return {tag: job_id for tag, job_id in found.items() if job_id not in ended}

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

    def states(self, job_ids: Collection[str]) -> Mapping[str, JobReport]:
        """What SLURM and the jobs themselves say; nothing of those about which nobody knows."""
        places = self._places(job_ids)
        by_array: dict[str, set[str]] = {}
        reports: dict[str, JobReport] = {}
        for job_id, place in places.items():
            if place.slurm_id not in by_array:
                by_array[place.slurm_id] = place.array.marked("ended")
            if place.job.tag in by_array[place.slurm_id]:
                reports[job_id] = JobReport("ended")
        # Also those of which the files are gone: SLURM may still have them.
        asked = {job_id: job_id.partition(":")[0] for job_id in job_ids if job_id not in reports}
        entries = client.queue(sorted({name.partition("_")[0] for name in asked.values()}))
        if entries is None:
            return reports
        queued = {entry.name: entry for entry in entries}
        for job_id, name in asked.items():
            entry = queued.get(name)
            if entry is not None:
                reports[job_id] = _report(entry)
            elif job_id not in places or self._is_of_this_cluster(places[job_id].array):
                reports[job_id] = JobReport("ended")
        return reports

    def _is_of_this_cluster(self, array: ArrayDir) -> bool:
        """Whether the cluster that answers is the one that an array was submitted to."""
        record = self._read(array)
        return record is None or record.cluster in ("", self._cluster)

    @functools.cached_property
    def _cluster(self) -> str | None:
        return client.cluster_name()

    def _places(self, job_ids: Iterable[str]) -> dict[str, _Place]:
        """Where these ids point to; ids of arrays whose files are gone point nowhere."""
        by_array: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
        for job_id in job_ids:
            number, index, place = _split(job_id)
            by_array[number].append((job_id, index, place))
        found = {}
        if not by_array:
            return {}
        for array in self.files.arrays():
            slurm_id = array.slurm_id()
            if slurm_id is None or slurm_id not in by_array:
                continue
            record = self._read(array)
            if record is None:
                continue
            for job_id, index, position in by_array[slurm_id]:
                with contextlib.suppress(IndexError):
                    job = record.elements[index][position]
                    found[job_id] = _Place(array, slurm_id, index, job)
        return found

    def _live_arrays(self) -> Iterator[tuple[ArrayDir, ArrayRecord]]:
        """Arrays with a job that has not said that it has ended, newest first."""
        arrays = [(array, self._read(array)) for array in self.files.arrays()]
        known = [(array, record) for array, record in arrays if record is not None]
        for array, record in sorted(known, key=lambda one: -one[1].submitted_unix_s):
            tags = {job.tag for element in record.elements for job in element}
            if tags - array.marked("ended"):
                yield array, record

    def _read(self, array: ArrayDir) -> ArrayRecord | None:
        """array.json; None where a launcher died before it was written."""
        name = array.path.name
        if name not in self._records and array.record_file.exists():
            self._records[name] = array.read()
        return self._records.get(name)

    # steering ----------------------------------------------------------------------------------

    def cancel(self, job_id: str) -> None:
        """Leave a request for the element, and wake it; one that waits is taken out."""
        for place in self._places([job_id]).values():
            place.array.mark("cancel", place.job.tag)
            report = self.states([job_id]).get(job_id)
            if report is not None and report.state == "queued" and self._is_alone(place):
                client.ask("scancel", place.element)
            elif report is not None and report.state == "running":
                client.ask("scancel", "--signal=TERM", place.element)

    def _is_alone(self, place: _Place) -> bool:
        record = self._read(place.array)
        return record is not None and len(record.elements[place.index]) == 1

    def hold(self, job_ids: Collection[str]) -> None:
        """Leave a request for the elements; those that wait are held by SLURM, too."""
        reports = self.states(job_ids)
        for job_id, place in self._places(job_ids).items():
            place.array.mark("hold", place.job.tag)
            state = reports[job_id].state if job_id in reports else None
            if state == "queued" and self._is_alone(place):
                client.ask("scontrol", "hold", place.element)
            elif state == "running":
                client.ask("scancel", "--signal=TERM", place.element)

    def release(self, job_ids: Collection[str]) -> None:
        """Take the requests back."""
        for place in self._places(job_ids).values():
            place.array.unmark("hold", place.job.tag)
            client.ask("scontrol", "release", place.element)

    def throttle(self, group: str, most: int | None) -> None:
        """Set the throttle of the sweep's arrays, each by its share of what has not ended.

        Raises:
            LaunchError: SLURM refuses, or does not answer.
        """
        arrays = [
            (array.slurm_id(), sum(map(len, record.elements)) - len(array.marked("ended")))
            for array, record in self._live_arrays()
            if record.group == group
        ]
        known = [(slurm_id, size) for slurm_id, size in arrays if slurm_id is not None]
        entries = client.queue([slurm_id for slurm_id, _ in known])
        if entries is None:
            raise LaunchError("SLURM does not answer; try again later")
        queued = {entry.array_id for entry in entries}
        known = [(slurm_id, size) for slurm_id, size in known if slurm_id in queued]
        for (slurm_id, _), share in zip(known, shares(most, [s for _, s in known]), strict=True):
            change = f"ArrayTaskThrottle={share or 0}"
            answer = client.ask("scontrol", "update", f"JobId={slurm_id}", change)
            if not answer.ok:
                raise LaunchError(f"SLURM refuses to throttle array {slurm_id}: {answer.error}")

    # the machine -------------------------------------------------------------------------------

    def check(self, resources: Resources) -> Sequence[str]:
        """Refuse what the cluster would never run.

        Raises:
            LaunchError: names what is wrong and what is valid.
        """
        runs = self.files.path.parent
        check_runs_folder(runs)
        resources = with_site_defaults(resources)
        partitions = read_partitions()
        size = scheduled_size(resources, smallest_node(partitions, resources))
        refuse_impossible(resources, size, partitions)
        refuse_longer_than_qos(resources, partitions)
        refuse_by_sbatch(self._test(_sample(resources, size)), resources, partitions)
        return warnings(runs)

    def node(self, resources: Resources) -> Capacity | None:
        """The smallest node with GPUs that a job may get; the smallest of all without GPUs."""
        return smallest_node(read_partitions(), with_site_defaults(resources))

    def forecast(self, jobs: Sequence[Job]) -> list[str]:
        """How many arrays the jobs become, and when SLURM expects the first of them to start."""
        if not jobs:
            return []
        first = jobs[0]
        limits = self._limits(first.resources)
        arrays = arrays_text(jobs, limits, self._room(limits, first.resources, 1))
        return [arrays, start_text(self._test(first), now=datetime.now())]

    def _test(self, job: Job) -> client.Answer:
        """What sbatch says about an array of this job; nothing is submitted or written."""
        from launcher.backends.slurm.script import batch_script

        record = _record("test", [(job,)], self.command)
        script = batch_script(record, self.files.array("test"), throttle=None, cwd=os.getcwd())
        test = ("sbatch", "--test-only", "--export=ALL")
        return client.ask(*test, patience_s=TEST_PATIENCE_S, given=script)

    def capacity(self) -> Capacity | None:
        """Only the scheduler knows."""
        return None

    def revive(self) -> None:
        """Nothing to do: the scheduler moves its queue."""

    def checks(self, resources: Resources, *, submit: bool = False) -> list[Check]:
        """What `doctor` says about the cluster."""
        from launcher.backends.slurm.doctor import examine

        return examine(self.files.path.parent, resources, submit=submit)


def _sample(resources: Resources, size: JobSize) -> Job:
    """A job of this size, to be tested."""
    return Job(
        "test", (), resources=resources, processes=size.processes, cpus=size.cpus, gpus=size.gpus
    )


def _class_of(job: Job) -> _Class:
    return _Class(
        job.resources.model_dump_json(),
        job.mem_factor,
        job.processes,
        job.cpus,
        job.gpus,
        job.after,
        job.group,
        job.code,
        job.max_parallel,
    )


def _record(
    name: str, elements: Sequence[tuple[Job, ...]], command: tuple[str, ...]
) -> ArrayRecord:
    first = elements[0][0]
    resources = with_site_defaults(first.resources)
    nodes = resources.nodes
    limit_s = resources.time_s
    return ArrayRecord(
        array=name,
        group=first.group,
        job_name=f"{first.group or 'deit'}.{name}",
        elements=tuple(
            tuple(
                ArrayJob(
                    tag=job.tag,
                    run_dirs=tuple(str(path) for path in job.run_dirs),
                    after=tuple(str(path) for path in job.after),
                )
                for job in members
            )
            for members in elements
        ),
        resources=resources,
        mem_factor=first.mem_factor,
        processes=first.processes,
        cpus_per_task=max(1, first.cpus // first.processes),
        gpus_per_node=first.gpus // nodes,
        signal_lead_s=LONGEST_LEAD_S if limit_s is None else min(LONGEST_LEAD_S, limit_s // 4),
        command=command,
        code=None if first.code is None else str(first.code),
        submitted_by=getpass.getuser(),
        submitted_unix_s=time.time(),
    )


def _report(entry: client.QueueEntry) -> JobReport:
    reason = "" if entry.reason in ("None", "") else f" ({entry.reason})"
    if entry.state in client.PENDING:
        held = entry.reason in _HELD
        return JobReport("queued", f"{entry.state}{reason}", held=held)
    return JobReport("running", f"{entry.state} on {entry.nodes}{reason}")


def _job_id(slurm_id: str, index: int, place: int) -> str:
    """As SLURM writes it, `1234_5`; with a place where an element runs several jobs."""
    return f"{slurm_id}_{index}" + (f":{place}" if place else "")


def _split(job_id: str) -> tuple[str, int, int]:
    element, _, place = job_id.partition(":")
    slurm_id, _, index = element.partition("_")
    return slurm_id, int(index or 0), int(place or 0)
