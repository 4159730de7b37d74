"""What no node or partition of a cluster can ever run, by what scontrol and sinfo say of them.

SLURM itself accepts some of it: by default (EnforcePartLimits=NO) a job that asks for more time
than its partition allows is queued, and waits for ever. The rest it refuses in words that leave
open what is wrong. Everything here is pure.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

from launcher.backends.base import Capacity
from launcher.backends.slurm.partitions import Partition, chosen, visible
from launcher.errors import LaunchError
from launcher.job_size import JobSize
from launcher.resources import Resources
from launcher.text import count, duration

_MIB_PER_GB = 1024.0
"""submitit hands `mem_gb` to sbatch as GB, by which SLURM means GiB."""


def smallest_node(partitions: Mapping[str, Partition], resources: Resources) -> Capacity | None:
    """What each node with GPUs has that a job may get, or each node where none has GPUs.

    None where the nodes are not known.
    """
    wanted = resources.constraint or ""
    needed = set() if re.search(r"[|*\[(]", wanted) else set(_features(wanted))
    nodes = [
        nodes
        for partition in chosen(partitions, resources.partition)
        for nodes in partition.nodes
        if needed <= nodes.features
    ]
    with_gpus = [one for one in nodes if one.gpus >= max(1, resources.gpus_per_node or 0)]
    if with_gpus:
        least = min(with_gpus, key=lambda one: one.cpus / one.gpus)
        return Capacity(least.cpus, least.gpus)
    return Capacity(min(one.cpus for one in nodes), 0) if nodes else None


def refuse_impossible(
    resources: Resources, size: JobSize, partitions: Mapping[str, Partition]
) -> None:
    """Refuse what no partition of those that are named can ever run.

    Raises:
        LaunchError: names what is asked for, and what there is.
    """
    _refuse_unknown_partition(resources, partitions)
    reasons = []
    for partition in chosen(partitions, resources.partition):
        reason = _why_never(resources, size, partition, partitions)
        if reason is None:
            return
        reasons.append(reason)
    if reasons:
        raise LaunchError(reasons[0])


def _refuse_unknown_partition(resources: Resources, partitions: Mapping[str, Partition]) -> None:
    valid = visible(partitions.values())
    if resources.partition is None:
        if not any(partition.is_default for partition in partitions.values()):
            raise LaunchError(
                f"this cluster has no default partition; pass --partition, "
                f"valid: {', '.join(valid)}"
            )
        return
    for name in resources.partition.split(","):
        if name not in partitions:
            raise LaunchError(f"there is no partition {name!r} here; {valid_names(name, valid)}")


def _why_never(
    resources: Resources,
    size: JobSize,
    partition: Partition,
    partitions: Mapping[str, Partition],
) -> str | None:
    """Why a partition never runs such a job, and what to do; None if it may."""
    return (
        _why_closed(resources, partition, partitions)
        or _why_too_long(resources, partition, partitions)
        or _why_no_feature(resources, partition)
        or _why_too_large(resources, size, partition)
    )


def _why_closed(
    resources: Resources, partition: Partition, partitions: Mapping[str, Partition]
) -> str | None:
    name = partition.name
    if partition.state != "UP":
        others = [
            one.name for one in partitions.values() if one.state == "UP" and not one.is_hidden
        ]
        return (
            f"partition {name!r} is {partition.state}: nothing starts there; "
            f"choose another with --partition: {', '.join(sorted(others)) or 'none is up now'}"
        )
    for kind, given, allowed in (
        ("account", resources.account, partition.accounts),
        ("qos", resources.qos, partition.qos),
    ):
        if given is not None and allowed is not None and given not in allowed:
            return (
                f"partition {name!r} takes no jobs of {kind} {given!r}; "
                f"{valid_names(given, sorted(allowed))}"
            )
    return None


def _why_too_long(
    resources: Resources, partition: Partition, partitions: Mapping[str, Partition]
) -> str | None:
    asked, most = resources.time_s, partition.max_time_s
    if asked is None or most is None or asked <= most:
        return None
    longer = sorted(
        one.name
        for one in partitions.values()
        if one.state == "UP" and not one.is_hidden and (one.max_time_s or asked) >= asked
    )
    other = f", or choose another partition: {', '.join(longer)}" if longer else ""
    return (
        f"resources.time is {resources.time}, but partition {partition.name!r} runs no job longer "
        f"than {duration(most)}: it would wait for ever; use --set "
        f"resources.time={as_time(most)} (jobs go on after their time limit){other}"
    )


def _why_no_feature(resources: Resources, partition: Partition) -> str | None:
    offered = sorted({name for nodes in partition.nodes for name in nodes.features})
    for word in _features(resources.constraint):
        if partition.nodes and word not in offered:
            valid = valid_names(word, offered) if offered else "its nodes name no features"
            return (
                f"resources.constraint asks for {word!r}, which no node of partition "
                f"{partition.name!r} offers; {valid}"
            )
    return None


def _features(constraint: str | None) -> list[str]:
    """The names in a text such as `a100&(nvlink|ib)` or `[rack1*2&rack2*2]`."""
    without_counts = re.sub(r"\*\d+", "", constraint or "")
    return [word for word in re.split(r"[&|,()\[\]\s]+", without_counts) if word]


def _why_too_large(resources: Resources, size: JobSize, partition: Partition) -> str | None:
    nodes = partition.nodes
    if not nodes:
        return None
    gpus = size.gpus // resources.nodes
    cpus = size.processes // resources.nodes * max(1, size.cpus // size.processes)
    mib = (resources.mem_gb or 0) * _MIB_PER_GB
    most_gpus, most_cpus = partition.most_gpus, max(one.cpus for one in nodes)
    most_mib = max(one.memory_mib for one in nodes)
    where = f"of partition {partition.name!r}"
    if gpus > most_gpus:
        return (
            f"resources.gpus_per_node is {gpus}, but {_no_node(most_gpus, 'GPU', where)}; use "
            f"--set resources.gpus_per_node={most_gpus}{_more_nodes(gpus, most_gpus, resources)}"
        )
    if cpus > most_cpus:
        return (
            f"a job takes {count(cpus, 'core')} of each node, but "
            f"{_no_node(most_cpus, 'core', where)}; lower {_cores_field(resources, gpus)}"
        )
    if mib > most_mib:
        gib = most_mib / _MIB_PER_GB
        return (
            f"resources.mem_gb is {resources.mem_gb:g}, but no node {where} has more than "
            f"{gib:.1f}; use --set resources.mem_gb={int(gib)}"
        )
    fitting = sum(
        one.count
        for one in nodes
        if one.gpus >= gpus and one.cpus >= cpus and one.memory_mib >= mib
    )
    return _why_too_many(resources, partition, fitting)


def _why_too_many(resources: Resources, partition: Partition, fitting: int) -> str | None:
    everything = sum(one.count for one in partition.nodes)
    most = min(fitting, partition.max_nodes or fitting)
    if resources.nodes <= most:
        return None
    if partition.max_nodes is not None and partition.max_nodes < fitting:
        has = f"gives one job {count(most, 'node')} at most"
    elif fitting < everything:
        has = f"has {count(fitting, 'node')} with as many GPUs, cores and memory as are asked for"
    else:
        has = f"has {count(most, 'node')}"
    use = f"use --set resources.nodes={most}" if most else "ask for less of them"
    return f"resources.nodes is {resources.nodes}, but partition {partition.name!r} {has}; {use}"


def _no_node(most: int, what: str, where: str) -> str:
    return (
        f"no node {where} has more than {count(most, what)}"
        if most
        else (f"no node {where} has a {what}")
    )


def _more_nodes(gpus: int, most: int, resources: Resources) -> str:
    if most == 0:
        return " to train on CPU, or another partition"
    total = gpus * resources.nodes
    return f" --set resources.nodes={total // most}" if total % most == 0 else " and more nodes"


def _cores_field(resources: Resources, gpus: int) -> str:
    if gpus:
        return f"resources.cpus_per_gpu ({resources.cpus_per_gpu}) or resources.gpus_per_node"
    return f"resources.cpus_per_trial ({resources.cpus_per_trial}) or resources.tasks_per_node"


def valid_names(given: str, valid: Sequence[str]) -> str:
    """What is valid, and which of it was probably meant."""
    close = difflib.get_close_matches(given, valid, n=1)
    hint = f'; did you mean "{close[0]}"?' if close else ""
    return f"valid: {', '.join(valid)}{hint}"


def as_time(seconds: float) -> str:
    """As `resources.time` takes it."""
    minutes = int(seconds) // 60
    return f"{minutes // 60}h" if minutes % 60 == 0 and minutes else f"{max(1, minutes)}min"
