"""From jobs to arrays to sbatch.

What is submitted is written first (array.json), under a lock that the sbatch process inherits: a
launcher that dies leaves either no array, or one that is found again by its name.
"""

from __future__ import annotations

import getpass
import os
import secrets
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from launcher.backends.base import Job
from launcher.backends.slurm import client
from launcher.backends.slurm.array_dir import ArrayDir, ArrayJob, ArrayRecord
from launcher.backends.slurm.arrays import Arrays, job_id_of
from launcher.backends.slurm.limits import Limits, into_arrays, into_elements, read_limits, shares
from launcher.backends.slurm.throttling import room_of
from launcher.errors import LaunchError
from launcher.resources import Resources

LONGEST_LEAD_S = 120
"""Warning before the time limit: time to end a step, to evaluate no further, and to save."""
UNKNOWN_LIMIT_LEAD_S = 60
"""The same where the partition's default is the limit: that may be short."""

Element = tuple[Job, ...]


@dataclass(frozen=True)
class _Class:
    """Jobs of one class go into one array: they differ in nothing that SLURM is told."""

    resources: str
    avoid: tuple[str, ...]
    mem_factor: float
    processes: int
    cpus: int
    gpus: int
    after: tuple[Path, ...]
    after_any: tuple[Path, ...]
    group: str
    code: Path | None
    max_parallel: int | None

    @classmethod
    def of(cls, job: Job) -> _Class:
        return cls(
            job.resources.model_dump_json(),
            job.avoid,
            job.mem_factor,
            job.processes,
            job.cpus,
            job.gpus,
            job.after,
            job.after_any,
            job.group,
            job.code,
            job.max_parallel,
        )


class Submitter:
    """Submits jobs in as few arrays as the cluster's limits allow."""

    def __init__(self, arrays: Arrays, command: tuple[str, ...]) -> None:
        self.arrays = arrays
        self.command = command
        self._limits: dict[tuple[str | None, ...], Limits] = {}

    def limits(self, resources: Resources) -> Limits:
        """What this user may submit; asked once."""
        key = (resources.qos, resources.account, resources.partition)
        if key not in self._limits:
            self._limits[key] = read_limits(resources)
        return self._limits[key]

    def room(self, job: Job, classes: int = 1) -> int | None:
        """Elements that may still be queued; an equal share where several classes need some.

        Raises:
            LaunchError: none, as other jobs of the user take all that a limit allows.
        """
        room = self.limits(job.resources).room(job.group)
        return None if room is None else max(1, room // classes)

    def submit(self, jobs: Sequence[Job]) -> dict[str, str]:
        """Submit them, teachers first; returns their ids by tag.

        Raises:
            LaunchError: sbatch refuses. Arrays that it has taken before stay.
            RunDirError: the runs folder cannot be written.
        """
        classes: dict[_Class, list[Job]] = defaultdict(list)
        for job in jobs:
            classes[_Class.of(job)].append(job)
        ids: dict[str, str] = {}
        for members in sorted(classes.values(), key=lambda members: len(members[0].after)):
            ids |= self._submit_class(members, len(classes))
        return ids

    def _submit_class(self, jobs: Sequence[Job], classes: int) -> dict[str, str]:
        first = jobs[0]
        elements = into_elements(jobs, self.room(first, classes))
        parts = into_arrays(elements, self.limits(first.resources).array_size)
        room = room_of(self.arrays, first.group, first.max_parallel)
        most = room.most
        throttles = shares(most, [len(part) for part in parts])
        ids: dict[str, str] = {}
        earlier: list[str] = []
        for part, throttle in zip(parts, throttles, strict=True):
            # Each array runs one element at least, so those beyond `most` wait for another array.
            beyond = [earlier[-most]] if most is not None and len(earlier) >= most else []
            array, slurm_id = self._submit_array(part, throttle, [*room.waits, *beyond])
            earlier.append(slurm_id)
            namesake = self.arrays.namesake(array, slurm_id)
            for index, members in enumerate(part):
                for position, job in enumerate(members):
                    ids[job.tag] = job_id_of(slurm_id, index, position, namesake)
        return ids

    def _submit_array(
        self, elements: Sequence[Element], throttle: int | None, waits: Sequence[str]
    ) -> tuple[ArrayDir, str]:
        first = elements[0][0]
        record = record_of(elements, self.command, cluster=self.limits(first.resources).cluster)
        options = self._dependency(first, waits)
        answer = self._sbatch(record, throttle, options)
        if not answer.ok and record.avoid:  # without those nodes there may be too few
            record = record.model_copy(update={"avoid": ()})
            answer = self._sbatch(record, throttle, options)
        if not answer.ok:
            raise LaunchError(f"sbatch refuses the jobs: {answer.error}")
        return self.arrays.files.array(record.array), _id_in(answer)

    def _sbatch(
        self, record: ArrayRecord, throttle: int | None, options: Sequence[str]
    ) -> client.Answer:
        from launcher.backends.slurm.script import batch_script, sbatch_command

        array = self.arrays.files.array(record.array)
        script = batch_script(record, array, throttle=throttle, cwd=os.getcwd())
        with self.arrays.submitting() as lock:
            array.create(record, script)
            answer = client.act(*sbatch_command(array.script, options), pass_fds=(lock,))
            if answer.ok:
                array.note_id(_id_in(answer))
        return answer

    def _dependency(self, job: Job, waits: Sequence[str]) -> list[str]:
        """Students start once their teacher's job has ended, however: files say how it went."""
        wanted = [*self.arrays.awaited(map(str, job.after), map(str, job.after_any)), *waits]
        return [f"--dependency=afterany:{':'.join(wanted)}"] if wanted else []


def record_of(
    elements: Sequence[Element], command: tuple[str, ...], *, cluster: str = ""
) -> ArrayRecord:
    """What an array of these elements is, under a name of its own."""
    first = elements[0][0]
    name = secrets.token_hex(4)
    resources = first.resources
    limit_s = resources.time_s
    return ArrayRecord(
        array=name,
        group=first.group,
        job_name=f"{first.group or 'deit'}.{name}",
        cluster=cluster,
        elements=tuple(tuple(map(array_job, members)) for members in elements),
        resources=resources,
        avoid=first.avoid,
        mem_factor=first.mem_factor,
        processes=first.processes,
        cpus_per_task=max(1, first.cpus // first.processes),
        gpus_per_node=first.gpus // resources.nodes,
        signal_lead_s=UNKNOWN_LIMIT_LEAD_S
        if limit_s is None
        else min(LONGEST_LEAD_S, limit_s // 4),
        command=command,
        code=None if first.code is None else str(first.code),
        submitted_by=getpass.getuser(),
        submitted_unix_s=time.time(),
    )


def _id_in(answer: client.Answer) -> str:
    """The array's id in what `sbatch --parsable` prints: the id, and perhaps the cluster."""
    return answer.out.strip().partition(";")[0]


def array_job(job: Job) -> ArrayJob:
    """What an element needs to know of a job."""
    return ArrayJob(
        tag=job.tag,
        run_dirs=tuple(str(path) for path in job.run_dirs),
        after=tuple(str(path) for path in job.after),
        after_any=tuple(str(path) for path in job.after_any),
    )
