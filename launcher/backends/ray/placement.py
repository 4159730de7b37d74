"""What a job asks of a Ray cluster, and whether there is such a place. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from launcher.backends.job_queue import QueuedJob
from launcher.text import count

Bundle = Mapping[str, float]
"""What one node is asked for, by the names of Ray's resources; memory is in bytes."""


def bundles(job: QueuedJob, mem_factor: float = 1.0) -> list[dict[str, float]]:
    """What each node of a job is asked for, as Ray's placement groups take it.

    Args:
        job: the job.
        mem_factor: by how much more memory it needs by now than it was submitted with.
    """
    one: dict[str, float] = {"CPU": float(max(1, job.cpus // job.nodes))}
    if job.gpus:
        one["GPU"] = float(job.gpus // job.nodes)
    if job.mem_gb is not None:
        one["memory"] = job.mem_gb * mem_factor * 1e9
    return [one] * job.nodes


def why_it_waits(asked: Sequence[Bundle], nodes: Sequence[Mapping[str, Any]]) -> str:
    """Why a job has no place yet, in words.

    Args:
        asked: a bundle for each of its nodes.
        nodes: those of the cluster, as `ray.nodes()` says them.
    """
    one = asked[0]
    living = [node["Resources"] for node in nodes if node["Alive"]]
    fit = sum(all(has.get(name, 0.0) >= least for name, least in one.items()) for has in living)
    size = ", ".join(_amount(name, value) for name, value in one.items())
    each = f"{count(len(asked), 'node')} with {size} each" if len(asked) > 1 else size
    if fit >= len(asked):
        return f"waits for its place in the Ray cluster: {each}"
    of = f"{fit} of its {count(len(living), 'node')} would do"
    return f"the Ray cluster has no place for it: {each}; {of}"


def _amount(name: str, value: float) -> str:
    return f"{value / 1e9:g} GB" if name == "memory" else f"{value:g} {name}"
