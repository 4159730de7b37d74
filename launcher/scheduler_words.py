"""What a scheduler says of a job, for people: what it waits for, and what can be done. Pure.

SLURM's reasons: squeue(1), "JOB REASON CODES", and slurm/src/common/job_state_reason.c. Its own
word stays in brackets, as its manual and its administrators use that.
"""

from __future__ import annotations

import re

_PLACED = re.compile(r"(\w+) on (\S+)")
_PENDING = re.compile(r"(\w+) \((.*)\)", re.DOTALL)
_HAS_NODES = ("RUNNING", "CONFIGURING")

STARTING = "starting on"
"""Begins what is said of a job that has its nodes."""
UNTIL_RESUMED = "until `deit-launch resume`"
"""What a trial that is paused waits for."""

_REASONS: tuple[tuple[str, str], ...] = (
    (r"Priority", "other jobs go first"),
    (r"Resources", "its turn, once nodes are free"),
    (r"Dependency", "waits for its teacher, or for its turn within max_parallel"),
    (r"DependencyNeverSatisfied", "what it waits for will never be: cancel it, then sweep again"),
    (r"JobArrayTaskLimit", "as many jobs of the sweep run as max_parallel or `throttle` allows"),
    (r"JobHeldUser", UNTIL_RESUMED),
    (r"job requeued in held state", UNTIL_RESUMED),
    (r"JobHeldAdmin", "held by an administrator, who must release it"),
    (r"launch failed requeued held|launch failure limit.*", "SLURM could not start it and holds it:"
     " look at its node, then `deit-launch resume`"),
    (r"JobHoldMaxRequeue", "SLURM has requeued it too often and holds it: `deit-launch resume`"),
    (r"BeginTime", "not before a time: after a requeue SLURM waits a while (2 minutes by default)"),
    (r"PartitionTimeLimit", "its time limit is above the partition's: lower resources.time"),
    (r"PartitionNodeLimit", "asks for more nodes than the partition gives one job"),
    (r"PartitionDown|PartitionInactive", "its partition takes no jobs now"),
    (r"ReqNodeNotAvail.*", "nodes that it needs are down, drained or reserved"),
    (r"NodeDown", "a node that it needs is down"),
    (r"BadConstraints", "no node can ever run it: ask for less (resources)"),
    (r"Reservation", "waits for its reservation"),
    (r"Licenses", "waits for a license"),
    (r"InvalidAccount", "its account is not valid (resources.account)"),
    (r"InvalidQOS", "its quality of service is not valid (resources.qos)"),
    (r"(QOS|Assoc)(Grp|Max)\w*", "a limit of {owner} is reached"),
)  # fmt: skip
"""SLURM's reason (whole), and what it means."""


def starting_on(said: str) -> str | None:
    """The nodes that a job has, by what its scheduler says; None where it has none."""
    placed = _PLACED.match(said)
    return placed[2] if placed is not None and placed[1] in _HAS_NODES else None


def waiting_words(said: str) -> str:
    """Why a trial does not run yet, as its scheduler says it of its job: `PENDING (Priority)`."""
    nodes = starting_on(said)
    if nodes is not None:
        return f"{STARTING} {nodes}"
    pending = _PENDING.fullmatch(said)
    meaning = None if pending is None else _meaning(pending[2])
    return said if pending is None or meaning is None else f"{meaning} ({pending[2]})"


def _meaning(reason: str) -> str | None:
    for pattern, meaning in _REASONS:
        if re.fullmatch(pattern, reason):
            owner = "your account" if reason.startswith("Assoc") else "the quality of service"
            return meaning.format(owner=owner)
    return None
