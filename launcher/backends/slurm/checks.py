"""What SLURM would refuse is refused before anything is written or submitted.

`sbatch --test-only` judges the very script that would be submitted. Where its answer leaves open
what to do, that is found out.
"""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from launcher.backends.slurm.client import Answer, ask, is_silence
from launcher.backends.slurm.feasibility import as_time, valid_names
from launcher.backends.slurm.here import parse_left
from launcher.backends.slurm.partitions import Partition, chosen
from launcher.errors import LaunchError
from launcher.file_system import existing_part, why_not_shared
from launcher.resources import Resources
from launcher.text import duration

TEST_PATIENCE_S = 20.0
"""For `sbatch --test-only`: a busy controller that does not answer has refused nothing."""
_QUEUE_IS_FULL = re.compile(r"MaxSubmit|GrpSubmit|MaxJobCount|accept job", re.IGNORECASE)
"""Passes with time, and hinders no sweep whose jobs are queued already."""
_NOISE = re.compile(
    r"^(sbatch: |error: |allocation failure: |fatal: |batch job submission failed: )+",
    re.IGNORECASE,
)


def check_runs_folder(runs: Path) -> None:
    """Refuse a runs folder that cannot be written. Raises LaunchError."""
    place = existing_part(runs)
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise LaunchError(
            f"cannot write in {place}, where the runs folder {runs} is to be; name a folder on "
            f"the shared file system with --runs-dir or DEIT_RUNS"
        )


def warnings(runs: Path) -> list[str]:
    """What may go wrong, though nobody can tell from here."""
    local = why_not_shared(runs)
    if local is None:
        return []
    return [
        f"{local}: jobs on other nodes will not find it; name a shared folder with --runs-dir "
        f"(`deit-launch doctor --backend slurm --submit` tries it)"
    ]


def refuse_by_sbatch(
    answer: Answer, resources: Resources, partitions: Mapping[str, Partition]
) -> None:
    """Refuse what `sbatch --test-only` refuses, unless only for now.

    Raises:
        LaunchError: in sbatch's own words, with what is valid where that can be found out.
    """
    if answer.ok or _QUEUE_IS_FULL.search(answer.error):
        return
    if is_silence(answer.error):
        return  # it answered a moment ago; whether it takes the jobs is seen at their submission
    said = refusal(answer.error)
    if "node configuration" in said and _is_crippled(chosen(partitions, resources.partition)):
        return  # nodes that are down or drained come back; sbatch itself would queue the job
    raise LaunchError(f"SLURM would refuse these jobs: {said}{_help(said, resources)}")


def refusal(error: str) -> str:
    """What sbatch said against a job, without the noise around it."""
    parts = [_NOISE.sub("", part.strip()) for part in error.split(";")]
    kept = [part for part in dict.fromkeys(parts) if part and not part.startswith("Try ")]
    return "; ".join(kept)


def _is_crippled(partitions: Iterable[Partition]) -> bool:
    return any(not nodes.usable for partition in partitions for nodes in partition.nodes)


def _help(said: str, resources: Resources) -> str:
    """What to do about some refusals."""
    lower = said.lower()
    if "account" in lower and "policy" not in lower:
        return _account_help(resources)
    if "qos specification" in lower:
        return _qos_help(resources)
    if "node name" in lower and resources.exclude is not None:
        return f" (resources.exclude is {resources.exclude!r}; `sinfo -N` lists the nodes)"
    if "node configuration" in lower:
        asked = ", ".join(
            f"{name} {value}"
            for name, value in (
                ("constraint", resources.constraint),
                ("exclude", resources.exclude),
                ("sbatch", ", ".join(resources.sbatch) or None),
            )
            if value is not None
        )
        return f": what is asked for leaves too few nodes (resources: {asked})" if asked else ""
    if "option" in lower and resources.sbatch:
        return f" (resources.sbatch gives {', '.join(resources.sbatch)}; `sbatch --help` lists all)"
    return ""


def _account_help(resources: Resources) -> str:
    valid = sorted(set(_associations("Account")))
    if not valid:
        return f"; user {getpass.getuser()} has no account here, or none that sacctmgr names"
    if resources.account is None:
        return f"; pass --account, valid: {', '.join(valid)}"
    return f"; resources.account is {resources.account!r}, {valid_names(resources.account, valid)}"


def _qos_help(resources: Resources) -> str:
    cells = _associations("QOS", account=resources.account)
    valid = sorted({name for cell in cells for name in cell.split(",") if name})
    if not valid or resources.qos is None:
        return ""
    return f"; resources.qos is {resources.qos!r}, {valid_names(resources.qos, valid)}"


def _associations(field: str, account: str | None = None) -> list[str]:
    """A field of what this user may use; nothing where there is no accounting."""
    where = [f"user={getpass.getuser()}", *([f"account={account}"] if account else [])]
    query = ("show", "associations", "where", *where, f"format={field}")
    asked = ask("sacctmgr", "--noheader", "--parsable2", *query, patience_s=10.0)
    return [line.strip() for line in asked.out.splitlines() if line.strip()] if asked.ok else []


def refuse_longer_than_qos(resources: Resources, partitions: Mapping[str, Partition]) -> None:
    """Refuse what a quality of service would let wait for ever. Raises LaunchError."""
    own = [one.own_qos for one in chosen(partitions, resources.partition)]
    names = {name for name in (resources.qos, *own[:1]) if name is not None}
    asked = resources.time_s
    if not names or asked is None:
        return
    query = ("show", "qos", "where", f"name={','.join(sorted(names))}", "format=Name,MaxWall")
    said = ask("sacctmgr", "--noheader", "--parsable2", *query, patience_s=10.0)
    for line in said.out.splitlines() if said.ok else []:
        name, _, limit = line.strip().partition("|")
        most = parse_left(limit)
        if most is not None and asked > most:
            raise LaunchError(
                f"resources.time is {resources.time}, but qos {name!r} runs no job longer than "
                f"{duration(most)}: it would wait for ever; use --set "
                f"resources.time={as_time(most)} (jobs go on after their time limit)"
            )
