"""One task of the job that `deit-launch doctor --submit` runs: looks around on its node.

`python -P -m launcher.backends.slurm.probe FOLDER`: FOLDER is shared with the doctor. A task writes
what it finds (`report.RANK.json`), answers each question of the doctor with its clock
(`answer.RANK.json`), and leaves when it is told to (`done`).
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deit_core.errors import RunDirError
from deit_core.network import own_addresses
from deit_core.run_dir import write_json
from launcher.backends.slurm.here import expand_nodes
from launcher.locks import take_lock

COMMANDS = ("sbatch", "scontrol", "scancel", "squeue", "srun")
LIFE_S = 90.0
"""A task leaves by then, whatever became of the doctor."""
_TICK_S = 0.05
_MEET_S = 10.0
_CALL_S = 3.0


def look_around(nodes: Sequence[str]) -> dict[str, Any]:
    """What there is on this node."""
    return {
        "node": os.environ.get("SLURMD_NODENAME", platform.node()),
        "python": platform.python_version(),
        "executable": sys.executable,
        "devices": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "cores": len(os.sched_getaffinity(0)),
        "missing": [name for name in COMMANDS if shutil.which(name) is None],
        "unresolved": [name for name in nodes if not _resolves(name)],
    }


def _resolves(name: str) -> bool:
    try:
        return bool(socket.getaddrinfo(name, None))
    except OSError:
        return False


def _read(path: Path) -> Any:
    """A file of another machine; None where it is not there yet."""
    try:
        os.listdir(path.parent)  # makes a network file system look again
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def _wait_for(path: Path, limit_s: float) -> Any:
    end = time.monotonic() + limit_s
    while (value := _read(path)) is None and time.monotonic() < end:
        time.sleep(_TICK_S)
    return value


def hold_lock(folder: Path) -> bool:
    """Hold a lock until the process ends; whether that is possible."""
    try:
        return take_lock(folder / "lock") is not None
    except RunDirError:
        return False


def listen(folder: Path) -> socket.socket:
    """Open a port of the system's choice, and say which."""
    server = socket.create_server(("", 0))
    server.settimeout(_MEET_S)
    names = [os.environ.get("SLURMD_NODENAME"), platform.node(), *own_addresses()]
    hosts = [name for name in dict.fromkeys(names) if name]
    write_json(folder / "address.json", {"hosts": hosts, "port": server.getsockname()[1]})
    return server


def welcome(server: socket.socket, count: int) -> int:
    """Greet as many other tasks; how many came."""
    came = 0
    for _ in range(count):
        try:
            connection, _ = server.accept()
        except OSError:
            break
        with connection:
            connection.sendall(b"hello")
            came += 1
    return came


def call(folder: Path) -> dict[str, str]:
    """Call the first task, by its names and addresses in turn, as ranks do.

    Returns:
        Where it has answered (`reached`), or why it did not (`refused`).
    """
    address = _wait_for(folder / "address.json", _MEET_S)
    if address is None:
        return {"refused": "its address was not seen in the shared folder"}
    why = "it has no address"
    for host in address["hosts"]:
        try:
            with socket.create_connection((host, address["port"]), _CALL_S) as link:
                if link.recv(5) == b"hello":
                    return {"reached": host}
                why = "it said nothing"
        except OSError as error:
            why = f"{host}: {error.strerror or error}"
    return {"refused": why}


def answer_questions(folder: Path, rank: int) -> None:
    """Tell the doctor the time as often as it asks."""
    end = time.monotonic() + LIFE_S
    last = None
    while time.monotonic() < end and not (folder / "done").exists():
        question = _read(folder / "question.json")
        if question is not None and question != last:
            last = question
            now = {"question": question, "unix_s": time.time()}
            write_json(folder / f"answer.{rank}.json", now, durable=False)
        time.sleep(_TICK_S)


def main() -> None:
    """Report, meet the other tasks, and answer until it is enough."""
    folder = Path(sys.argv[1])
    rank, world = int(os.environ["SLURM_PROCID"]), int(os.environ["SLURM_NTASKS"])
    report = look_around(expand_nodes(os.environ.get("SLURM_JOB_NODELIST", "")))
    if rank == 0:
        server = listen(folder) if world > 1 else None
        report["locks"] = hold_lock(folder)
        report["greeted"] = welcome(server, world - 1) if server is not None else None
    else:
        report |= call(folder)
    write_json(folder / f"report.{rank}.json", report)
    answer_questions(folder, rank)


if __name__ == "__main__":
    main()
