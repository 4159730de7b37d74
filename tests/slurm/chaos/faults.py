"""Faults: each hits a target drawn at random, if there is one, and says what it has hit."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from slurm_cluster.cluster import SlurmCluster
from slurm_cluster.processes import Process

from chaos.caller import Caller
from chaos.outcome import trials_of
from deit_core.run_dir import RunDir
from deit_core.train.checkpoint import CheckpointFile, list_checkpoints

_SUBMISSION_S = 20.0
"""Within which a call submits again what was lost."""


@dataclass
class World:
    """What faults can reach."""

    cluster: SlurmCluster
    runs: Path
    caller: Caller
    random: random.Random
    repairs: list[tuple[float, Callable[[], object]]] = field(default_factory=list)
    """What brings something back, and when that is due."""

    def later(self, seconds: float, repair: Callable[[], object]) -> None:
        """Bring something back after a while."""
        self.repairs.append((time.monotonic() + seconds, repair))

    def repair(self, *, all_of_it: bool = False) -> None:
        """Bring back what is due."""
        now = time.monotonic()
        due = [repair for when, repair in self.repairs if all_of_it or when <= now]
        self.repairs = [one for one in self.repairs if one[1] not in due]
        for repair in due:
            repair()

    # targets -----------------------------------------------------------------------------------

    def draw(self, candidates: list[Process]) -> Process | None:
        ordered = sorted(candidates, key=lambda process: process.pid)
        return self.random.choice(ordered) if ordered else None

    def supervisors(self) -> list[Process]:
        return [
            p for p in self.cluster.processes() if "launcher.backends.slurm.supervisor" in p.command
        ]

    def ranks(self) -> list[Process]:
        return [
            process
            for process in self.cluster.processes()
            if process.rank is not None and " -m deit_core " in process.command
        ]

    def training(self) -> list[Process]:
        """First ranks whose trials' lock is taken: they are beyond their start."""
        return [
            p for p in self.ranks() if p.rank == 0 and RunDir(p.command.split()[-1]).is_locked()
        ]

    def nodes_in_use(self) -> list[str]:
        return sorted({p.node for p in self.supervisors() + self.ranks() if p.node is not None})

    def node(self) -> str | None:
        alive = self.cluster.pids()
        nodes = [node for node in self.nodes_in_use() if f"slurmd-{node}" in alive]
        return self.random.choice(nodes) if nodes else None


def element_of(process: Process) -> str:
    """The element of an array, as SLURM names it: the longer of its two names."""
    return process.job_ids[-1]


def _kill(process: Process | None) -> str | None:
    if process is None:
        return None
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
        return f"process {process.pid} of {element_of(process)} on {process.node}"
    return None


# the kinds -------------------------------------------------------------------------------------


def kill_rank(world: World) -> str | None:
    """kill -9 of one rank that trains or starts."""
    return _kill(world.draw(world.ranks()))


def kill_all_ranks(world: World) -> str | None:
    """kill -9 of all ranks of a job at once."""
    leader = world.draw(world.training())
    if leader is None:
        return None
    for process in world.cluster.job_processes(element_of(leader)):
        _kill(process)
    return f"all ranks of {element_of(leader)}"


def kill_supervisor(world: World) -> str | None:
    """kill -9 of a batch script: SLURM ends the job, and does not start it again."""
    return _kill(world.draw(world.supervisors()))


def kill_srun(world: World) -> str | None:
    """kill -9 of srun, whose tasks SLURM lets run on."""
    sruns = [p for p in world.cluster.processes() if p.command.startswith("srun ") and p.job_ids]
    return _kill(world.draw(sruns))


def requeue(world: World) -> str | None:
    """`scontrol requeue` from outside."""
    target = world.draw(world.supervisors())
    if target is None:
        return None
    done = world.cluster.try_run(["scontrol", "requeue", element_of(target)])
    return None if done.returncode else element_of(target)


def signal_step(world: World) -> str | None:
    """USR1, USR2 or TERM to the ranks, as a site's tools may send it."""
    target = world.draw(world.training())
    name = world.random.choice(["USR1", "USR2", "TERM"])
    if target is None:
        return None
    done = world.cluster.try_run(["scancel", f"--signal={name}", element_of(target)])
    return None if done.returncode else f"{name} to {element_of(target)}"


def preempt(world: World) -> str | None:
    """A job of higher priority takes a node."""
    node = world.node()
    if node is None:
        return None
    world.cluster.preempt([node], seconds=1)
    return node


def kill_slurmd(world: World) -> str | None:
    """A node's daemon dies and comes back; sometimes only after the node was given up."""
    node = world.node()
    if node is None:
        return None
    away_s = world.random.choice([0.5, 3.0, 12.0])
    world.cluster.kill_slurmd(node)
    world.later(away_s, lambda: world.cluster.start_slurmd(node))
    return f"{node}, for {away_s:.1f} s"


def fail_node(world: World) -> str | None:
    """A node dies with all that runs there, and comes back."""
    node = world.node()
    if node is None:
        return None
    world.cluster.fail_node(node)
    world.later(world.random.uniform(1, 10), lambda: world.cluster.start_slurmd(node))
    return node


def restart_controller(world: World) -> str | None:
    """slurmctld is restarted, as for an update."""
    world.cluster.start_accounting()  # a controller without saved state needs it
    world.cluster.restart_slurmctld()
    return "by SIGTERM"


def kill_controller(world: World) -> str | None:
    """slurmctld is killed and is away for a while."""
    away_s = world.random.uniform(0, 5)
    world.cluster.stop_slurmctld(kill=True)
    time.sleep(away_s)
    world.cluster.start_accounting()  # a controller without saved state needs it
    world.cluster.start_slurmctld()
    return f"for {away_s:.1f} s"


def kill_controller_at_submission(world: World) -> str | None:
    """slurmctld is killed before it has saved what was just submitted: it may forget that job."""
    before = _submitted(world)
    if kill_supervisor(world) is None:  # a call will submit its trials again
        return None
    end = time.monotonic() + _SUBMISSION_S
    while not (new := _submitted(world) - before):
        if time.monotonic() > end:
            return None
        time.sleep(0.05)
    world.cluster.start_accounting()
    world.cluster.restart_slurmctld(kill=True)
    return f"after the submission of {', '.join(sorted(new))}"


def _submitted(world: World) -> set[str]:
    """Arrays that SLURM has taken."""
    return {file.parent.name for file in world.runs.glob(".slurm/*/id")}


def stop_accounting(world: World) -> str | None:
    """slurmdbd is away for a while."""
    if "slurmdbd" not in world.cluster.pids():
        return None
    away_s = world.random.uniform(2, 15)
    world.cluster.stop_accounting()
    world.later(away_s, world.cluster.start_accounting)
    return f"for {away_s:.1f} s"


def truncate_checkpoint(world: World) -> str | None:
    """The newest checkpoint of a trial that waits for its next attempt is cut in half."""
    trials = [run for run in trials_of(world.runs).values() if not run.summary_file.exists()]
    waiting = [run for run in trials if not run.is_locked() and _fall_back(run) is not None]
    if not waiting:
        return None
    run = world.random.choice(waiting)
    newest = _fall_back(run)
    assert newest is not None
    try:
        os.truncate(newest.path, newest.path.stat().st_size // 2)
    except FileNotFoundError:  # its next attempt has begun, and saved since
        return None
    return f"step {newest.step} of {run.path.name}"


def _fall_back(run: RunDir) -> CheckpointFile | None:
    """The newest checkpoint, where both it and the one before it are whole."""
    files = list_checkpoints(run.checkpoint_dir)
    with suppress(FileNotFoundError):
        digests = [hashlib.sha256(file.path.read_bytes()).hexdigest()[:16] for file in files]
        if len(files) >= 2 and digests == [file.digest for file in files]:
            return files[0]
    return None


def kill_launcher(world: World) -> str | None:
    """kill -9 of `deit-launch sweep` at a moment drawn at random."""
    return "a call" if world.caller.kill_one(15.0) else None


KINDS: dict[str, Callable[[World], str | None]] = {
    "rank killed": kill_rank,
    "all ranks killed": kill_all_ranks,
    "supervisor killed": kill_supervisor,
    "srun killed": kill_srun,
    "requeued": requeue,
    "step signalled": signal_step,
    "preempted": preempt,
    "slurmd killed": kill_slurmd,
    "node failed": fail_node,
    "slurmctld restarted": restart_controller,
    "slurmctld killed": kill_controller,
    "submission forgotten": kill_controller_at_submission,
    "accounting stopped": stop_accounting,
    "checkpoint truncated": truncate_checkpoint,
    "launcher killed": kill_launcher,
}
