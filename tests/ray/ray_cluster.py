"""A real Ray cluster of several nodes on this machine, each with an address and sizes of its own.

Every server listens on a loopback address. Nodes are processes that stay in the foreground, so a
node is killed, and the cluster stopped, by the process ids of their trees.
"""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from launch_support import until

from launcher.backends.ray.cluster import look

RAY = str(Path(sys.executable).with_name("ray"))
START_S = 90.0
CPUS, GPUS = 2, 2
"""Of each node; the GPUs are numbers that Ray counts."""


class RayCluster:
    """A head and further nodes, authenticated by a token."""

    def __init__(self):
        self.path = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # sockets: short names
        self.token_file = self.path / "token"
        self.token_file.write_text("a-token-of-the-tests-0123456789\n")
        self._net = f"127.{random.randint(1, 254)}.{random.randint(0, 254)}"
        self.address = f"{self._net}.2:{free_port(f'{self._net}.2')}"
        self._hosts = iter(range(2, 255))
        self.nodes: dict[str, subprocess.Popen] = {}
        """By their addresses."""

    @property
    def environ(self):
        return {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.token_file),
            # A killed node refuses connections, and is given up after so many refusals.
            "RAY_health_check_period_ms": "1000",
            "RAY_health_check_failure_threshold": "3",
        }

    def start(self, nodes):
        self.add_node(head=True)
        for _ in range(nodes - 1):
            self.add_node()
        self.await_nodes(nodes)

    def add_node(self, *, head=False):
        host, before = f"{self._net}.{next(self._hosts)}", self._sockets()
        if head:
            place = ["--head", f"--port={self.address.rpartition(':')[2]}"]
            place += ["--include-dashboard=false", f"--temp-dir={self.path}"]
        else:
            place = [f"--address={self.address}"]
        with open(self.path / f"{host}.log", "wb") as log:
            self.nodes[host] = subprocess.Popen(
                [
                    *[RAY, "start", "--block", *place, f"--node-ip-address={host}"],
                    *[f"--num-cpus={CPUS}", f"--num-gpus={GPUS}"],
                    *["--object-store-memory=80000000", "--include-log-monitor=false"],
                    "--disable-usage-stats",
                ],
                env=os.environ | self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(lambda: self._sockets() > before, START_S)

    def _sockets(self):
        """How many nodes have made their sockets, whose names they choose by what is there."""
        return len(list(self.path.glob("session_*/sockets/raylet*")))

    def await_nodes(self, number):
        until(lambda: len(look(self.address).nodes) == number, START_S)

    def kill_node(self, host):
        """SIGKILL to all that runs on a node, as when its power fails."""
        process = self.nodes.pop(host)
        kill_tree(process.pid)
        process.wait()

    def stop(self):
        for host in list(self.nodes):
            self.kill_node(host)
        shutil.rmtree(self.path, ignore_errors=True)


def free_port(host):
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def kill_tree(root):
    """SIGKILL to a process and to all its descendants, parents first so that none is replaced."""
    found, due = [], [root]
    while due:
        pid = due.pop()
        found.append(pid)
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGSTOP)
            for task in Path(f"/proc/{pid}/task").iterdir():
                due += map(int, (task / "children").read_text().split())
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
