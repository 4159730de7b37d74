"""Which Ray cluster a queue is for, and what that has: asked without joining it."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import select
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from deit_core.errors import RunDirError
from deit_core.records import Record
from deit_core.run_dir import read_json, write_atomic, write_json
from launcher.backends.base import Capacity
from launcher.backends.job_queue import JobQueue
from launcher.errors import LaunchError

ADDRESS_VARIABLE = "RAY_ADDRESS"
AUTO, LOCAL = "auto", "local"
"""The cluster on this machine, if there is one; a cluster of the driver's own."""
_CONNECT_S = 4.0
_START_S = 60.0
_ANSWER_S = 8.0
"""With the time to connect, less than a quarter of a minute in all."""
_MODE, _TOKEN, _TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
_PACKAGES = ("ray", "pandas", "pyarrow")
"""What `import ray.tune` takes; looked for, not imported."""
_ADDRESS = re.compile(r"\[?([\w.:-]+?)\]?:(\d{1,5})")


class ClusterRecord(Record):
    """cluster.json of a queue: where its driver runs jobs."""

    address: str | None = None
    """`host:port`; null: a cluster of the driver's own, on its machine."""
    cpus: int | None = None
    """Cores of a cluster of the driver's own."""
    gpus: int | None = None


class RayNode(Record):
    """A living node."""

    name: str
    cpus: float = 0.0
    gpus: float = 0.0
    memory_gb: float = 0.0
    here: bool = False
    """Whether it is this machine."""

    @property
    def capacity(self) -> Capacity:
        """Whole cores and GPUs."""
        return Capacity(int(self.cpus), int(self.gpus))


class ClusterView(Record):
    """What a cluster says of itself; `error` says in one word why it says nothing."""

    address: str | None = None
    nodes: tuple[RayNode, ...] = ()
    ray_version: str = ""
    python_version: str = ""
    error: str | None = None
    detail: str = ""


def wanted_address(given: str | None, environ: Mapping[str, str]) -> str | None:
    """The cluster that the user names: host:port, `AUTO` or `LOCAL`; None where nothing is said.

    Raises:
        LaunchError: it is no address that a driver can join.
    """
    address = given if given is not None else environ.get(ADDRESS_VARIABLE)
    source = f"--ray-address {given}" if given is not None else f"{ADDRESS_VARIABLE}={address}"
    if address in (AUTO, LOCAL) or (given is None and not address):
        return address or None
    if address and "://" in address:
        raise LaunchError(
            f"{source} is for Ray's client; give the cluster's own address, host:port (6379 "
            f"unless it was started with another), on one of its nodes"
        )
    match = _ADDRESS.fullmatch(address or "")
    if match is None or not 0 < int(match[2]) < 65536:
        raise LaunchError(
            f"{source} is no address; give host:port, auto (the cluster on this machine) or local "
            f"(a cluster of its own)"
        )
    return address


def auth_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What lets Ray send the token that there is; a cluster without authentication ignores it.

    Ray itself does so for address `auto` alone, and is refused elsewhere without it.
    """
    return {_MODE: "token"} if _MODE not in environ and _has_token(environ) else {}


def _has_token(environ: Mapping[str, str]) -> bool:
    given = environ.get(_TOKEN_PATH)
    file = Path(given) if given else Path.home() / ".ray" / "auth_token"
    return bool(environ.get(_TOKEN)) or file.exists()


def require_ray() -> None:
    """Refuse to go on without Ray Tune.

    Raises:
        LaunchError: names the extra that installs it.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise LaunchError(
            f"Ray Tune is not installed ({', '.join(missing)} not found); "
            f'`pip install "deit-sweeps[ray]"`, or leave --backend ray out'
        )


def look(address: str | None) -> ClusterView:
    """Ask a cluster what it has; a view without an address where there is none on this machine.

    Args:
        address: host:port or `LOCAL`; None: of the one on this machine, if there is one.

    Raises:
        LaunchError: Ray is not installed, nothing answers, or it does not let us in.
    """
    require_ray()
    if address == LOCAL:
        return ClusterView()
    if address is not None:
        require_listener(address)
        if os.environ.get(_MODE) == "token" and not _has_token(os.environ):
            raise _refused(address)  # Ray would abort
    view = _probe(address)
    if view.error == "auth":
        raise _refused(view.address or address or "this machine")
    if view.error is not None:
        raise LaunchError(f"the Ray cluster at {view.address or address} {view.detail}")
    return view


def _refused(address: str) -> LaunchError:
    """Why a cluster does not take our token, or that there is none."""
    mode = os.environ.get(_MODE, "token")
    if mode != "token":
        why = f"{_MODE} is {mode!r} here"
    else:
        why = "its token is another" if _has_token(os.environ) else "there is no token here"
    return LaunchError(
        f"the Ray cluster at {address} refuses us: {why}; give the cluster's token in "
        f"{_TOKEN_PATH} (a file) or {_TOKEN}, with {_MODE}=token or without {_MODE}"
    )


def require_listener(address: str) -> None:
    """Refuse an address at which nothing listens, for which Ray itself waits a minute or more.

    Raises:
        LaunchError: says what to check.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
    except OSError as error:
        why = error.strerror or str(error)
        raise LaunchError(
            f"nothing answers at {address} ({why}); is it the address that `ray start --head` "
            f"named, and does the cluster run? `--ray-address local` starts one on this machine"
        ) from None


def _probe(address: str | None) -> ClusterView:
    """Ask in a process of its own: Ray's client would wait for minutes, and prints as it likes."""
    command = [sys.executable, "-m", "launcher.backends.ray.probe", *([address] if address else [])]
    where = address or "this machine"
    try:
        code, said, complaints = _answer(command, os.environ | auth_environment(os.environ))
    except subprocess.TimeoutExpired:
        raise LaunchError(
            f"what listens at {where} does not answer as a Ray cluster within {_ANSWER_S:.0f} s; "
            f"check --ray-address, and that the cluster is healthy (`ray status`)"
        ) from None
    lines = said.splitlines()
    if code or not lines:
        last = (complaints.strip().splitlines() or ["it said nothing"])[-1]
        raise LaunchError(f"the Ray cluster at {where} cannot be asked: {last}")
    return ClusterView.from_json(json.loads(lines[-1]), "the probe")


def _answer(command: list[str], environ: Mapping[str, str]) -> tuple[int, str, str]:
    """Run a probe; its exit code, and what it printed.

    Importing Ray takes seconds, and many on a busy machine: the clock runs from when it asks, which
    it tells by closing a pipe.

    Raises:
        subprocess.TimeoutExpired: no answer in time.
    """
    asks, started = os.pipe()
    try:
        process = subprocess.Popen(
            [*command[:3], str(started), *command[3:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environ,
            pass_fds=(started,),
        )
    finally:
        os.close(started)
    with process:
        try:
            select.select([asks], [], [], _START_S)
            said, complaints = process.communicate(timeout=_ANSWER_S)
        finally:
            os.close(asks)
            process.kill()
    return process.returncode, said, complaints


def cluster_file(queue: JobQueue) -> Path:
    """Where a queue says which cluster it is for."""
    return queue.path / "cluster.json"


def read_cluster(queue: JobQueue) -> ClusterRecord:
    """The cluster of a queue. Raises RunDirError."""
    path = cluster_file(queue)
    return ClusterRecord.from_json(read_json(path), str(path))


def latest_cluster(queue: JobQueue) -> ClusterRecord | None:
    """The cluster that a queue had last; None where it never had one that can be read."""
    try:
        return read_cluster(queue) if cluster_file(queue).exists() else None
    except RunDirError:
        return None


def write_cluster(queue: JobQueue, cluster: ClusterRecord) -> None:
    """Let the queue's next driver join this cluster. Raises RunDirError."""
    write_json(cluster_file(queue), cluster.model_dump(mode="json"))


def note_unjoined(queue: JobQueue, why: str) -> None:
    """Let commands say why no driver serves the queue. Raises RunDirError."""
    write_atomic(_unjoined_file(queue), why.encode())


def forget_unjoined(queue: JobQueue) -> None:
    """A driver has joined the cluster."""
    with contextlib.suppress(OSError):
        _unjoined_file(queue).unlink()


def why_unjoined(queue: JobQueue) -> str | None:
    """Why the latest driver could not join its cluster; None where it could."""
    with contextlib.suppress(OSError):
        return _unjoined_file(queue).read_text(encoding="utf-8")
    return None


def _unjoined_file(queue: JobQueue) -> Path:
    return queue.path / "unjoined"
