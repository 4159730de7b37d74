"""What would come of submitting now: how many arrays, and when SLURM expects the first to start."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from launcher.backends.base import Job
from launcher.backends.slurm.checks import refusal
from launcher.backends.slurm.client import Answer
from launcher.backends.slurm.limits import Limits, into_arrays, into_elements
from launcher.backends.slurm.partitions import Partition, chosen
from launcher.text import count, duration

_START = re.compile(r"to start at (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)")
_SOON_S = 90
"""What starts within one round of the scheduler starts now."""


def arrays_text(jobs: Sequence[Job], limits: Limits, room: int | None) -> str:
    """The arrays that jobs of one kind become, and the limits that shaped them.

    Args:
        jobs: those to submit.
        limits: of the cluster.
        room: elements that may be queued; None: no limit.
    """
    # Students that wait for different teachers go into arrays of their own.
    classes = Counter(job.after for job in jobs)
    share = None if room is None else max(1, room // len(classes))
    elements = [len(into_elements(range(amount), share)) for amount in classes.values()]
    sizes = [
        len(part) for amount in elements for part in into_arrays(range(amount), limits.array_size)
    ]
    text = f"SLURM: {count(len(sizes), 'array')} of {_sizes(sizes)}"
    if len(sizes) > len(classes):
        text += f"; one array takes {limits.array_size:,} (MaxArraySize)"
    if sum(elements) < len(jobs) and room is not None:
        each = -(-len(jobs) // sum(elements))
        text += (
            f"; {room:,} may still be queued (limit of your account, qos or the cluster: "
            f"{limits.submit:,}), so an element runs up to {each} jobs, one after the other"
        )
    return text


def _sizes(sizes: Sequence[int]) -> str:
    amounts = sorted(Counter(sizes).items(), reverse=True)
    if len(amounts) == 1:
        return count(sizes[0], "element")
    parts = [f"{size:,}" if number == 1 else f"{number:,} x {size:,}" for size, number in amounts]
    return f"{' + '.join(parts)} elements"


def has_idle_nodes(job: Job, partitions: Mapping[str, Partition]) -> bool:
    """Whether as many nodes as a job takes are idle in one of its partitions, each large enough."""
    asked = job.resources
    tasks = job.processes // asked.nodes
    cpus, gpus = tasks * max(1, job.cpus // job.processes), job.gpus // asked.nodes
    mib = (asked.mem_gb or 0) * 1024
    return any(
        asked.nodes
        <= sum(
            one.count
            for one in partition.nodes
            if one.idle and one.cpus >= cpus and one.gpus >= gpus and one.memory_mib >= mib
        )
        for partition in chosen(partitions, asked.partition)
    )


def start_text(answer: Answer, now: datetime, *, idle: bool = False) -> str:
    """What `sbatch --test-only` predicts for the first job.

    Args:
        answer: of sbatch. It takes every job that runs to need all of its time limit, so the start
            that it names is the latest.
        now: local time, in which SLURM answers.
        idle: whether nodes that could run the job are idle now.
    """
    found = _START.search(answer.said)
    if found is None:
        why = refusal(answer.error) if answer.error else "sbatch gives no time"
        return f"expected start: not known ({why})"
    start = datetime.fromisoformat(found.group(1))
    wait_s = (start - now).total_seconds()
    if wait_s < _SOON_S:
        return "expected start: now, as SLURM sees it"
    day = "" if start.date() == now.date() else f"{start:%a %d %b} "
    latest = f"{day}{start:%H:%M} at the latest (in {duration(wait_s)})"
    return f"expected start: {latest}, as SLURM sees it{'; nodes are idle now' if idle else ' now'}"
