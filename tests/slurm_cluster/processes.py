"""Which processes belong to a job, as the operating system sees it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slurm_cluster.warden import descendants

NODE = "CLUSTER_NODE"
"""Names the node in the environment of a slurmd, and so of its slurmstepds."""


@dataclass(frozen=True)
class Process:
    """A process of a cluster: a daemon, a step's `slurmstepd`, or a job's own."""

    pid: int
    command: str
    environ: dict[str, str]

    @property
    def node(self) -> str | None:
        """The node that it runs on; None for the daemons that belong to none."""
        return self.environ.get("SLURMD_NODENAME") or self.environ.get(NODE)

    @property
    def rank(self) -> int | None:
        """Its task's number in a step; None for a batch script and what that starts."""
        rank = self.environ.get("SLURM_PROCID")
        return int(rank) if rank is not None and "SLURM_STEP_ID" in self.environ else None

    @property
    def job_ids(self) -> tuple[str, ...]:
        """The names of its job: `14`, and `12_3` too if that is an element of an array."""
        names = (
            self.environ.get("SLURM_JOB_ID"),
            "{SLURM_ARRAY_JOB_ID}_{SLURM_ARRAY_TASK_ID}".format_map(self.environ)
            if "SLURM_ARRAY_TASK_ID" in self.environ
            else None,
        )
        return tuple(name for name in names if name is not None)


def below(pid: int) -> list[Process]:
    """All that descend from a process, apart from those that end while one looks."""
    return [found for child in descendants(pid) if (found := look_at(child)) is not None]


def look_at(pid: int) -> Process | None:
    """What /proc says of a process; None if it has ended."""
    folder = Path(f"/proc/{pid}")
    try:
        command = (folder / "cmdline").read_bytes()
        environ = (folder / "environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if not command:  # ended, and its parent has not looked yet
        return None
    entries = (entry.partition("=") for entry in environ.decode(errors="replace").split("\0"))
    return Process(
        pid,
        command.replace(b"\0", b" ").decode(errors="replace").strip(),
        {key: value for key, _, value in entries},
    )
