"""How large a job is: its processes, their cores and GPUs, and how many jobs a machine holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from launcher.backends.base import Capacity
from launcher.backends.slots import CPUS_VARIABLE
from launcher.errors import LaunchError
from launcher.expand import Trial
from launcher.resources import Resources
from launcher.text import count


@dataclass(frozen=True)
class JobSize:
    """What each job gets, and how many run at once."""

    cpus: int
    """Cores of all processes together."""
    gpus: int
    """GPUs of all processes together."""
    slots: int | None
    """Jobs at once; None: only the scheduler knows."""
    notes: tuple[str, ...] = ()
    processes: int = 1


def job_size(
    resources: Resources,
    capacity: Capacity | None,
    trials: Sequence[Trial],
    node: Capacity | None = None,
) -> JobSize:
    """The size of a job where a scheduler places it (no capacity), or on this machine alone.

    Args:
        resources: what is asked for.
        capacity: what all jobs share on this machine.
        trials: those that start.
        node: what a node of the scheduler has, as far as that is known.

    Raises:
        LaunchError: not even one job fits.
    """
    wanted = resources.gpus_per_node
    on_cpu = wanted == 0 or all(trial.config.train.device == "cpu" for trial in trials)
    if capacity is None:
        size = scheduled_size(resources, None if on_cpu else node)
        if trials and not on_cpu:
            _refuse_shared_gpus(resources, size)
        return size
    if not trials:
        return JobSize(resources.cpus_per_trial, 0, None)
    if not on_cpu and wanted is not None and capacity.gpus == 0:
        raise LaunchError(
            f"resources.gpus_per_node is {wanted}, but this machine grants no GPU; use a profile "
            f"made for it (--profile laptop), or --set resources.gpus_per_node=0 to train on CPU"
        )
    if on_cpu or capacity.gpus == 0:
        return _on_cpu(resources, capacity)
    return _on_gpus(resources, capacity)


def scheduled_size(resources: Resources, node: Capacity | None) -> JobSize:
    """The size of a job that a scheduler places on nodes like this one, if it is known."""
    processes = resources.nodes * resources.processes_per_node
    asked = resources.gpus_per_node
    gpus_per_node = min(1, node.gpus if node else 0) if asked is None else asked
    gpus = resources.nodes * gpus_per_node
    if gpus:
        share = node.cpus // node.gpus if node and node.gpus else 1
        cpus = max(processes, gpus * (resources.cpus_per_gpu or max(1, share)))
    else:
        cpus = max(processes, resources.cpus_per_trial)
    return JobSize(cpus, gpus, resources.max_parallel, processes=processes)


def _refuse_shared_gpus(resources: Resources, size: JobSize) -> None:
    """Processes that train together cannot share a GPU: NCCL refuses that."""
    processes, gpus = resources.processes_per_node, size.gpus // resources.nodes
    if 0 < gpus < processes:
        raise LaunchError(
            f"resources.tasks_per_node is {processes}, but a job has {count(gpus, 'GPU')} on each "
            f"node, and each process needs one of its own; use --set "
            f"resources.gpus_per_node={processes} or --set resources.tasks_per_node={gpus}, or "
            f"--set resources.gpus_per_node=0 to train on CPU"
        )


def _processes_here(resources: Resources) -> int:
    """All nodes' processes, on this one machine."""
    if resources.tasks_per_node is None:
        return 1
    return resources.nodes * resources.tasks_per_node


def _on_cpu(resources: Resources, capacity: Capacity) -> JobSize:
    processes = _processes_here(resources)
    cpus = max(processes, resources.cpus_per_trial)
    slots = capacity.fit(cpus, 0)
    if slots == 0 and processes > capacity.cpus:
        raise LaunchError(
            f"{_asked(resources)} need a core each, but this machine grants {capacity.cpus}; "
            f"{_fewer(capacity.cpus)}, or {CPUS_VARIABLE}={processes} to let them share cores"
        )
    if slots == 0:
        raise LaunchError(
            f"resources.cpus_per_trial is {cpus}, but this machine grants {capacity.cpus} cores; "
            f"lower it in the sweep file or with --set resources.cpus_per_trial={capacity.cpus}"
        )
    return JobSize(cpus, 0, _at_once(resources, slots), processes=processes)


def _on_gpus(resources: Resources, capacity: Capacity) -> JobSize:
    processes = _processes_here(resources)
    if processes > capacity.gpus:
        raise LaunchError(
            f"{_asked(resources)} need a GPU each, but this machine grants {capacity.gpus}; "
            f"{_fewer(capacity.gpus)}, or --set resources.gpus_per_node=0 to train on CPU"
        )
    # As asked for, but never more than an equal share of the cores.
    share = max(1, capacity.cpus // capacity.gpus)
    cpus = processes * min(resources.cpus_per_gpu or share, share)
    slots = capacity.fit(cpus, processes)
    if slots == 0:
        raise LaunchError(
            f"{_asked(resources)} need a core each, but this machine grants {capacity.cpus}; "
            f"{_fewer(capacity.cpus)}"
        )
    asked = (resources.gpus_per_node or 0) * resources.nodes
    notes = (
        f"{resources.gpus_per_node} GPUs on {resources.nodes} node(s) are asked for; a local job "
        f"trains on one GPU unless resources.tasks_per_node is given, "
        f"several jobs run side by side",
    )
    told = notes if asked > 1 and resources.tasks_per_node is None else ()
    return JobSize(cpus, processes, _at_once(resources, slots), told, processes)


def _asked(resources: Resources) -> str:
    return (
        f"resources.nodes is {resources.nodes} and resources.tasks_per_node "
        f"{resources.tasks_per_node or 1}: {_processes_here(resources)} processes a job that"
    )


def _fewer(most: int) -> str:
    return f"use --set resources.nodes=1 --set resources.tasks_per_node={most}"


def _at_once(resources: Resources, slots: int) -> int:
    return min(slots, resources.max_parallel or slots)
