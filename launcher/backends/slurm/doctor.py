"""What `deit-launch doctor` says about a cluster: what is there, and what a sweep would miss."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from pathlib import Path

from launcher.backends.base import Check
from launcher.backends.slurm.client import ask, queue_by_name
from launcher.backends.slurm.feasibility import valid_names
from launcher.backends.slurm.limits import read_limits
from launcher.backends.slurm.partitions import Partition, chosen, read_partitions, visible
from launcher.backends.slurm.policy_checks import check_policies
from launcher.errors import LaunchError
from launcher.file_system import file_system_of, may_be_shared, why_not_shared
from launcher.resources import Resources
from launcher.text import count, duration, listing

_NEEDED = ("sbatch", "squeue", "scontrol", "scancel", "sinfo", "srun")
_USEFUL = {
    "sacct": "the end state and the memory of jobs that have left the queue are not known",
    "sacctmgr": "limits of your account and qos are not known before SLURM refuses",
}
_SETTING = re.compile(r"^(\w+)(?:\[\d+\])?\s*=\s*(.*?)\s*$")
_MOST_NODES = 64
_RESOLVE_S = 5.0


def examine(runs: Path, resources: Resources, *, submit: bool) -> list[Check]:
    """All checks of a cluster; a failed one says what to do.

    Args:
        runs: the folder of all sweeps.
        resources: names the partition, account and so on.
        submit: also run a job that looks around on the nodes.
    """
    checks = _programs()
    try:
        partitions = read_partitions()
    except LaunchError as error:
        return [*checks, Check("controller", False, str(error))]
    config = read_config()
    unknown = _unknown(partitions, resources.partition)
    if unknown:  # of which there is nothing else to say
        return [*checks, _controller(config), _queue(), *unknown]
    checks += [
        _controller(config),
        _queue(),
        _accounting(config),
        *check_policies(config, chosen(partitions, resources.partition)),
        _limits(resources),
        *_partitions(partitions, resources.partition),
        _node_names(chosen(partitions, resources.partition)),
        _file_system(runs),
        _home(),
    ]
    if submit and chosen(partitions, resources.partition):
        from launcher.backends.slurm.probe_job import probe

        checks += probe(runs, resources, partitions)
    return checks


def read_config() -> dict[str, str]:
    """`scontrol show config` by name; empty where it does not answer."""
    lines = ask("scontrol", "show", "config").out.splitlines()
    found = [_SETTING.match(line) for line in lines]
    return {match.group(1): match.group(2) for match in found if match is not None}


def _programs() -> list[Check]:
    missing = [name for name in _NEEDED if shutil.which(name) is None]
    if missing:
        where = "log in where SLURM is installed, or load its module"
        checks = [Check("programs", False, f"not found: {', '.join(missing)}; {where}")]
    else:
        version = ask("sinfo", "--version").out.strip()
        checks = [Check("programs", True, f"{version}: {', '.join(_NEEDED)}")]
    for name, loss in _USEFUL.items():
        if shutil.which(name) is None:
            checks.append(Check(name, True, f"not found: {loss}", note=True))
    return checks


def _controller(config: Mapping[str, str]) -> Check:
    answer = ask("scontrol", "ping")
    said = "; ".join(line.strip() for line in answer.out.splitlines() if line.strip())
    name = config.get("ClusterName", "unknown")
    return Check("controller", answer.ok, f"cluster {name}: {said or answer.error}")


def _queue() -> Check:
    """Whether what squeue prints can be read: a site may have put something else in its place."""
    if queue_by_name("deit-doctor") is not None:
        return Check("queue", True, "squeue answers")
    why = "squeue does not answer, or not in the format that it was asked for"
    return Check("queue", False, f"{why}: what became of jobs would not be known")


def _accounting(config: Mapping[str, str]) -> Check:
    lost = (
        "how a job ended is read from its files alone, its largest memory is not known, and "
        "accounts and qos are not checked"
    )
    kind = config.get("AccountingStorageType", "").rpartition("/")[2]
    if kind in ("none", ""):
        return Check("accounting", True, f"none here: {lost}", note=True)
    answer = ask("sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID")
    if not answer.ok:
        return Check("accounting", True, f"sacct fails ({answer.error}): {lost}", note=True)
    enforced = config.get("AccountingStorageEnforce", "none")
    return Check("accounting", True, f"{kind}; enforced: {enforced}")


def _limits(resources: Resources) -> Check:
    limits = read_limits(resources)
    most = "no limit that is known" if limits.submit is None else f"{limits.submit:,}"
    detail = f"{limits.array_size:,} elements an array (MaxArraySize); jobs in the queue: {most}"
    return Check("limits", True, f"{detail} (user {getpass.getuser()})")


def _unknown(partitions: Mapping[str, Partition], names: str | None) -> list[Check]:
    """The named partitions that there are not."""
    valid = visible(partitions.values())
    return [
        Check(f"partition {name}", False, f"is not on this cluster; {valid_names(name, valid)}")
        for name in (names or "").split(",")
        if names is not None and name not in partitions
    ]


def _partitions(partitions: Mapping[str, Partition], names: str | None) -> list[Check]:
    """The named ones; all that can be seen where none is named."""
    if names is not None:
        return [_partition(partition) for partition in chosen(partitions, names)]
    seen = [partition for partition in partitions.values() if not partition.is_hidden]
    return [_partition(partition) for partition in sorted(seen, key=lambda one: one.name)]


def _partition(partition: Partition) -> Check:
    nodes = sum(one.count for one in partition.nodes)
    usable = sum(one.count for one in partition.nodes if one.usable)
    gpus = sum(one.count * one.gpus for one in partition.nodes)
    limit = "no time limit" if partition.max_time_s is None else duration(partition.max_time_s)
    parts = [
        partition.state + (", default" if partition.is_default else ""),
        count(nodes, "node") + (f" ({nodes - usable} down or drained)" if usable < nodes else ""),
        f"{count(gpus, 'GPU')} (at most {partition.most_gpus} a node)" if gpus else "no GPUs",
        f"at most {limit}" if partition.max_time_s is not None else limit,
    ]
    if partition.oversubscribe not in ("NO", "EXCLUSIVE"):
        parts.append(f"nodes are shared: OverSubscribe={partition.oversubscribe}")
    is_up = partition.state == "UP"
    return Check(
        f"partition {partition.name}", True, "; ".join(parts), note=not is_up or not usable
    )


def _node_names(partitions: list[Partition]) -> Check:
    """Whether other machines can be found by the names that SLURM gives them."""
    names = ",".join(one.node_names for one in partitions if one.node_names)
    if not names:
        return Check("node names", True, "no node is named", note=True)
    hosts = ask("scontrol", "show", "hostnames", names).out.split()[:_MOST_NODES]
    if not hosts:
        return Check("node names", True, "scontrol does not name the nodes", note=True)
    unknown = _unresolved(hosts)
    if not unknown:
        return Check("node names", True, f"{count(len(hosts), 'name')} resolved here")
    return Check(
        "node names",
        True,
        f"not resolved here: {listing(unknown)} (jobs of several nodes then meet by address; "
        f"--submit tries it)",
        note=True,
    )


def _unresolved(hosts: list[str]) -> list[str]:
    """Names that nothing is known of within some seconds, all together."""
    pool = ThreadPoolExecutor(max_workers=16, thread_name_prefix="resolve")
    asked = {host: pool.submit(socket.getaddrinfo, host, None) for host in hosts}
    unknown = []
    for host, answer in asked.items():
        try:
            answer.result(timeout=_RESOLVE_S)
        except (OSError, NotInTime):
            unknown.append(host)
    pool.shutdown(wait=False, cancel_futures=True)
    return unknown


def _file_system(runs: Path) -> Check:
    local = why_not_shared(runs)
    if local is not None:
        return Check("shared folder", True, f"{local}; --submit tries it", note=True)
    kind = file_system_of(runs)
    if kind is not None and may_be_shared(kind):
        return Check("shared folder", True, f"{runs} lies on {kind}")
    said = f"{runs} lies on {kind or 'an unknown file system'}, which is not known to be shared"
    return Check("shared folder", True, f"{said}; --submit tries it", note=True)


def _home() -> Check:
    home = Path.home()
    writable = os.access(home, os.W_OK)
    said = "can be written" if writable else "cannot be written"
    return Check("home", True, f"{home} {said}: nothing is kept there")
