"""A SLURM cluster that lives in a folder and dies with the process that started it."""

from __future__ import annotations

import os
import random
import secrets
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from slurm_cluster import conf, processes
from slurm_cluster.conf import Layout
from slurm_cluster.daemons import Daemons
from slurm_cluster.options import ClusterOptions
from slurm_cluster.waiting import wait_until

DEFAULT = ClusterOptions()


class ClusterError(Exception):
    """The cluster does not do what was asked; the message holds its diagnosis."""


class SlurmCluster:
    """munged, mariadbd, slurmdbd, slurmctld and one slurmd a node, as a context manager."""

    def __init__(self, folder: Path, options: ClusterOptions = DEFAULT) -> None:
        if len(str(folder)) > 80 or " " in str(folder):
            raise ClusterError(
                f"folder {folder} of a cluster: use a path of at most 80 characters without spaces "
                "(sockets lie in it, and slurm.conf names it)"
            )
        self.options = options
        controller, database, *nodes = free_ports(options.nodes + 2)
        self.layout = Layout(folder, controller, database, tuple(nodes))
        self.daemons: Daemons

    # --- life -------------------------------------------------------------------------------

    def __enter__(self) -> SlurmCluster:
        self._write_files()
        self.daemons = Daemons(self.layout.logs)
        try:
            self._start_everything()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End all daemons and whatever jobs still run; nothing is saved."""
        self.daemons.stop()

    def _write_files(self) -> None:
        layout, options = self.layout, self.options
        layout.folder.mkdir(parents=True, exist_ok=True)
        layout.folder.chmod(0o755)
        for folder in (layout.logs, layout.folder / "state"):
            folder.mkdir()
        write_private(layout.munge_key, secrets.token_bytes(128))
        write_private(layout.slurmdbd_conf, conf.slurmdbd_conf(layout).encode())
        layout.slurm_conf.write_text(conf.slurm_conf(layout, options))
        (layout.folder / "gres.conf").write_text(conf.gres_conf(layout, options))
        (layout.folder / "plugstack.conf").touch()
        for index in range(options.gpus_per_node):
            os.mknod(layout.gpu(index), 0o600 | 0o020000, os.makedev(1, 3))

    def _start_everything(self) -> None:
        self._start_munge()
        if self.options.accounting:
            self._start_database()
            self.start_accounting()
            self._add_accounts()
        self.start_slurmctld()
        for node in self.options.node_names:
            self.start_slurmd(node)
        self.wait_until(self._all_idle, 20)

    def _start_munge(self) -> None:
        layout = self.layout
        self.daemons.start(
            "munged",
            [
                *("munged", "--foreground", "--force", "--num-threads=4"),
                f"--socket={layout.munge_socket}",
                f"--key-file={layout.munge_key}",
                f"--pid-file={layout.folder}/munged.pid",
                f"--seed-file={layout.folder}/munged.seed",
                f"--log-file={layout.logs}/munged.log",
            ],
            self.environ,
        )
        wait_until(layout.munge_socket.exists, 10, "munged")

    def _start_database(self) -> None:
        layout = self.layout
        with (layout.logs / "mariadb-install-db.log").open("wb") as log:
            subprocess.run(
                [
                    *("mariadb-install-db", "--no-defaults", "--user=root", "--skip-test-db"),
                    f"--datadir={layout.mariadb_data}",
                ],
                check=True,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.daemons.start(
            "mariadbd",
            [
                *("mariadbd", "--no-defaults", "--user=root", "--skip-grant-tables"),
                *("--skip-networking", "--innodb-buffer-pool-size=64M"),
                "--innodb-flush-log-at-trx-commit=0",
                f"--datadir={layout.mariadb_data}",
                f"--socket={layout.mariadb_socket}",
                f"--pid-file={layout.folder}/mariadbd.pid",
            ],
            self.environ,
        )
        wait_until(layout.mariadb_socket.exists, 20, "mariadbd")

    def _add_accounts(self) -> None:
        for change in (
            f"add cluster {conf.CLUSTER_NAME}",
            f"add account {conf.ACCOUNT} cluster={conf.CLUSTER_NAME}",
            "add qos limited set MaxSubmitJobsPerUser=20",
            f"add user root account={conf.ACCOUNT} defaultaccount={conf.ACCOUNT}",
            "modify user root set qos=normal,limited defaultqos=normal",
        ):
            self.run(["sacctmgr", "--immediate", *change.split()])

    def _all_idle(self) -> bool:
        states = self.run(["sinfo", "--noheader", "--format=%T", "--partition=gpu"]).split()
        return states == ["idle"]

    # --- daemons ----------------------------------------------------------------------------

    def start_accounting(self) -> None:
        """Start slurmdbd and wait until it answers."""
        # The client library of MariaDB takes the socket from this variable.
        environ = {**self.environ, "MYSQL_UNIX_PORT": str(self.layout.mariadb_socket)}
        self.daemons.start("slurmdbd", ["slurmdbd", "-D"], environ)
        self.wait_until(lambda: listens(self.layout.database_port), 20)

    def stop_accounting(self) -> None:
        """Kill slurmdbd: `sacct` fails, slurmctld keeps what it has to say for later."""
        self.daemons.kill("slurmdbd")

    def start_slurmctld(self) -> None:
        """Start the controller on the state that it left and wait until it answers."""
        self.daemons.start("slurmctld", ["slurmctld", "-D"], self.environ)
        self.wait_until(lambda: self.try_run(["scontrol", "ping"]).returncode == 0, 20)

    def stop_slurmctld(self, number: int = signal.SIGTERM) -> None:
        """End the controller; with SIGKILL it saves nothing that it had not saved before."""
        self.daemons.kill("slurmctld", number)

    def restart_slurmctld(self, number: int = signal.SIGTERM) -> None:
        """Stop the controller and start it again."""
        self.stop_slurmctld(number)
        self.start_slurmctld()

    def start_slurmd(self, node: str) -> None:
        """Start a node's daemon, without waiting for it."""
        self.daemons.start(f"slurmd-{node}", ["slurmd", "-D", "-N", node], self.environ)

    def kill_slurmd(self, node: str) -> None:
        """Kill a node's daemon with SIGKILL; its jobs go on."""
        self.daemons.kill(f"slurmd-{node}")

    def fail_node(self, node: str) -> None:
        """Lose a node at once: its daemon and all that its jobs run there, killed together."""
        processes_there = [
            process.pid
            for process in processes.below(self.daemons.warden_pid)
            if process.environ.get("SLURMD_NODENAME") == node
        ]
        self.kill_slurmd(node)
        for pid in processes_there:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def recover(self) -> None:
        """Cancel all jobs and bring back what a test has stopped."""
        if self.options.accounting and not self.daemons.alive("slurmdbd"):
            self.start_accounting()
        if not self.daemons.alive("slurmctld"):
            self.start_slurmctld()
        for node in self.options.node_names:
            if not self.daemons.alive(f"slurmd-{node}"):
                self.start_slurmd(node)
        self.run(["scancel", "--user=root", "--hurry"])
        self.wait_until(lambda: not self.run(["squeue", "--noheader", "--all"]), 60)
        self.wait_until(self._all_idle, 60)

    # --- commands ---------------------------------------------------------------------------

    @property
    def environ(self) -> dict[str, str]:
        """The environment in which SLURM's commands talk to this cluster."""
        environ = {name: value for name, value in os.environ.items() if not is_of_slurm(name)}
        environ["SLURM_CONF"] = str(self.layout.slurm_conf)
        environ["PATH"] = os.pathsep.join([environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
        if self.options.export_none:
            environ["SLURM_EXPORT_ENV"] = "NONE"
        return environ

    def run(self, argv: Sequence[str]) -> str:
        """Run a command on this cluster; returns its standard output.

        Raises:
            ClusterError: It failed.
        """
        done = self.try_run(argv)
        if done.returncode:
            raise ClusterError(f"{list(argv)}: exit code {done.returncode}: {done.stderr}")
        return done.stdout

    def try_run(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command on this cluster, whatever comes of it."""
        return subprocess.run(
            argv, check=False, env=self.environ, capture_output=True, text=True, timeout=60
        )

    def wait_until(self, predicate: Callable[[], object], deadline_s: float) -> None:
        """Poll until the predicate holds.

        Raises:
            ClusterError: It did not within `deadline_s` seconds; the message is the diagnosis.
        """
        try:
            wait_until(predicate, deadline_s)
        except TimeoutError as error:
            raise ClusterError(f"{error}\n{self.diagnose()}") from error

    def diagnose(self) -> str:
        """Nodes, jobs and the ends of all logs: what to read when something went wrong."""
        parts = [
            self._output(["sinfo", "--long", "--Node"]),
            self._output(["squeue", "--all", "--array", "--long"]),
            *(f"== {log.name}\n{tail(log)}" for log in sorted(self.layout.logs.iterdir())),
        ]
        return "\n".join(parts)

    def _output(self, argv: Sequence[str]) -> str:
        done = self.try_run(argv)
        return f"== {' '.join(argv)}\n{done.stdout}{done.stderr}"


def is_of_slurm(name: str) -> bool:
    """Whether a variable is one that SLURM gives to jobs or takes as an option."""
    return name.startswith(("SLURM", "SBATCH", "SRUN", "SALLOC", "SQUEUE", "SACCT", "SINFO"))


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, as munged and slurmdbd demand."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on.

    Taken at random from below the range (from 32768) out of which the kernel serves outgoing
    connections: a daemon that is killed must find its port free when it is started again.
    """
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in found:
                found.append(port)
    return found


def listens(port: int) -> bool:
    """Whether something accepts connections on a port of the loopback interface."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def tail(path: Path, lines: int = 25) -> str:
    """The last lines of a text file."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
