"""Every way in which SLURM, or somebody else, ends a job: progress is kept.

All rows of the table run side by side, which takes as long as the longest of them.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from disturbed import PATIENCE_S, STEPPING_TRAINER, Trial
from launch_support import until
from slurm_cluster.cluster import SlurmCluster
from slurm_cluster.fixtures import use
from slurm_cluster.options import ClusterOptions

from launcher.backends.slurm.backend import SlurmBackend
from launcher.causes import CAUSE_WORDS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SAVE_EVERY = 20
COMMAND = (sys.executable, str(STEPPING_TRAINER))
REST = {"nodelist": "node5"}
"""Where nothing happens to the node itself."""


class Table:
    """The trials by row; each is created, started, and later disturbed."""

    def __init__(self, cluster: SlurmCluster, folder: Path, command=COMMAND) -> None:
        self.cluster = cluster
        self.backend = SlurmBackend(folder / "runs", command=command)
        self.trials: dict[str, Trial] = {}

    def add(self, name: str, sbatch=REST, resources=None, **behaviour) -> Trial:
        asked = {"sbatch": sbatch, **(resources or {})}
        seed = len(self.trials)
        behaviour = {"save_every": SAVE_EVERY} | behaviour
        trial = Trial.create(self.cluster, self.backend, seed, asked, **behaviour)
        self.trials[name] = trial
        trial.sweep()
        return trial

    def __getitem__(self, name: str) -> Trial:
        return self.trials[name]


@pytest.fixture(scope="module")
def table(require_slurm, tmp_path_factory):
    """A cluster that does not announce preemption to jobs, with accounting."""
    options = ClusterOptions(nodes=5, cpus_per_node=16)
    with (
        pytest.MonkeyPatch.context() as patch,
        SlurmCluster(tmp_path_factory.mktemp("slurm"), options) as cluster,
    ):
        use(cluster, patch)
        table = Table(cluster, tmp_path_factory.mktemp("table"))
        submit_rows(table)
        disturb_rows(table)
        yield table


def submit_rows(table: Table) -> None:
    """Those that last longest first."""
    minute = {"time": "1min", "max_requeues": 2}
    table.add("timeout", resources=minute, steps=1600)
    table.add("stuck", resources=minute, stuck=True)
    table.add("preempted", {"nodelist": "node1"})
    table.add("cancelled by preemption", {"nodelist": "node2"}, {"partition": "cancelled"})
    table.add("node failed", {"nodelist": "node[3-4]"}, {"nodes": 2})
    for name in ("requeued", "suspended", "cancelled", "ranks killed", "supervisor killed"):
        table.add(name)
    table.add("cancelled while it waits", {"begin": "now+1hour"})


def disturb_rows(table: Table) -> None:
    cluster = table.cluster
    waiting = table["cancelled while it waits"]
    cluster.run(["scancel", waiting.element])
    for name, trial in table.trials.items():
        if name not in ("timeout", "stuck", "cancelled while it waits"):
            trial.wait_for_step(SAVE_EVERY + 10)
    cluster.preempt(["node1"])
    cluster.preempt(["node2"])
    cluster.fail_node("node3")
    cluster.requeue(table["requeued"].element)
    cluster.run(["scontrol", "suspend", table["suspended"].element])
    cluster.run(["scancel", table["cancelled"].element])
    killed = table["ranks killed"]
    killed.kill(*killed.ranks())
    killed = table["supervisor killed"]
    killed.kill(killed.supervisor())
    cluster.start_slurmd("node3")


def once(trial: Trial) -> bool:
    """Whether every step was taken, and none of them twice."""
    return [step for _, step in trial.steps] == list(range(1, len(trial.steps) + 1))


def test_a_requeued_job_goes_on_where_it_was(table):
    trial = table["requeued"]
    trial.complete()
    assert once(trial)
    assert trial.causes == ["preempted", "completed"]


def test_a_preempted_job_goes_on_where_it_was(table):
    trial = table["preempted"]
    trial.complete()
    assert once(trial)
    assert trial.causes == ["preempted", "completed"]


def test_what_preemption_cancels_has_saved_and_goes_on(table):
    trial = table["cancelled by preemption"]
    trial.wait_for("stopped")
    assert trial.causes == ["preempted"]
    trial.sweep()
    trial.complete()
    assert once(trial)
    assert trial.causes == ["preempted", "completed"]


def test_a_lost_node_costs_at_most_the_steps_since_the_last_checkpoint(table):
    trial = table["node failed"]
    trial.complete()
    assert trial.repeated <= SAVE_EVERY
    assert trial.causes == ["node_failure", "completed"]
    assert trial.attempts[0].nodes == ("node3", "node4")


def test_a_suspended_job_is_neither_started_again_nor_given_up(table):
    trial = table["suspended"]
    until(lambda: "SUSPENDED" in table.backend.states([trial.element])[trial.element].detail)
    trial.sweep()
    assert len(trial.attempts) == 1
    table.cluster.run(["scontrol", "resume", trial.element])
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
