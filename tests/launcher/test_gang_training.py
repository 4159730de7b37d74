"""A sweep whose jobs have several processes, trained for real on this machine."""

import os
import signal
from pathlib import Path

import pytest
import torch
import yaml
from launch_support import until
from safetensors.torch import load_file
from sweeps_for_tests import runs_of, sweep_once

from deit_core.run_dir import RunDir
from launcher.backends.local import LocalBackend
from tests.deit_core.conftest import micro_values
from tests.deit_core.rank_processes import train

PATIENCE_S = 120.0
LONG = {"duration": "20ep", "checkpoint_every_epochs": 1}
"""100 steps: time to be killed on the way."""


@pytest.fixture
def sweep(tmp_path):
    (tmp_path / "micro.yaml").write_text(yaml.safe_dump(micro_values(train=LONG)))
    path = tmp_path / "two.yaml"
    path.write_text(
        "name: two\nbase: micro.yaml\nseeds: [0]\n"
        "resources: {tasks_per_node: 2, cpus_per_trial: 2, cohort: false}\n"
    )
    return path


def rank_pid(gang, rank):
    """The process of this rank among a gang's children."""
    for pid in Path(f"/proc/{gang}/task/{gang}/children").read_text().split():
        if f"RANK={rank}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            return int(pid)
    return None


def steps(run):
    return [
        (row["step"], row["train_loss"]) for row in run.read_metrics() if row["kind"] == "train"
    ]


def test_a_killed_rank_costs_nothing_and_changes_nothing(runs, sweep, tmp_path):
    """Kill -9 mid-way, resumed by itself: bit-equal to the same processes left alone."""
    backend = LocalBackend(runs)
    outcome = sweep_once(runs, sweep, backend)
    (run,) = runs_of(outcome)
    (tag,) = backend.queue.tags()
    until(lambda: len(steps(run)) > 4, PATIENCE_S)
    os.kill(rank_pid(backend.queue.pid(tag), 1), signal.SIGKILL)
    until(lambda: run.read_status().state == "completed", PATIENCE_S)
    assert run.read_status().attempt == 2
    assert run.read_summary().world_size == 2
    assert "attempt 2" in run.rank_log(1).read_text()

    alone = RunDir(tmp_path / "alone")
    alone.create(run.read_trial(), run.read_config())
    train(2, alone)
    left, right = load_file(run.weights_file), load_file(alone.weights_file)
    assert all(torch.equal(left[key], right[key]) for key in right)
    assert steps(run) == steps(alone)
