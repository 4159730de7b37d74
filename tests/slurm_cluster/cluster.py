"""A SLURM cluster that lives in a folder and dies with the process that started it."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from slurm_cluster import conf, processes, programs, system
from slurm_cluster.conf import Layout
from slurm_cluster.daemons import Daemons
from slurm_cluster.options import ClusterOptions
from slurm_cluster.processes import Process
from slurm_cluster.waiting import wait_until

DEFAULT = ClusterOptions()
START_S = 60
"""Seconds that a daemon may take to answer on a busy machine; most need a fraction of one."""


class ClusterError(Exception):
    """The cluster does not do what was asked; the message holds its diagnosis."""


class SlurmCluster:
    """munged, mariadbd, slurmdbd, slurmctld and one slurmd a node, as a context manager."""

    def __init__(self, folder: Path, options: ClusterOptions = DEFAULT) -> None:
        """Plan a cluster in an empty folder; entering the context starts it.

        Raises:
            ClusterError: The folder's path cannot be used.
        """
        if len(str(folder)) > 80 or any(character.isspace() for character in str(folder)):
            raise ClusterError(
                f"a cluster in {folder}: use a folder whose path has at most 80 characters and no "
                "spaces (sockets lie in it, and slurm.conf names it)"
            )
        self.options = options
        controller, database, *nodes = system.free_ports(options.nodes + 2)
        self.layout = Layout(folder, controller, database, tuple(nodes))

    # --- life -------------------------------------------------------------------------------

    def __enter__(self) -> SlurmCluster:
        self._write_files()
        self._daemons = Daemons(self.layout.logs)
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
        """Kill all daemons and whatever jobs still run; the folder stays as it is."""
        self._daemons.stop()

    def _write_files(self) -> None:
        layout, options = self.layout, self.options
        layout.folder.mkdir(parents=True, exist_ok=True)
        for folder in (layout.logs, layout.state):
            folder.mkdir()
        system.write_private(layout.munge_key, secrets.token_bytes(128))
        system.write_private(layout.slurmdbd_conf, conf.slurmdbd_conf(layout).encode())
        layout.slurm_conf.write_text(conf.slurm_conf(layout, options))
        layout.gres_conf.write_text(conf.gres_conf(layout, options))
        layout.plugstack_conf.touch()
        for index in range(options.gpus_per_node):
            system.make_gpu(layout.gpu(index))

    def _start_everything(self) -> None:
        self._start("munged", programs.munged(self.layout))
        self.wait_until(self.layout.munge_socket.exists, START_S)
        if self.options.accounting:
            self._start_database()
            self.start_accounting()
            self._add_accounts()
        self.start_slurmctld()
        for node in self.options.node_names:
            self.start_slurmd(node)
        self.wait_until(self.is_idle, START_S)

    def _start_database(self) -> None:
        with (self.layout.logs / "mariadb-install-db.log").open("wb") as log:
            subprocess.run(
                programs.mariadb_install(self.layout),
                check=True,
                env=self.environ,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._start("mariadbd", programs.mariadbd(self.layout))
        self.wait_until(self.layout.mariadb_socket.exists, START_S)

    def _add_accounts(self) -> None:
        for change in conf.ACCOUNTS:
            self.run(["sacctmgr", "--immediate", *change.split()])

    def _start(self, name: str, argv: Sequence[str], **environ: str) -> None:
        slurm_conf = str(self.layout.slurm_conf)
        self._daemons.start(
            name,
            argv,
            {"PATH": system.PATH, "SLURM_CONF": slurm_conf, "LANG": "C.UTF-8", **environ},
        )

    # --- daemons, and how they fail ---------------------------------------------------------

    def start_accounting(self) -> None:
        """Start slurmdbd, unless it runs, and wait until it answers."""
        if "slurmdbd" in self._daemons.pids():
            return
        # MariaDB's client library takes the path of the socket from this variable.
        socket = str(self.layout.mariadb_socket)
        self._start("slurmdbd", programs.slurmdbd(), MYSQL_UNIX_PORT=socket)
        self.wait_until(lambda: system.listens(self.layout.database_port), START_S)

    def stop_accounting(self) -> None:
        """Kill slurmdbd: `sacct` fails; slurmctld keeps what it has yet to send."""
        self._daemons.kill("slurmdbd")

    def start_slurmctld(self) -> None:
        """Start the controller on the state that it left, and wait until it answers."""
        self.wait_until(self._controller_answers, START_S)

    def _controller_answers(self) -> bool:
        """Whether it does; it is started, again if it has ended: it may, while slurmdbd is away."""
        if "slurmctld" not in self._daemons.pids():
            self._start("slurmctld", programs.slurmctld())
        return self.try_run(["scontrol", "ping"]).returncode == 0

    def stop_slurmctld(self, *, kill: bool = False) -> None:
        """End the controller; with `kill`, by SIGKILL, as when its machine goes down."""
        self._daemons.kill("slurmctld", signal.SIGKILL if kill else signal.SIGTERM)

    def restart_slurmctld(self, *, kill: bool = False) -> None:
        """Stop the controller and start it again; jobs go on meanwhile."""
        self.stop_slurmctld(kill=kill)
        self.start_slurmctld()

    def start_slurmd(self, node: str) -> None:
        """Start a node's daemon; the node takes jobs again some seconds later."""
        self._start(f"slurmd-{node}", programs.slurmd(node), **{processes.NODE: node})

    def kill_slurmd(self, node: str) -> None:
        """Kill a node's daemon; its jobs go on, until the controller misses it (SlurmdTimeout)."""
        self._daemons.kill(f"slurmd-{node}")

    def fail_node(self, node: str) -> None:
        """Lose a node at once: its daemon and all that jobs run there are killed together."""
        there = [process for process in self.processes() if process.node == node]
        self.kill_slurmd(node)
        # SLURM's own processes first: they would tell the controller of the jobs' ends.
        self._kill(sorted(there, key=lambda process: bool(process.job_ids)))

    def pids(self) -> dict[str, int]:
        """Process ids of the running daemons, by name: `slurmctld`, `slurmd-node1`, …"""
        return self._daemons.pids()

    # --- jobs -------------------------------------------------------------------------------

    def processes(self) -> list[Process]:
        """All processes of the cluster: daemons, SLURM's own of each step, and the jobs'."""
        return processes.below(self._daemons.warden_pid)

    def job_processes(self, job_id: str) -> list[Process]:
        """The processes that a job's own steps run now, by rank; not those of its batch script.

        Args:
            job_id: As SLURM writes it: `12`, or `12_3` for an element of an array.
        """
        found = [
            process
            for process in self.processes()
            if job_id in process.job_ids and process.rank is not None
        ]
        return sorted(found, key=lambda process: (process.rank, process.pid))

    def requeue(self, job_id: str) -> None:
        """Send a running job back to the queue."""
        self.run(["scontrol", "requeue", job_id])

    def preempt(self, nodes: Sequence[str], seconds: int = 2) -> str:
        """Take nodes away from their jobs, by a job of higher priority; returns its id."""
        options = [
            *("--parsable", "--partition=urgent", "--exclusive", "--time=1", "--output=/dev/null"),
            *(f"--nodelist={','.join(nodes)}", f"--nodes={len(nodes)}", "--export=NONE"),
            "--no-requeue",  # a controller that misses it for a moment would preempt twice
        ]
        return self.run(["sbatch", *options, f"--wrap=sleep {seconds}"]).strip()

    def recover(self) -> None:
        """Cancel all jobs and bring back what was stopped: afterwards the cluster is as new."""
        alive = self.pids()
        if self.options.accounting and "slurmdbd" not in alive:
            self.start_accounting()
        if "slurmctld" not in alive:
            self.start_slurmctld()
        for node in self.options.node_names:
            if f"slurmd-{node}" not in alive:
                self.start_slurmd(node)
        self.run(["scancel", "--user=root"])
        self._kill(process for process in self.processes() if process.job_ids)
        self.wait_until(self._is_empty, START_S)
        if drained := self.run(["sinfo", "--noheader", "--states=drain", "--format=%N"]).strip():
            self.run(["scontrol", "update", f"NodeName={drained.split()[0]}", "State=RESUME"])
        self.wait_until(self.is_idle, START_S)

    def is_idle(self) -> bool:
        """Whether all nodes are up and without jobs."""
        states = self.run(["sinfo", "--noheader", "--format=%T", "--partition=gpu"])
        return states.split() == ["idle"]

    def _is_empty(self) -> bool:
        return not self.run(["squeue", "--noheader", "--all"])

    @staticmethod
    def _kill(doomed: Iterable[Process]) -> None:
        for process in doomed:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)

    # --- commands ---------------------------------------------------------------------------

    @property
    def environ(self) -> dict[str, str]:
        """This process's environment, changed so that SLURM's commands talk to this cluster."""
        bare = {"SLURM_EXPORT_ENV": "NONE"} if self.options.export_none else {}
        return {
            **system.without_slurm(dict(os.environ)),
            "PATH": system.PATH,
            "SLURM_CONF": str(self.layout.slurm_conf),
            **bare,
        }

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
            argv, check=False, env=self.environ, capture_output=True, text=True, timeout=120
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
        """Daemons, nodes, jobs and the ends of all logs: what to read when something is wrong."""
        questions = (
            ["sinfo", "--Node", "--partition=gpu", "--long"],
            ["squeue", "--all", "--array", "--long"],
        )
        return "\n".join(
            [
                f"daemons: {self.pids()}",
                *(self._answer(argv) for argv in questions),
                *(
                    f"== {log.name}\n{system.tail(log)}"
                    for log in sorted(self.layout.logs.iterdir())
                ),
            ]
        )

    def _answer(self, argv: Sequence[str]) -> str:
        done = self.try_run(argv)
        return f"== {' '.join(argv)}\n{done.stdout}{done.stderr}"
