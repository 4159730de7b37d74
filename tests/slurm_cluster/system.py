"""What a cluster needs of the operating system: ports, private files, the ends of logs."""

from __future__ import annotations

import os
import random
import socket
from contextlib import suppress
from pathlib import Path

PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
"""Where daemons are found; a user's own PATH often lacks the folders of the system's programs."""

_OF_SLURM = ("SLURM", "SBATCH", "SRUN", "SALLOC", "SCANCEL", "SQUEUE", "SACCT", "SINFO")


def without_slurm(environ: dict[str, str]) -> dict[str, str]:
    """An environment without what SLURM gives to jobs or takes as options."""
    return {name: value for name, value in environ.items() if not name.startswith(_OF_SLURM)}


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on.

    Taken at random from below the range (from 32768) out of which Linux serves outgoing
    connections: a daemon that was killed must find its port free when it is started again.
    """
    found: set[int] = set()
    while len(found) < count:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.add(port)
    return sorted(found)


def listens(port: int) -> bool:
    """Whether something accepts connections on a port of the loopback interface."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def write_private(path: Path, content: bytes) -> None:
    """Write a new file that only its owner may read, as munged and slurmdbd demand."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def make_gpu(path: Path) -> None:
    """Make a character device like /dev/null (1, 3): SLURM wants a device file for a GPU."""
    os.mknod(path, 0o020600, os.makedev(1, 3))


def tail(path: Path, lines: int = 25) -> str:
    """The last lines of a text file."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
