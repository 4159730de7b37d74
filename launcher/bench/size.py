"""The job that measures: one process, one GPU at most, and as much of a machine as can be had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from launcher.backends.base import Backend
from launcher.expand import Trial
from launcher.job_size import JobSize, job_size
from launcher.resources import Resources


def alone_on_a_node(resources: Resources) -> Resources:
    """What the job asks for: what a trial does, in one process on a node of its own."""
    gpus = resources.gpus_per_node
    update = {
        "nodes": 1,
        "tasks_per_node": 1,
        "gpus_per_node": None if gpus is None else min(1, gpus),
        "sbatch": {"exclusive": True, **resources.sbatch},
    }
    return resources.model_copy(update=update)


def bench_size(resources: Resources, backend: Backend, trials: Sequence[Trial]) -> JobSize:
    """All cores of this machine, or of a node as far as it is known, so that nothing runs beside.

    Args:
        resources: of the job, see `alone_on_a_node`.
        backend: where it runs.
        trials: whose models are measured.

    Raises:
        LaunchError: they need a GPU, and there is none.
    """
    capacity, node = backend.capacity(), backend.node(resources)
    size = job_size(resources, capacity, trials, node)
    whole = capacity or node
    cpus = size.cpus if whole is None else max(size.cpus, whole.cpus)
    return replace(size, cpus=cpus, notes=())
