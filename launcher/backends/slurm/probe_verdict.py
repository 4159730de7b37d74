"""What the findings of the doctor's job mean. Pure."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from launcher.backends.base import Check
from launcher.text import listing

CORES = 2
"""Of each task: one would not show whether more are within reach."""
_LAG_S = 5.0
"""A heartbeat that is seen later than that makes `status` look stale."""
_SKEW_S = 5.0
_BAD_SKEW_S = 60.0
"""A running trial counts as silent after a few minutes, by the clock of whoever looks."""


@dataclass(frozen=True)
class Clock:
    """How the clock of a node compares to the doctor's."""

    ahead_s: float
    """Off by half the round trip at most."""
    round_trip_s: float
    """Between question and answer, by files in the runs folder."""


@dataclass(frozen=True)
class Findings:
    """What the job has found."""

    nodes: int
    gpus: int
    """That each task asked for."""
    reports: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    """By rank."""
    clocks: Mapping[int, Clock] = field(default_factory=dict)
    """By rank."""
    lock_is_kept: bool | None = None
    """Whether a lock that a node holds is refused here; None where it was not tried."""


def judge(found: Findings) -> list[Check]:
    """A line for each thing that was tried."""
    names = [str(report["node"]) for report in found.reports.values()]
    return [
        Check("probe job", True, f"ran on {listing(names)}"),
        _visibility(found),
        _clocks(found),
        _locks(found),
        _gpus(found),
        _cores(found),
        _programs(found),
        _python(found),
        _names(found),
        _connections(found),
    ]


def _visibility(found: Findings) -> Check:
    name = "folder on nodes"
    silent = [rank for rank in found.reports if rank not in found.clocks]
    if silent:
        said = f"{_node(found, silent[0])} does not see what is written here: is it shared?"
        return Check(name, False, said)
    lag_s = max(clock.round_trip_s for clock in found.clocks.values())
    said = f"a file and its answer take {lag_s:.2f} s there and back"
    return Check(name, True, said, note=lag_s > _LAG_S)


def _clocks(found: Findings) -> Check:
    name = "clocks"
    if not found.clocks:
        return Check(name, True, "not compared: no node has answered", note=True)
    rank = max(found.clocks, key=lambda rank: abs(found.clocks[rank].ahead_s))
    clock = found.clocks[rank]
    doubt_s = clock.round_trip_s / 2
    skew_s = max(0.0, abs(clock.ahead_s) - doubt_s)
    which = "ahead of" if clock.ahead_s > 0 else "behind"
    if skew_s < _SKEW_S:
        return Check(name, True, f"agree within {max(abs(clock.ahead_s), doubt_s):.2f} s")
    said = f"{_node(found, rank)} is {abs(clock.ahead_s):.0f} s {which} this machine: use NTP"
    return Check(name, skew_s < _BAD_SKEW_S, said, note=True)


def _locks(found: Findings) -> Check:
    name = "locks across nodes"
    if found.lock_is_kept is None:
        return Check(name, False, "the runs folder has no flock on the nodes; use another one")
    if found.lock_is_kept:
        return Check(name, True, "a lock that a node holds is refused here")
    said = "a lock that a node holds is granted here: mount the runs folder with flock"
    return Check(name, False, said)


def _gpus(found: Findings) -> Check:
    name = "GPU binding"
    if not found.gpus:
        return Check(name, True, "there are no GPUs")
    for rank, report in found.reports.items():
        devices = [one for one in (report["devices"] or "").split(",") if one]
        if len(devices) != found.gpus:
            seen = f"CUDA_VISIBLE_DEVICES={report['devices']!r}"
            said = f"1 GPU was asked for, but {_node(found, rank)} gives {seen}"
            return Check(name, False, f"{said}: jobs on a node would share GPUs")
    return Check(name, True, "a job that asks for 1 GPU sees 1 (CUDA_VISIBLE_DEVICES)")


def _cores(found: Findings) -> Check:
    name = "cores"
    counts = {int(report["cores"]) for report in found.reports.values()}
    least, most = min(counts), max(counts)
    if least < CORES:
        said = f"{CORES} were asked for, but a task may use only {least}: loaders will starve"
        return Check(name, False, said)
    if most > CORES:
        said = f"{CORES} were asked for, a task may use {most}: SLURM does not bind them"
        return Check(name, True, said, note=True)
    return Check(name, True, f"{CORES} were asked for, a task may use {most}")


def _programs(found: Findings) -> Check:
    name = "programs on nodes"
    missing = sorted({one for report in found.reports.values() for one in report["missing"]})
    if not missing:
        return Check(name, True, "all there")
    if "srun" in missing:
        return Check(name, False, f"not there: {', '.join(missing)}; jobs cannot start their ranks")
    lost = (
        "jobs cannot queue themselves again, and the next `deit-launch sweep` has to"
        if {"sbatch", "scontrol"} <= set(missing)
        else "jobs find other ways"
    )
    return Check(name, True, f"not there: {', '.join(missing)}: {lost}", note=True)


def _python(found: Findings) -> Check:
    here = platform.python_version()
    for rank, report in found.reports.items():
        if report["python"] != here:
            there = f"{_node(found, rank)} has {report['python']} as {report['executable']}"
            return Check("python on nodes", False, f"{there}, and here it is {here}")
    return Check("python on nodes", True, f"{here}, as here")


def _names(found: Findings) -> Check:
    name = "names on nodes"
    for rank, report in found.reports.items():
        if report["unresolved"]:
            unknown = listing(report["unresolved"])
            said = f"{_node(found, rank)} does not know {unknown}; processes meet by address"
            return Check(name, True, said, note=True)
    return Check(name, True, "nodes know each other's names")


def _connections(found: Findings) -> Check:
    name = "node to node"
    if found.nodes < 2:
        return Check(name, True, "one node: not tried", note=True)
    for rank, report in found.reports.items():
        if report.get("refused"):
            way = f"{_node(found, rank)} to {_node(found, 0)}"
            said = f"no connection from {way} ({report['refused']}): is a firewall between them?"
            return Check(name, False, said)
    hosts = {str(report["reached"]) for report in found.reports.values() if "reached" in report}
    return Check(name, True, f"TCP on a free port works ({listing(sorted(hosts))})")


def _node(found: Findings, rank: int) -> str:
    return str(found.reports[rank]["node"]) if rank in found.reports else f"task {rank}"
