"""What would come of a plan's jobs if they were submitted now; nothing is changed."""

from __future__ import annotations

from pathlib import Path

from launcher.backends.base import Backend, Job
from launcher.plan import Plan
from launcher.resources import Resources


def forecast_lines(plan: Plan, resources: Resources, backend: Backend) -> list[str]:
    """What the backend says of them, for people; nothing where it cannot know."""
    settled = backend.settle(resources)
    jobs = [
        Job(
            tag=str(number),
            run_dirs=(),
            after=tuple(Path(trial_id) for trial_id in job.after),
            processes=job.processes,
            cpus=job.cpus,
            gpus=job.gpus,
            resources=settled,
            group=plan.sweep,
            max_parallel=resources.max_parallel,
        )
        for number, job in enumerate(plan.jobs)
    ]
    return backend.forecast(jobs)
