"""What a cluster's partitions and their nodes offer, read from scontrol and sinfo.

The commands' formats have been the same from SLURM 20.11 on; what cannot be read is left out, and
nothing is refused for want of it.
"""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from launcher.backends.slurm.client import ask
from launcher.backends.slurm.here import parse_left
from launcher.errors import LaunchError

_PAIR = re.compile(r"([A-Za-z/]+)=(\S*)")
_GPUS = re.compile(r"(?:^|,)gpu(?::[^:,]+)?:(\d+)")
_NODE_FORMAT = "%R|%D|%c|%m|%G|%T|%f"
"""Partition, number of nodes, CPUs, MiB, generic resources, state, features."""
_UNUSABLE = ("down", "drain", "fail", "maint", "unk", "future", "error", "inval", "reboot")
"""Beginnings of what sinfo calls a node that takes no jobs now."""


@dataclass(frozen=True)
class Nodes:
    """Nodes of a partition that are alike."""

    count: int
    cpus: int
    memory_mib: int
    gpus: int = 0
    features: frozenset[str] = frozenset()
    usable: bool = True
    """Whether they take jobs now."""
    idle: bool = False
    """Whether nothing runs on them."""


@dataclass(frozen=True)
class Partition:
    """One partition; None stands for no limit."""

    name: str
    state: str = "UP"
    is_default: bool = False
    is_hidden: bool = False
    max_time_s: float | None = None
    max_nodes: int | None = None
    accounts: frozenset[str] | None = None
    """Accounts that may use it; None: all."""
    qos: frozenset[str] | None = None
    """Qualities of service that may use it; None: all."""
    own_qos: str | None = None
    """The quality of service whose limits hold for all of its jobs."""
    grace_s: int = 0
    preempt_mode: str = ""
    oversubscribe: str = "NO"
    node_names: str = ""
    """In SLURM's short form."""
    nodes: tuple[Nodes, ...] = ()

    @property
    def most_gpus(self) -> int:
        """GPUs of its best node."""
        return max((nodes.gpus for nodes in self.nodes), default=0)


def read_partitions() -> Mapping[str, Partition]:
    """All partitions by name.

    Raises:
        LaunchError: sbatch is not installed here, or no controller answers.
    """
    local = "to run on this machine, pass --backend local"
    if shutil.which("sbatch") is None:
        raise LaunchError(f"sbatch is not installed here: log in where it is, or {local}")
    asked = ask("scontrol", "--all", "--oneliner", "show", "partition")
    if not asked.ok:
        raise LaunchError(f"SLURM does not answer ({asked.error}); try again later, or {local}")
    seen = ask("sinfo", "--all", "--exact", "--noheader", f"--format={_NODE_FORMAT}")
    nodes = parse_nodes(seen.out if seen.ok else "")
    found = [parse_partition(line, nodes) for line in asked.out.splitlines()]
    return {partition.name: partition for partition in found if partition is not None}


def parse_partition(line: str, nodes: Mapping[str, tuple[Nodes, ...]]) -> Partition | None:
    """One line of `scontrol --oneliner show partition`; None if it is none."""
    said = dict(_PAIR.findall(line))
    name = said.get("PartitionName")
    if name is None:
        return None
    return Partition(
        name=name,
        state=said.get("State", "UP"),
        is_default=said.get("Default") == "YES",
        is_hidden=said.get("Hidden") == "YES",
        max_time_s=parse_left(said.get("MaxTime", "")),
        max_nodes=_number(said.get("MaxNodes", "")),
        accounts=_allowed(said.get("AllowAccounts", "ALL")),
        qos=_allowed(said.get("AllowQos", "ALL")),
        own_qos=None if said.get("QoS", "N/A") in ("N/A", "") else said["QoS"],
        grace_s=_number(said.get("GraceTime", "")) or 0,
        preempt_mode=said.get("PreemptMode", ""),
        oversubscribe=said.get("OverSubscribe", "NO"),
        node_names="" if said.get("Nodes") in (None, "(null)") else said["Nodes"],
        nodes=nodes.get(name, ()),
    )


def parse_nodes(text: str) -> dict[str, tuple[Nodes, ...]]:
    """Nodes by partition, of what sinfo prints in `_NODE_FORMAT`."""
    found: dict[str, list[Nodes]] = defaultdict(list)
    for line in text.splitlines():
        parts = [part.strip() for part in line.split("|", 6)]
        if len(parts) < 7:
            continue
        name, count, cpus, memory, gres, state, features = parts
        amounts = [_number(amount) for amount in (count, cpus, memory)]
        if None in amounts:
            continue
        number, cores, mib = (amount or 0 for amount in amounts)
        names = frozenset() if features == "(null)" else frozenset(features.split(","))
        usable = not state.startswith(_UNUSABLE) and not state.endswith("*")
        idle = usable and state.startswith("idle")
        found[name].append(Nodes(number, cores, mib, count_gpus(gres), names, usable, idle))
    return {name: tuple(nodes) for name, nodes in found.items()}


def count_gpus(gres: str) -> int:
    """GPUs of all types in a text such as `gpu:a100:8(S:0-1),nvme:1`."""
    return sum(map(int, _GPUS.findall(re.sub(r"\([^)]*\)", "", gres))))


def chosen(partitions: Mapping[str, Partition], names: str | None) -> list[Partition]:
    """The partitions of `--partition`, several of which commas part; the default without one."""
    if names is None:
        return [partition for partition in partitions.values() if partition.is_default]
    return [partitions[name] for name in names.split(",") if name in partitions]


def visible(partitions: Iterable[Partition]) -> list[str]:
    """Names to choose from."""
    return sorted(partition.name for partition in partitions if not partition.is_hidden)


def _number(text: str) -> int | None:
    digits = text.rstrip("+")
    return int(digits) if digits.isdigit() else None


def _allowed(names: str) -> frozenset[str] | None:
    return None if names in ("ALL", "(null)", "") else frozenset(names.split(","))
