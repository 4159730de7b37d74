"""How many jobs may be queued, by SLURM's rules: which limit counts, and which jobs it counts.

Of the limits of one kind, the first that is set counts, in the order partition's QOS, job's QOS,
association (slurm.schedmd.com/resource_limits.html, "Hierarchy"); a QOS with the flag OverPartQOS
goes before the partition's.
"""

from __future__ import annotations

import getpass
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from launcher.backends.slurm.client import ask
from launcher.backends.slurm.partitions import chosen, parse_partition
from launcher.resources import Resources

_QOS_FIELDS = ("Name", "Flags", "MaxSubmitPU", "MaxSubmitPA", "GrpSubmit")
_ASSOCIATION_FIELDS = ("Partition", "QOS", "DefaultQOS", "MaxSubmit", "GrpSubmit")
_PATIENCE_S = 20.0

Row = Mapping[str, str]


@dataclass(frozen=True)
class Bound:
    """So many jobs may be in the queue; an array counts with all its elements."""

    most: int
    source: str
    """What sets it, such as `QOS long`."""
    counted: tuple[str, ...] = ("--me",)
    """Options of squeue that choose the jobs that count."""

    def names_queued(self) -> list[str]:
        """The names of the jobs that count; none where nobody answers."""
        asked = ask("squeue", "--noheader", "--array", "--format=%j", *self.counted)
        return asked.out.splitlines() if asked.ok else []


def read_bounds(resources: Resources, cluster: str) -> list[Bound]:
    """The bounds of this user's jobs; none where there is no accounting, or nobody answers."""
    account = resources.account or _default_account()
    parts = _partition_qos(resources.partition)
    association = _association(account, [name for name, _ in parts], cluster)
    named = resources.qos or _default_qos(association)
    rules = _read_qos([name for name in (named, *(qos for _, qos in parts)) if name])
    found: list[Bound] = []
    for partition, qos in parts or [("", None)]:
        order = [(qos, f"--partition={partition}"), (named, f"--qos={named}")]
        if "OverPartQOS" in rules.get(named or "", {}).get("Flags", ""):
            order.reverse()
        ranked = [(rules[name], which) for name, which in order if name in rules]
        found += _bounds_of(ranked, association, account)
    return list(dict.fromkeys(found))


def _bounds_of(
    ranked: Sequence[tuple[Row, str]], association: Row, account: str | None
) -> list[Bound]:
    """The limits that count, of each kind.

    Args:
        ranked: qualities of service, the first goes first, each with squeue's option for its jobs.
        association: the user's.
        account: of the jobs.
    """
    of_account = f"--account={account}"
    per_user = _first(ranked, "MaxSubmitPU", ("--me",))
    per_account = _first(ranked, "MaxSubmitPA", (of_account,))
    of_all = _first(ranked, "GrpSubmit", ())
    source, own = f"account {account}", ("--me", of_account)
    if not per_user and not per_account and (most := _number(association, "MaxSubmit")) is not None:
        per_user = [Bound(most, source, own)]
    if not of_all and (most := _number(association, "GrpSubmit")) is not None:
        of_all = [Bound(most, source, own)]
    return [*per_user, *per_account, *of_all]


def _first(ranked: Sequence[tuple[Row, str]], field: str, whose: tuple[str, ...]) -> list[Bound]:
    for rule, which in ranked:
        most = _number(rule, field)
        if most is not None:
            return [Bound(most, f"QOS {rule['Name']}", (*whose, which))]
    return []


def _number(row: Row, field: str) -> int | None:
    value = row.get(field, "")
    return int(value) if value.isdigit() else None


def _default_account() -> str | None:
    rows = _rows("show", "user", "where", f"name={getpass.getuser()}", fields=("DefaultAccount",))
    return next((row["DefaultAccount"] for row in rows if row["DefaultAccount"]), None)


def _partition_qos(names: str | None) -> list[tuple[str, str | None]]:
    """The partitions that are asked for, each with the quality of service of its own."""
    asked = ask("scontrol", "--all", "--oneliner", "show", "partition")
    found = [parse_partition(line, {}) for line in asked.out.splitlines() if asked.ok]
    partitions = {one.name: one for one in found if one is not None}
    return [(one.name, one.own_qos) for one in chosen(partitions, names)]


def _association(account: str | None, partitions: Sequence[str], cluster: str) -> Row:
    """The user's, in an account; that for a partition alone goes before that for all."""
    if account is None:
        return {}
    where = [f"user={getpass.getuser()}", f"account={account}"]
    where += [f"cluster={cluster}"] if cluster else []
    rows = _rows("show", "associations", "where", *where, fields=_ASSOCIATION_FIELDS)
    fitting = [row for row in rows if row["Partition"] in ("", *partitions)]
    return max(fitting, key=lambda row: bool(row["Partition"]), default={})


def _default_qos(association: Row) -> str | None:
    """What a job gets that names none."""
    only = association.get("QOS", "")
    if only and "," not in only:
        return only
    return association.get("DefaultQOS") or None


def _read_qos(names: Sequence[str]) -> dict[str, Row]:
    if not names:
        return {}
    rows = _rows("show", "qos", "where", f"name={','.join(names)}", fields=_QOS_FIELDS)
    return {row["Name"]: row for row in rows}


def _rows(*query: str, fields: Sequence[str]) -> list[dict[str, str]]:
    """What sacctmgr says, by field."""
    wanted = f"format={','.join(fields)}"
    answer = ask("sacctmgr", "--noheader", "--parsable2", *query, wanted, patience_s=_PATIENCE_S)
    lines = [line.split("|") for line in answer.out.splitlines() if answer.ok]
    return [dict(zip(fields, line, strict=True)) for line in lines if len(line) == len(fields)]
