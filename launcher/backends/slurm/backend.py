"""The SLURM backend: job arrays, whose elements look after themselves (see `supervisor`)."""

from __future__ import annotations

import functools
import getpass
import os
import shutil
import sys
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from launcher.backends.base import Capacity, Check, Job, JobReport, Peers, no_peers
from launcher.backends.slurm import client, steering, throttling
from launcher.backends.slurm.arrays import Arrays, Place, array_of, element_of
from launcher.backends.slurm.checks import (
    TEST_PATIENCE_S,
    check_runs_folder,
    refuse_by_sbatch,
    refuse_longer_than_qos,
    warnings,
)
from launcher.backends.slurm.feasibility import refuse_impossible, smallest_node
from launcher.backends.slurm.forecast import arrays_text, has_idle_nodes, start_text
from launcher.backends.slurm.job_states import read_marks, report_of, scheduler_report
from launcher.backends.slurm.partitions import read_partitions
from launcher.backends.slurm.site_defaults import with_site_defaults, with_variables
from launcher.backends.slurm.submission import Submitter, record_of
from launcher.backends.slurm.unstarted import Ends
from launcher.errors import LaunchError
from launcher.job_size import JobSize, scheduled_size
from launcher.resources import Resources

TRAINER = (sys.executable, "-P", "-m", "deit_core")
"""Command line of one rank; the run directories are appended."""


class SlurmBackend:
    """Runs jobs on a cluster that shares the runs folder with this machine."""

    name = "slurm"

    def __init__(self, runs: Path, *, command: Sequence[str] | None = None) -> None:
        self.peers: Peers = no_peers
        self.runs = runs.resolve()
        self.arrays = Arrays(self.runs)
        self.submitter = Submitter(self.arrays, tuple(TRAINER if command is None else command))
        self._ends = Ends(self.runs)

    # jobs --------------------------------------------------------------------------------------

    def submit(self, jobs: Sequence[Job]) -> dict[str, str]:
        """Submit jobs in as few arrays as the cluster's limits allow.

        Raises:
            LaunchError: SLURM does not answer, or refuses.
            RunDirError: the runs folder cannot be written.
        """
        client.require_slurm()
        ids = dict(self.find([job.tag for job in jobs]))
        return ids | self.submitter.submit([job for job in jobs if job.tag not in ids])

    def find(self, tags: Collection[str]) -> Mapping[str, str]:
        """The ids of live jobs by their tags.

        Raises:
            LaunchError: whether an array was submitted cannot be told, as SLURM does not answer.
        """
        found = self.arrays.find(tags)
        reports = self.states(found.values())
        ended = {job_id for job_id, report in reports.items() if report.state == "ended"}
        return {tag: job_id for tag, job_id in found.items() if job_id not in ended}

    def states(self, job_ids: Collection[str]) -> Mapping[str, JobReport]:
        """What SLURM and the jobs themselves say; nothing of those about which nobody knows."""
        places = self.arrays.places(job_ids)
        marks = read_marks(places.values())
        reports = {
            job_id: JobReport("ended")
            for job_id, place in places.items()
            if place.job.tag in marks[place.array.path].ended
        }
        # Also those of which the files are gone: SLURM may still have them.
        asked = [job_id for job_id in job_ids if job_id not in reports]
        entries = client.queue(sorted(set(map(array_of, asked))))
        if entries is None:
            return reports
        queued = {entry.name: entry for entry in entries}
        gone: dict[str, Place] = {}
        for job_id in asked:
            entry, place = queued.get(element_of(job_id)), places.get(job_id)
            if place is None:
                reports[job_id] = scheduler_report(entry)
            elif entry is not None and place.is_meant(entry):
                reports[job_id] = report_of(place, entry, marks[place.array.path])
            elif self._would_be_seen(place):
                gone[job_id] = place
        reports |= dict.fromkeys(gone, JobReport("ended"))
        for job_id, unstarted in self._ends.unstarted(gone).items():
            reports[job_id] = JobReport("ended", unstarted=unstarted)
        return reports

    def _would_be_seen(self, place: Place) -> bool:
        """Whether this cluster's queue would show the job to this user if it had it."""
        record = place.record
        is_shown = record.submitted_by in ("", getpass.getuser()) or self._sees_others
        return is_shown and record.cluster in ("", self._cluster)

    @functools.cached_property
    def _sees_others(self) -> bool:
        return client.shows_jobs_of_others()

    @functools.cached_property
    def _cluster(self) -> str | None:
        return client.cluster_name()

    def describe(self, job_ids: Collection[str]) -> Mapping[str, str]:
        """How jobs ended, as sacct says it; nothing without accounting."""
        said = self._ends.describe([element_of(job_id) for job_id in job_ids])
        known = {job_id: said.get(element_of(job_id)) for job_id in job_ids}
        return {job_id: words for job_id, words in known.items() if words is not None}

    def log_before_start(self, job_id: str) -> Path | None:
        """What its batch script and its supervisor said."""
        place = self.arrays.places([job_id]).get(job_id)
        return None if place is None else place.array.log(place.index)

    def require_answer(self) -> None:
        """Refuse to leave requests that SLURM is not told of. Raises LaunchError."""
        client.require_answer()

    def cancel(self, job_ids: Collection[str]) -> None:
        """Take out those that wait, and ask those that run to save and end."""
        steering.cancel(self.arrays, self.arrays.places(job_ids))

    def hold(self, job_ids: Collection[str]) -> None:
        """Keep jobs from running until they are released; one that runs saves and waits again."""
        steering.hold(self.arrays, self.arrays.places(job_ids))

    def release(self, job_ids: Collection[str]) -> None:
        """Let held jobs run again.

        Raises:
            LaunchError: SLURM does not answer, or refuses.
        """
        steering.release(self.arrays, self.arrays.places(job_ids))

    def throttle(self, group: str, most: int | None) -> None:
        """Let at most so many jobs of a sweep run at once from now on.

        Raises:
            LaunchError: SLURM refuses, or does not answer.
        """
        throttling.throttle(self.arrays, group, most)

    # the machine -------------------------------------------------------------------------------

    def settle(self, resources: Resources) -> Resources:
        """Resources with the partition, account and so on of sbatch's own variables."""
        return with_site_defaults(resources)

    def check(self, resources: Resources) -> Sequence[str]:
        """Refuse what the cluster would never run.

        Raises:
            LaunchError: names what is wrong and what is valid.
        """
        runs = self.runs
        check_runs_folder(runs)
        if shutil.which("scontrol") is None:  # in a job, on a site that has it on login nodes only:
            client.require_slurm()  # what is submitted again from there was checked before
            return warnings(runs)
        try:
            self._refuse(resources)
        except LaunchError as error:
            raise LaunchError(with_variables(str(error), resources)) from None
        return warnings(runs)

    def _refuse(self, resources: Resources) -> None:
        """Refuse what the cluster would never run. Raises LaunchError."""
        partitions = read_partitions()
        size = scheduled_size(resources, smallest_node(partitions, resources))
        refuse_impossible(resources, size, partitions)
        refuse_longer_than_qos(resources, partitions)
        refuse_by_sbatch(self._test(_sample(resources, size)), resources, partitions)

    def node(self, resources: Resources) -> Capacity | None:
        """The smallest node with GPUs that a job may get; the smallest of all without GPUs.

        None where nobody answers: whether that matters is for `check` to say.
        """
        try:
            return smallest_node(read_partitions(), resources)
        except LaunchError:
            return None

    def forecast(self, jobs: Sequence[Job]) -> list[str]:
        """How many arrays the jobs become, and when SLURM expects the first of them to start."""
        if not jobs:
            return []
        first = jobs[0]
        try:
            room = self.submitter.room(first)
            partitions = read_partitions()
        except LaunchError as error:
            return [f"SLURM: {error}"]
        arrays = arrays_text(jobs, self.submitter.limits(first.resources), room)
        idle = has_idle_nodes(first, partitions) and first.resources.constraint is None
        return [arrays, start_text(self._test(first), now=datetime.now(), idle=idle)]

    def _test(self, job: Job) -> client.Answer:
        """What sbatch says about an array of this job; nothing is submitted or written."""
        from launcher.backends.slurm.script import batch_script

        record = record_of([(job,)], self.submitter.command)
        array = self.arrays.files.array(record.array)
        script = batch_script(record, array, throttle=None, cwd=os.getcwd())
        test = ("sbatch", "--test-only", "--export=ALL")
        return client.act(*test, patience_s=TEST_PATIENCE_S, given=script)

    def capacity(self) -> Capacity | None:
        """Only the scheduler knows."""
        return None

    def revive(self) -> None:
        """Nothing to do: the scheduler moves its queue."""

    def checks(self, resources: Resources, *, submit: bool = False) -> list[Check]:
        """What `doctor` says about the cluster."""
        from launcher.backends.slurm.doctor import examine

        checks = examine(self.runs, resources, submit=submit)
        return [*checks, *(self._request(resources) if all(one.ok for one in checks) else ())]

    def _request(self, resources: Resources) -> list[Check]:
        """Whether SLURM would take a job of what is named, in the words that `sweep` has."""
        named = resources.model_dump(include={"partition", "account", "qos"}, exclude_none=True)
        if not named:
            return []
        try:
            # Any time and no GPU: that is the sweep's to say.
            self.check(self.settle(resources.model_copy(update={"time": None, "gpus_per_node": 0})))
        except LaunchError as error:
            return [Check("request", False, str(error))]
        asked = ", ".join(f"{name} {value}" for name, value in named.items())
        return [Check("request", True, f"a job of {asked} would be taken")]


def _sample(resources: Resources, size: JobSize) -> Job:
    """A job of this size, to be tested."""
    return Job(
        "test", (), resources=resources, processes=size.processes, cpus=size.cpus, gpus=size.gpus
    )
