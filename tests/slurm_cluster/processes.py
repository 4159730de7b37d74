"""Which processes belong to a job, as the operating system sees it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slurm_cluster.warden import descendants


@dataclass(frozen=True)
class Process:
    """A process of a cluster: a daemon, a step's `slurmstepd`, or a job's own."""

    pid: int
    command: str
    environ: dict[str, str]

    @property
    def is_step(self) -> bool:
        """Whether it is SLURM's own process that looks after a step."""
        return self.command.startswith("slurmstepd")


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
