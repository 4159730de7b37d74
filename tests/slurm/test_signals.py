"""Every way in which SLURM, or somebody else, ends a job: progress is kept.

All rows of the table run side by side, which takes as long as the longest of them.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from disturbed import PATIENCE_S, STEPPING_TRAINER, Trial
from launch_support import is_gone, until
from slurm_cluster.cluster import SlurmCluster
from slurm_cluster.fixtures import use
from slurm_cluster.options import ClusterOptions
from slurm_cluster.processes import Process

from launcher.backends.slurm.backend import SlurmBackend
from launcher.causes import CAUSE_WORDS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SAVE_EVERY = 20
STEPS = 60
"""Of most trials; the last is not taken before something has ended the first attempt."""
COMMAND = (sys.executable, str(STEPPING_TRAINER))
REST = {"nodelist": "node5"}
"""Where nothing happens to the node itself."""
Disturbances = dict[str, Callable[[SlurmCluster, Trial], object]]


class Table:
    """The trials by row; each is created, started, and later disturbed."""

    def __init__(self, cluster: SlurmCluster, folder: Path) -> None:
        self.cluster = cluster
        self.backend = SlurmBackend(folder / "runs", command=COMMAND)
        self.real = SlurmBackend(folder / "runs")
        """What its jobs submit again from inside is trained by the real trainer."""
        self.trials: dict[str, Trial] = {}
        self.gate = folder / "gate"
        """The trials may take their last steps once this file is there."""

    def add(self, name: str, sbatch=REST, resources=None, *, real=False, **behaviour) -> Trial:
        asked = {"sbatch": sbatch, **(resources or {})}
        seed = len(self.trials)
        default = {"save_every": SAVE_EVERY, "steps": STEPS, "gate": str(self.gate)}
        backend = self.real if real else self.backend
        trial = Trial.create(self.cluster, backend, seed, asked, **default | behaviour)
        self.trials[name] = trial
        trial.sweep()
        return trial

    def disturb(self, how: Disturbances) -> None:
        """Each as soon as it has saved, and taken steps since; all may end when that has hit."""
        waiting = {name: self[name] for name in how}
        hit = {}

        def all_are_disturbed() -> bool:
            for name in [name for name, trial in waiting.items() if trial.step >= SAVE_EVERY + 10]:
                trial = waiting.pop(name)
                if name not in LIVE_ON:
                    hit[name] = trial.run.read_status().pid
                how[name](self.cluster, trial)
            return not waiting

        until(all_are_disturbed, PATIENCE_S)
        until(lambda: all(map(is_gone, hit.values())), PATIENCE_S)
        self.gate.touch()

    def __getitem__(self, name: str) -> Trial:
        return self.trials[name]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("table")


@pytest.fixture(scope="module")
def table(require_slurm, tmp_path_factory, folder):
    """A cluster that does not announce preemption to jobs, with accounting."""
    options = ClusterOptions(nodes=7, cpus_per_node=16, kill_wait_s=30)  # SLURM's default
    with (
        pytest.MonkeyPatch.context() as patch,
        SlurmCluster(tmp_path_factory.mktemp("slurm"), options) as cluster,
    ):
        use(cluster, patch)
        table = Table(cluster, folder)
        submit_rows(table, folder)
        cluster.run(["scancel", table["cancelled while it waits"].element])
        table.disturb(DISTURBANCES)
        cluster.start_slurmd("node3")
        yield table


def submit_rows(table: Table, folder: Path) -> None:
    """Those that last longest first."""
    minute = {"time": "1min", "max_requeues": 2}
    table.add("timeout", resources=minute, steps=1200)
    table.add("stuck", resources=minute, stuck=True)
    table.add(
        "cancelled by preemption", {"nodelist": "node2"}, {"partition": "cancelled"}, real=True
    )
    path = f"PATH={without_scontrol(folder / 'programs')}"
    table.add("no scontrol", resources={"setup": [path]}, real=True)
    table.add("preempted", {"nodelist": "node1"})
    table.add("out of sight", {}, {"exclude": "node[1-5]"}, gate=str(folder / "seen"))
    table.add("node failed", {"nodelist": "node[3-4]"}, {"nodes": 2})
    table.add("suspended", gate=str(folder / "resumed"))
    for name in ("requeued", "cancelled", "ranks killed", "supervisor killed"):
        table.add(name)
    table.add("cancelled while it waits", {"begin": "now+1hour"})


def without_scontrol(folder: Path) -> Path:
    """A folder with what SLURM's users call, but for one program."""
    folder.mkdir()
    for name in ("sbatch", "scancel", "squeue", "sinfo", "sacct", "sacctmgr", "srun"):
        (folder / name).symlink_to(shutil.which(name))
    return folder


DISTURBANCES: Disturbances = {
    "preempted": lambda cluster, trial: cluster.preempt(["node1"]),
    "cancelled by preemption": lambda cluster, trial: cluster.preempt(["node2"]),
    "node failed": lambda cluster, trial: cluster.fail_node("node3"),
    "out of sight": lambda cluster, trial: cluster.kill_slurmd(trial.attempts[0].nodes[0]),
    "no scontrol": lambda cluster, trial: cluster.run(["scancel", "--signal=USR1", trial.element]),
    "requeued": lambda cluster, trial: cluster.requeue(trial.element),
    "suspended": lambda cluster, trial: cluster.run(["scontrol", "suspend", trial.element]),
    "cancelled": lambda cluster, trial: cluster.run(["scancel", trial.element]),
    "ranks killed": lambda cluster, trial: kill(*trial.ranks()),
    "supervisor killed": lambda cluster, trial: kill(trial.supervisor()),
}


LIVE_ON = ("out of sight", "suspended")
"""Their first processes do not end; they have gates of their own."""


def kill(*processes: Process) -> None:
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)


def once(trial: Trial) -> bool:
    """Whether every step was taken, and none of them twice."""
    return [step for _, step in trial.steps] == list(range(1, len(trial.steps) + 1))


def was_preempted(trial: Trial) -> bool:
    """Once, or again: SLURM may give the node back for a moment before the urgent job has it."""
    *before, last = trial.causes
    return bool(before) and set(before) == {"preempted"} and last == "completed"


# the rows ------------------------------------------------------------------------------------


def test_a_requeued_job_goes_on_where_it_was(table):
    trial = table["requeued"]
    trial.complete()
    assert once(trial)
    assert trial.causes == ["preempted", "completed"]


def test_a_preempted_job_goes_on_where_it_was(table):
    trial = table["preempted"]
    trial.complete()
    assert once(trial)
    assert was_preempted(trial)


def test_what_preemption_cancels_saves_and_submits_itself_again(table):
    trial = table["cancelled by preemption"]
    trial.complete()
    assert len({attempt.job_id for attempt in trial.attempts}) == len(trial.attempts)
    assert was_preempted(trial)
    assert went_on(trial)


def test_where_scontrol_is_missing_a_job_submits_itself_again(table):
    trial = table["no scontrol"]
    trial.complete()
    assert len({attempt.job_id for attempt in trial.attempts}) == 2
    assert trial.causes == ["preempted", "completed"]
    assert went_on(trial)


def went_on(trial: Trial) -> bool:
    """Whether each further attempt of the real trainer began with the step after the last one's."""
    rows = [row for row in trial.run.read_metrics() if row["kind"] == "train"]
    firsts = [
        min(row["step"] for row in rows if row["unix_s"] > attempt.started_unix_s)
        for attempt in trial.attempts[1:]
    ]
    lasts = [attempt.last_step for attempt in trial.attempts[:-1]]
    return lasts[0] > 0 and firsts == [last + 1 for last in lasts]


def test_a_job_on_a_node_that_was_given_up_is_not_trained_twice(table, folder):
    """SLURM starts it elsewhere, while its first processes live on: the second start waits."""
    trial = table["out of sight"]
    until(lambda: "waiting: another process" in trial.supervisors_log(), PATIENCE_S)
    (folder / "seen").touch()
    trial.complete()
    (attempt,) = trial.attempts
    assert once(trial)
    assert (attempt.cause, attempt.scheduler) == ("completed", "NODE_FAIL")
    assert "restart 1" in trial.supervisors_log()


def test_a_lost_node_costs_at_most_the_steps_since_the_last_checkpoint(table):
    trial = table["node failed"]
    trial.complete()
    assert trial.repeated <= SAVE_EVERY
    assert trial.causes == ["node_failure", "completed"]
    assert trial.attempts[0].nodes == ("node3", "node4")


def test_a_suspended_job_is_neither_started_again_nor_given_up(table, folder):
    trial = table["suspended"]
    until(lambda: "SUSPENDED" in table.backend.states([trial.element])[trial.element].detail)
    trial.sweep()
    assert len(trial.attempts) == 1
    table.cluster.run(["scontrol", "resume", trial.element])
    (folder / "resumed").touch()
    trial.complete()
    assert once(trial)
    assert trial.causes == ["completed"]


def test_a_waiting_job_that_the_user_cancels_can_start_again(table):
    trial = table["cancelled while it waits"]
    trial.wait_for("new")
    trial.write(int(trial.file.parent.name.removeprefix("sweep")), {"sbatch": REST})
    trial.sweep()
    trial.complete()
    assert once(trial)
    assert trial.causes == ["completed"]


def test_a_running_job_that_the_user_cancels_saves_and_stays_stopped(table):
    trial = table["cancelled"]
    trial.wait_for("stopped")
    assert trial.run.read_status().step == trial.steps[-1][1]
    assert trial.causes == ["preempted"]
    trial.sweep()
    trial.complete()
    assert once(trial)


def test_killed_ranks_are_started_again(table):
    trial = table["ranks killed"]
    trial.complete()
    assert trial.repeated <= SAVE_EVERY
    assert trial.causes == ["lost", "completed"]


def test_a_killed_supervisor_leaves_a_trial_that_the_next_sweep_goes_on_with(table):
    trial = table["supervisor killed"]
    trial.wait_for("stopped")
    trial.sweep()
    trial.complete()
    assert trial.repeated <= SAVE_EVERY
    assert trial.causes[-1] == "completed"


@pytest.fixture(scope="module")
def announcing(tmp_path_factory):
    """A cluster that tells a job of its preemption by the job's own signal, without accounting.

    All is over when its tests start.
    """
    options = ClusterOptions(
        nodes=3, cpus_per_node=16, preempt_send_user_signal=True, accounting=False
    )
    with (
        pytest.MonkeyPatch.context() as patch,
        SlurmCluster(tmp_path_factory.mktemp("slurm"), options) as cluster,
    ):
        use(cluster, patch)
        other = Table(cluster, tmp_path_factory.mktemp("announcing"))
        other.add("preempted", {"nodelist": "node1"})
        other.add("node failed", {"nodelist": "node2"})
        other.add("ranks killed", {"nodelist": "node3"})
        other.disturb(
            {
                "preempted": lambda cluster, trial: cluster.preempt(["node1"]),
                "node failed": lambda cluster, trial: cluster.fail_node("node2"),
                "ranks killed": lambda cluster, trial: kill(*trial.ranks()),
            }
        )
        cluster.start_slurmd("node2")
        for trial in other.trials.values():
            trial.complete()
    return other


def test_a_job_that_is_told_of_its_preemption_saves_at_once(announcing):
    trial = announcing["preempted"]
    assert once(trial)
    assert was_preempted(trial)
    assert "SIGUSR2" in trial.attempts[0].reason


def test_without_accounting_a_lost_node_counts_as_a_job_that_was_started_again(announcing):
    trial = announcing["node failed"]
    assert trial.repeated <= SAVE_EVERY
    assert trial.causes == ["preempted", "completed"]


def test_without_accounting_killed_ranks_are_started_again(announcing):
    trial = announcing["ranks killed"]
    assert trial.repeated <= SAVE_EVERY
    assert trial.causes == ["lost", "completed"]


# by now they have lasted long enough ----------------------------------------------------------


def test_time_limits_are_no_end_while_there_is_progress(table):
    """More of them than would be forgiven without progress."""
    trial = table["timeout"]
    trial.complete()
    assert once(trial)
    *before, last = trial.causes
    assert len(before) >= 2
    assert (set(before), last) == ({"timeout"}, "completed")


def test_time_limits_without_progress_end_in_failure(table):
    trial = table["stuck"]
    trial.wait_for("failed")
    status = trial.run.read_status()
    assert (status.failure, trial.causes) == ("timeout", ["timeout", "timeout"])
    assert CAUSE_WORDS["timeout"].partition(":")[0] in status.reason
