"""The SLURM backend inside a job: what is submitted goes to this element, which is free."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from launcher.backends.base import Job
from launcher.backends.slurm.array_dir import ArrayDir
from launcher.backends.slurm.arrays import job_id_of
from launcher.backends.slurm.backend import SlurmBackend
from launcher.backends.slurm.submission import array_job
from launcher.errors import LaunchError
from launcher.resources import Resources


class ElementBackend(SlurmBackend):
    """Adds jobs to an element that has nothing left to do, instead of asking SLURM for more."""

    def __init__(self, runs: Path, array: ArrayDir, index: int) -> None:
        super().__init__(runs)
        self.array = array
        self.index = index

    def submit(self, jobs: Sequence[Job]) -> dict[str, str]:
        """Add them to the element; only its supervisor calls this, so nobody else does.

        Raises:
            LaunchError: the array's own id was never recorded.
            RunDirError: the array's files cannot be written.
        """
        slurm_id = self.array.slurm_id()
        if slurm_id is None:
            raise LaunchError(f"the job id of {self.array.path} is not known")
        first = len(self.array.read().elements[self.index])
        self.array.add_jobs(self.index, [array_job(job) for job in jobs])
        namesake = self.arrays.namesake(self.array, slurm_id)
        return {
            job.tag: job_id_of(slurm_id, self.index, first + position, namesake)
            for position, job in enumerate(jobs)
        }

    def check(self, resources: Resources) -> Sequence[str]:
        """Nothing to refuse: the allocation is there."""
        return ()
