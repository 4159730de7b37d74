"""The environment of a job's processes."""

from __future__ import annotations

import os
from collections.abc import Sequence

from deit_core.rendezvous import RANK_VARIABLES
from launcher.backends.job_queue import JobQueue, QueuedJob


def job_environment(
    queue: JobQueue, job: QueuedJob, gpus: Sequence[str], threads: int
) -> dict[str, str]:
    """What the submitter had, not what the runner has; and this job's share of the machine.

    Where the submitter's environment cannot be read, this process's stands in.

    Args:
        queue: keeps the submitter's environment.
        job: what will run.
        gpus: names of the GPUs that it may use, as CUDA_VISIBLE_DEVICES takes them.
        threads: how many each process may use.
    """
    kept = queue.read_environment(job.environment)
    given = os.environ if kept is None else kept
    return {
        **{name: value for name, value in given.items() if name not in RANK_VARIABLES},
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "CUDA_VISIBLE_DEVICES": ",".join(gpus),
        "PYTHONUNBUFFERED": "1",
        **({} if job.code is None else {"PYTHONPATH": job.code}),
    }
