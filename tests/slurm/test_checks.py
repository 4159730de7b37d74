"""What a real SLURM could never run is refused before anything is written or submitted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from launch_support import FAKE_TRAINER, make_trial, started, until
from slurm_cluster.options import ClusterOptions

from launcher.backends.base import Job
from launcher.backends.slurm.backend import SlurmBackend
from launcher.errors import LaunchError
from launcher.resources import Resources

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0
SWEEP = f"""
name: refused
base: {ROOT}/sweeps/recipes/deit_micro_digits.yaml
axes: {{model.depth: [2, 4]}}
"""
REFUSED = {
    "there is no partition 'gpux' here; valid: cancelled, gpu, short, urgent; "
    'did you mean "gpu"?': {"partition": "gpux"},
    "there is no partition 'nope' here; valid: cancelled": {"partition": "gpu,nope"},
    "resources.account is 'visoin', valid: root, vision; did you mean \"vision\"?": {
        "account": "visoin"
    },
    "resources.qos is 'limit', valid: limited, normal; did you mean \"limited\"?": {"qos": "limit"},
    "resources.gpus_per_node is 3, but no node of partition 'gpu' has more than 2 GPUs; use "
    "--set resources.gpus_per_node=2 and more nodes": {"gpus_per_node": 3},
    "use --set resources.gpus_per_node=2 --set resources.nodes=2": {"gpus_per_node": 4},
    "resources.nodes is 5, but partition 'gpu' has 4 nodes; use --set resources.nodes=4": {
        "nodes": 5
    },
    "a job takes 9 cores of each node, but no node of partition 'gpu' has more than "
    "4 cores; lower resources.cpus_per_trial (9)": {"cpus_per_trial": 9, "gpus_per_node": 0},
    "resources.mem_gb is 20, but no node of partition 'gpu' has more than 15.6; "
    "use --set resources.mem_gb=15": {"mem_gb": 20.0},
    "resources.constraint asks for 'a100', which no node of partition 'gpu' offers": {
        "constraint": "a100"
    },
    "resources.time is 24h, but partition 'short' runs no job longer than 2m 00s: it would wait "
    "for ever; use --set resources.time=2min (jobs go on after their time limit), or choose "
    "another partition: cancelled, gpu, urgent": {"partition": "short"},
    "Invalid node name specified (resources.exclude is 'node9'": {"exclude": "node9"},
    "leaves too few nodes (resources: exclude node[1-4])": {"exclude": "node[1-4]"},
    "unrecognized option '--foo=1' (resources.sbatch gives foo": {"sbatch": {"foo": 1}},
    "SLURM would refuse these jobs: Requested reservation is invalid": {
        "sbatch": {"reservation": "none"}
    },
}


def launch(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "launcher.cli", *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def next_job(cluster) -> str:
    config = cluster.run(["scontrol", "show", "config"]).splitlines()
    return next(line for line in config if line.startswith("NEXT_JOB_ID"))


def test_each_bad_input_is_refused_in_one_line(slurm_cluster, tmp_path):
    backend = SlurmBackend(tmp_path / "runs")
    for message, asked in REFUSED.items():
        with pytest.raises(LaunchError) as caught:
            backend.check(Resources(**{"partition": "gpu", **asked}))
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_reaches_the_user_and_changes_nothing(slurm_cluster, tmp_path):
    (tmp_path / "x.yaml").write_text(SWEEP)
    before = next_job(slurm_cluster)
    done = launch("sweep", "x.yaml", "--partition", "short", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: resources.time is 24h, but partition 'short' runs no")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["x.yaml"]
    assert next_job(slurm_cluster) == before


def test_a_closed_partition_is_refused_and_drained_nodes_are_not(slurm_cluster, tmp_path):
    backend = SlurmBackend(tmp_path / "runs")
    slurm_cluster.run(["scontrol", "update", "PartitionName=short", "State=DOWN"])
    slurm_cluster.run(["scontrol", "update", "NodeName=node[1-4]", "State=DRAIN", "Reason=test"])
    try:
        with pytest.raises(LaunchError, match=r"'short' is DOWN: nothing starts there; choose"):
            backend.check(Resources(partition="short", time="1min"))
        backend.check(Resources(partition="gpu", nodes=2))
    finally:
        slurm_cluster.run(["scontrol", "update", "PartitionName=short", "State=UP"])
        slurm_cluster.run(["scontrol", "update", "NodeName=node[1-4]", "State=RESUME"])


def test_a_qos_that_ends_jobs_earlier_is_refused(slurm_cluster, tmp_path):
    backend = SlurmBackend(tmp_path / "runs")
    limit = ["sacctmgr", "--immediate", "modify", "qos", "limited", "set"]
    slurm_cluster.run([*limit, "MaxWall=00:05:00"])
    try:
        with pytest.raises(LaunchError, match="qos 'limited' runs no job longer than 5m 00s"):
            backend.check(Resources(qos="limited", time="1h"))
        backend.check(Resources(qos="limited", time="5min"))
    finally:
        slurm_cluster.run([*limit, "MaxWall=-1"])


def test_gpus_are_taken_where_nodes_have_them(slurm_cluster, tmp_path):
    node = SlurmBackend(tmp_path / "runs").node(Resources(partition="gpu"))
    assert node is not None
    assert (node.cpus, node.gpus) == (4, 2)


def test_a_dry_run_says_when_jobs_would_start(slurm_cluster, tmp_path):
    (tmp_path / "x.yaml").write_text(SWEEP)
    begin = '--set=resources.sbatch={begin: "now+2hours"}'
    options = ["--partition", "gpu", "--dry-run", "--set", "resources.cohort=false"]
    now = launch("sweep", "x.yaml", *options, cwd=tmp_path)
    assert "SLURM: 1 array of 2 elements\nexpected start: now" in now.stdout
    assert "note: " in now.stdout  # the folder is /tmp
    assert "resources: slurm, 2 cores, 1 GPU a job" in now.stdout
    later = launch("sweep", "x.yaml", *options, begin, cwd=tmp_path)
    wait = r"at the latest \(in (1h \d\dm|2h 00m)\), as SLURM sees"
    assert re.search(rf"expected start: .* {wait}", later.stdout)
    assert [path.name for path in tmp_path.iterdir()] == ["x.yaml"]


def test_jobs_run_where_sites_hand_on_no_environment_and_keep_no_accounts(make_cluster, tmp_path):
    make_cluster(ClusterOptions(nodes=1, gpus_per_node=0, accounting=False, export_none=True))
    assert os.environ["SLURM_EXPORT_ENV"] == "NONE"
    backend = SlurmBackend(tmp_path / "runs", command=FAKE_TRAINER)
    backend.check(Resources(account="any", time="1h"))
    run = make_trial(tmp_path / "runs" / "a sweep" / "trials", 0)
    backend.submit([Job("one", (run.path,))])
    until(lambda: run.read_status().state == "completed", PATIENCE_S)


NESTED = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from launch_support import FAKE_TRAINER
from launcher.backends.base import Job
from launcher.backends.slurm.backend import SlurmBackend
from launcher.resources import Resources

backend = SlurmBackend(Path(sys.argv[1]), command=FAKE_TRAINER)
asked = Resources(partition="gpu", time="5min")
backend.check(asked)
backend.submit([Job("one", (Path(sys.argv[2]),), resources=asked)])
"""


def test_jobs_can_be_submitted_from_inside_a_job(slurm_cluster, tmp_path):
    run = make_trial(tmp_path / "runs" / "s" / "trials", 0, gate=str(tmp_path / "gate"))
    (tmp_path / "nested.py").write_text(NESTED)
    inside = [sys.executable, "nested.py", str(tmp_path / "runs"), str(run.path)]
    inside += [str(ROOT), str(ROOT / "tests" / "launcher")]
    # What the outer job has, and what the site would give to every job, is not the inner one's.
    site = "export SBATCH_PARTITION=short SBATCH_TIMELIMIT=1 SBATCH_NO_REQUEUE=1"
    outer = ["sbatch", "--wait", "--partition=urgent", "--mem=777", "--cpus-per-task=3"]
    script = f"--wrap={site}; exec {' '.join(inside)}"
    slurm_cluster.run([*outer, f"--chdir={tmp_path}", f"--output={tmp_path}/log", script])
    until(lambda: started(run) == 1, PATIENCE_S)
    said = slurm_cluster.run(["squeue", "--noheader", "--format=%P|%l|%C|%m"]).split()
    assert said == ["gpu|5:00|1|100M"]
    (tmp_path / "gate").touch()
    until(lambda: run.read_status().state == "completed", PATIENCE_S)
