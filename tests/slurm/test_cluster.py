"""The test cluster keeps what it promises to the tests that use it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from slurm_cluster import fixtures
from slurm_cluster.cluster import ClusterError, SlurmCluster
from slurm_cluster.options import ClusterOptions
from slurm_cluster.waiting import wait_until

QUIET = ("--parsable", "--output=/dev/null")
STEP = "--wrap=exec srun sleep 300"


def submit(cluster, *options):
    return cluster.run(["sbatch", *QUIET, *options]).strip()


def state(cluster, job_id):
    return cluster.run(["squeue", "--noheader", "--array", f"--jobs={job_id}", "--format=%T"])


def wait_for_tasks(cluster, job_id, count):
    cluster.wait_until(lambda: len(cluster.job_processes(job_id)) == count, 60)
    return {process.pid for process in cluster.job_processes(job_id)}


def test_an_array_runs_two_at_once_on_gpus_of_its_own(slurm_cluster):
    array = submit(slurm_cluster, "--array=0-3%2", "--gpus-per-node=2", STEP)
    first = [f"{array}_0", f"{array}_1"]
    for element in first:
        wait_for_tasks(slurm_cluster, element, 1)
        (process,) = slurm_cluster.job_processes(element)
        assert process.environ["CUDA_VISIBLE_DEVICES"] == "0,1"
        assert process.rank == 0
        assert process.node in slurm_cluster.options.node_names
    assert state(slurm_cluster, array).split() == ["PENDING", "PENDING", "RUNNING", "RUNNING"]
    accounts = ["sacct", "--allocations", "--noheader", "--parsable2", "--format=Account,QOS"]
    slurm_cluster.wait_until(
        lambda: slurm_cluster.run([*accounts, f"--jobs={first[0]}"]).split() == ["vision|normal"],
        60,
    )


def test_a_requeued_job_is_back_soon(slurm_cluster):
    job = submit(slurm_cluster, "--nodes=2", STEP)
    before = wait_for_tasks(slurm_cluster, job, 2)
    slurm_cluster.requeue(job)
    slurm_cluster.wait_until(
        lambda: (
            len(new := slurm_cluster.job_processes(job)) == 2
            and before.isdisjoint(process.pid for process in new)
        ),
        60,
    )
    assert {p.environ["SLURM_RESTART_COUNT"] for p in slurm_cluster.job_processes(job)} == {"1"}


def test_jobs_outlive_the_controller_and_their_nodes_daemon(slurm_cluster):
    job = submit(slurm_cluster, "--nodelist=node1", STEP)
    before = wait_for_tasks(slurm_cluster, job, 1)
    slurm_cluster.restart_slurmctld()
    slurm_cluster.restart_slurmctld(kill=True)
    slurm_cluster.kill_slurmd("node1")
    slurm_cluster.start_slurmd("node1")
    assert state(slurm_cluster, job).split() == ["RUNNING"]
    assert wait_for_tasks(slurm_cluster, job, 1) == before


def test_a_failed_node_loses_its_job_and_comes_back(slurm_cluster):
    job = submit(slurm_cluster, "--nodelist=node2", STEP)
    wait_for_tasks(slurm_cluster, job, 1)
    slurm_cluster.fail_node("node2")
    assert slurm_cluster.job_processes(job) == []
    slurm_cluster.wait_until(lambda: state(slurm_cluster, job).split() == ["PENDING"], 60)
    slurm_cluster.recover()
    assert slurm_cluster.is_idle()
    states = ["sacct", "--duplicates", "--allocations", "--noheader", "--format=State%20"]
    slurm_cluster.wait_until(
        lambda: "NODE_FAIL" in slurm_cluster.run([*states, f"--jobs={job}"]), 60
    )


def test_the_accounting_goes_away_and_comes_back(slurm_cluster):
    slurm_cluster.stop_accounting()
    assert slurm_cluster.try_run(["sacct"]).returncode
    job = submit(slurm_cluster, STEP)
    wait_for_tasks(slurm_cluster, job, 1)
    slurm_cluster.recover()
    # Of jobs that began while it was away, not of others: what slurmctld has just sent when the
    # connection breaks is lost, and such a job may be RUNNING in its books for ever.
    states = ["sacct", "--allocations", "--noheader", "--format=State%20", f"--jobs={job}"]
    slurm_cluster.wait_until(lambda: "CANCELLED" in slurm_cluster.run(states), 60)


def test_an_urgent_job_takes_a_node(slurm_cluster):
    job = submit(slurm_cluster, "--partition=cancelled", "--nodelist=node3", STEP)
    wait_for_tasks(slurm_cluster, job, 1)
    slurm_cluster.preempt(["node3"])
    slurm_cluster.wait_until(lambda: not slurm_cluster.job_processes(job), 60)
    shown = slurm_cluster.run(["squeue", "--noheader", "--states=all", "-j", job, "--format=%T"])
    assert shown.split() == ["PREEMPTED"]


def test_clusters_stand_beside_each_other(make_cluster):
    options = ClusterOptions(nodes=1, accounting=False, gpus_per_node=0)
    one, other = make_cluster(options), make_cluster(options)
    job = submit(one, STEP)
    wait_for_tasks(one, job, 1)
    assert other.is_idle()
    assert os.environ["SLURM_CONF"] == str(other.layout.slurm_conf)
    with pytest.raises(ClusterError, match="exit code 1"):
        other.run(["sacct"])
    one.stop()
    other.run(["srun", "true"])


OWNER = """
    import sys, time
    from pathlib import Path
    from slurm_cluster.cluster import SlurmCluster
    from slurm_cluster.options import ClusterOptions

    options = ClusterOptions(nodes=1, accounting=False, gpus_per_node=0)
    with SlurmCluster(Path(sys.argv[1]), options) as cluster:
        # A task that leaves its step and its session, as a daemon does.
        away = "import os, time; os.fork() and os._exit(0); os.setsid(); time.sleep(300)"
        Path(sys.argv[1], "away.py").write_text(away)
        task = f"{sys.executable} {sys.argv[1]}/away.py & sleep 300"
        job = cluster.run(["sbatch", "--parsable", "--output=/dev/null", f"--wrap={task}"]).strip()
        cluster.wait_until(lambda: sum("away.py" in p.command for p in cluster.processes()), 60)
        print(*(process.pid for process in cluster.processes()), flush=True)
        time.sleep(300)
"""


@pytest.mark.usefixtures("require_slurm")
def test_nothing_survives_the_owners_sudden_end(tmp_path):
    owner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(OWNER), str(tmp_path / "cluster")],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE,
        text=True,
    )
    with owner:
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        assert len(pids) >= 5  # munged, slurmctld, slurmd, slurmstepd, the job's own
        owner.kill()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 30)


def test_a_missing_slurm_skips_but_fails_in_continuous_integration(monkeypatch):
    monkeypatch.setattr(fixtures, "PROGRAMS", ("slurm-of-nobody",))
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("DEIT_REQUIRE_SLURM", raising=False)
    with pytest.raises(pytest.skip.Exception, match="not installed: no slurm-of-nobody"):
        fixtures.skip_or_fail()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="not installed: no slurm-of-nobody"):
        fixtures.skip_or_fail()


def test_a_folder_that_sockets_cannot_lie_in_is_refused(tmp_path):
    with pytest.raises(ClusterError, match="at most 80 characters and no spaces"):
        SlurmCluster(tmp_path / "with a space")
