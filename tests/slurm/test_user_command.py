"""The user's first command, on a real cluster: two nodes, two processes on each, a report."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from launch_support import until

from deit_core.run_dir import RunDir

ROOT = Path(__file__).parents[2]
SMALL = ["--set", "seeds=[0]", "--set", "train.duration=1ep"]
ON_NODES = ["--set", "resources.nodes=2", "--set", "resources.tasks_per_node=2"]
SAME_TRIALS = """
name: same_trials
base: recipes/deit_micro_digits.yaml
set: {data.train_images: 300, model.depth: 2, augment.strength: 0.5}
teacher: {base: recipes/convnet_digits.yaml, set: {data.train_images: 300}}
axes:
  distill.kind: [hard]
resources: {gpus_per_node: 0}
"""


def launch(*arguments, cwd, **environ):
    """Run deit-launch as a user does; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "launcher.cli", *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | environ,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def trials_of(cwd):
    status = json.loads(launch("status", "--json", cwd=cwd))
    return {row["trial_id"]: row for row in status["trials"]}


@pytest.mark.timeout(900)
def test_the_users_command_trains_every_trial_as_the_local_backend_does(slurm_cluster, tmp_path):
    user = tmp_path / "a user's folder"
    user.mkdir()
    home = tmp_path / "home"
    home.mkdir(mode=0o555)
    file = str(ROOT / "sweeps" / "distill_ablation.yaml")

    said = launch(
        *("sweep", file, "--profile", "laptop", "--partition", "gpu", *SMALL, *ON_NODES),
        *("--set", "augment.strength=0.5"),
        cwd=user,
        HOME=str(home),
    )

    assert "submitted" in said
    trials = [RunDir(path) for path in (user / "reports" / "latest" / "trials").iterdir()]
    until(lambda: all(run.summary_file.exists() for run in trials), 800)
    rows = trials_of(user)
    assert len(rows) == 11
    assert {row["state"] for row in rows.values()} == {"completed"}
    report = subprocess.run(
        [sys.executable, "-c", "from reports.cli import main; main()", "reports/latest"],
        cwd=user,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert report.returncode == 0, report.stdout + report.stderr
    assert (user / "reports" / "latest" / "report" / "index.html").exists()

    assert_same_as_local(rows, tmp_path)


def assert_same_as_local(rows, tmp_path):
    """Train some of the trials here, in as many processes, and compare the bits."""
    here = tmp_path / "here"
    here.mkdir()
    (here / "recipes").symlink_to(ROOT / "sweeps" / "recipes")
    sweep = here / "same.yaml"
    sweep.write_text(SAME_TRIALS)
    launch(
        *("sweep", str(sweep), "--backend", "local", "--watch", *SMALL, *ON_NODES),
        cwd=here,
        DEIT_LOCAL_CPUS="4",
    )
    local = trials_of(here)
    assert len(local) == 2
    assert local.keys() <= rows.keys()
    for trial_id, row in local.items():
        mine, theirs = RunDir(row["path"]), RunDir(rows[trial_id]["path"])
        assert mine.read_summary().world_size == theirs.read_summary().world_size == 4
        assert mine.read_summary().val_loss == theirs.read_summary().val_loss
        assert mine.weights_file.read_bytes() == theirs.weights_file.read_bytes()
