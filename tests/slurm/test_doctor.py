"""`deit-launch doctor` tells what a real cluster does, and what a sweep would miss on it."""

from __future__ import annotations

import json
import os

import pytest
from slurm_cluster.options import ClusterOptions
from test_checks import launch, next_job

from launcher.backends.slurm.doctor import examine
from launcher.backends.slurm.partitions import read_partitions
from launcher.backends.slurm.probe_job import probe
from launcher.resources import Resources

GPU = Resources(partition="gpu")


def by_name(checks):
    return {check.name: check for check in checks}


def test_a_healthy_cluster_is_described_without_submitting_anything(slurm_cluster, tmp_path):
    before = next_job(slurm_cluster)
    done = launch("doctor", "--backend", "slurm", "--json", cwd=tmp_path)
    rows = {row["check"]: row for row in json.loads(done.stdout)}
    assert done.returncode == 0
    assert "cluster test: Slurmctld(primary)" in rows["controller"]["detail"]
    assert "enforced: associations,limits,qos" in rows["accounting"]["detail"]
    assert "REQUEUE; notice: SIGTERM 15 s before SIGKILL" in rows["preemption"]["detail"]
    assert rows["partition gpu"]["detail"].startswith("UP, default; 4 nodes; 8 GPUs")
    assert rows["shared folder"]["verdict"] == "note"
    assert next_job(slurm_cluster) == before
    assert list(tmp_path.iterdir()) == []


def test_preemption_is_that_of_the_partition(slurm_cluster, tmp_path):
    checks = by_name(examine(tmp_path, Resources(partition="cancelled"), submit=False))
    assert "CANCEL; notice: SIGTERM 5 s before SIGKILL" in checks["preemption"].detail
    assert "partition gpu" not in checks
    assert not by_name(examine(tmp_path, Resources(partition="x"), submit=False))["partition x"].ok


def test_a_job_looks_around_on_two_nodes(slurm_cluster, tmp_path):
    runs = tmp_path / "my runs"
    done = launch(
        *("doctor", "--partition", "gpu", "--submit", "--runs-dir", str(runs)), cwd=tmp_path
    )
    lines = {line[6:].split("  ")[0]: line[:4].strip() for line in done.stdout.splitlines()}
    assert done.returncode == 0, done.stdout
    wanted = ("folder on nodes", "clocks", "locks across nodes", "GPU binding", "node to node")
    assert [lines[name] for name in ("probe job", *wanted)] == ["ok"] * 6
    assert "ran on node1, node2" in done.stdout
    assert list((runs / ".slurm").iterdir()) == []
    slurm_cluster.wait_until(slurm_cluster.is_idle, 60)


def test_a_job_that_waits_too_long_is_taken_back(slurm_cluster, tmp_path):
    asked = Resources(partition="gpu", sbatch={"begin": "now+1hour"})
    (check,) = probe(tmp_path, asked, read_partitions(), wait_s=1.0)
    assert (check.verdict, check.detail) == (
        "note",
        "still queued after 1 s (BeginTime), and taken back; try again later",
    )
    assert not slurm_cluster.run(["squeue", "--noheader"])


def test_a_job_that_cannot_run_is_shown_with_what_it_said(slurm_cluster, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.executable", "/no/such/python")
    (check,) = probe(tmp_path, GPU, read_partitions())
    assert check.verdict == "BAD"
    assert "0 of 2 tasks reported; it said: " in check.detail


def test_a_job_that_is_refused_is_shown_in_sbatchs_words(slurm_cluster, tmp_path):
    (check,) = probe(tmp_path, Resources(account="nope"), read_partitions())
    assert check.detail.startswith("sbatch refuses it: Invalid account or account/partition")
    assert os.listdir(tmp_path / ".slurm") == []


def test_what_is_lost_without_accounting_is_said(make_cluster, tmp_path):
    make_cluster(ClusterOptions(nodes=1, gpus_per_node=0, accounting=False))
    checks = by_name(examine(tmp_path, Resources(), submit=False))
    assert checks["accounting"].note
    assert "largest memory is not known" in checks["accounting"].detail
    assert checks["GPU isolation"].detail == "there are no GPUs"


@pytest.mark.usefixtures("slurm_cluster")
def test_a_job_of_slurm_is_not_submitted_for_the_local_backend(tmp_path):
    done = launch("doctor", "--backend", "local", "--submit", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --submit runs a SLURM job")
