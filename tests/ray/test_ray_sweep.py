"""Sweeps trained for real on a Ray cluster whose nodes and whose driver are killed."""

import json
import os
import signal

import pytest
import torch
import yaml
from launch_support import until
from ray_queue import driver_pid
from safetensors.torch import load_file
from sweeps_for_tests import runs_of, sweep_once

from deit_core.attempts import read_attempts
from deit_core.run_dir import RunDir
from launcher.backends.local import LocalBackend
from launcher.backends.ray.backend import RayBackend
from tests.deit_core.conftest import micro_values
from tests.deit_core.rank_processes import train

PATIENCE_S = 240.0
LONG = {"duration": "12ep", "checkpoint_every_epochs": 2, "device": "cpu"}
"""60 steps, of which every third is a row: time to be killed on the way."""
TWO_NODES = "{nodes: 2, tasks_per_node: 1, gpus_per_node: 1, max_parallel: 2, cohort: false}"


def write_sweep(folder, resources, *, seeds, **sections):
    (folder / "micro.yaml").write_text(yaml.safe_dump(micro_values(**sections)))
    path = folder / "sweep.yaml"
    path.write_text(f"name: some\nbase: micro.yaml\nseeds: {seeds}\nresources: {resources}\n")
    return path


def steps(run):
    return [
        (row["step"], row["train_loss"]) for row in run.read_metrics() if row["kind"] == "train"
    ]


def same_weights(run, other):
    left, right = load_file(run.weights_file), load_file(other.weights_file)
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in right)


def trained_alone(run, folder, world):
    alone = RunDir(folder)
    alone.create(run.read_trial(), run.read_config())
    train(world, alone)
    return alone


def names(run):
    """Of its files; those of checkpoints end in a digest that holds times."""
    return {one.name.partition("-")[0] for one in run.path.rglob("*")}


def completed(runs):
    return all(run.read_status().state == "completed" for run in runs)


def on_the_way(run):
    return run.read_status().state == "running" and len(steps(run)) > 6


def nodes_of(run):
    attempts = read_attempts(run)
    return attempts[-1].nodes if attempts else ()


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_a_node_and_the_driver_are_killed_and_nothing_is_lost(cluster, runs, tmp_path):
    """Four trials of two ranks on two nodes each: bit-equal to the same ranks left alone."""
    backend = RayBackend(runs, cluster.address)
    outcome = sweep_once(
        runs, write_sweep(tmp_path, TWO_NODES, seeds=[0, 1, 2, 3], train=LONG), backend
    )
    trials = runs_of(outcome)
    head = cluster.address.rpartition(":")[0]

    def victim():
        for run in trials:
            if on_the_way(run) and set(nodes_of(run)) - {head}:
                return run
        return None

    hit = until(victim, PATIENCE_S)
    lost = next(node for node in nodes_of(hit) if node != head)
    cluster.kill_node(lost)
    cluster.add_node()
    until(lambda: len(read_attempts(hit)) > 1, PATIENCE_S)
    first = read_attempts(hit)[0]
    assert (first.cause, first.again, lost in first.nodes) == ("node_failure", True, True)

    until(lambda: any(map(on_the_way, trials)), PATIENCE_S)
    os.kill(driver_pid(runs), signal.SIGKILL)
    until(lambda: not backend.runner_is_alive())
    backend.revive()
    until(lambda: completed(trials) and not backend.queue.tags(), PATIENCE_S)

    for run in trials:
        assert [step for step, _ in steps(run)] == list(range(3, 61, 3))
        assert run.read_summary().world_size == 2
        assert all(one.again or one.cause == "completed" for one in read_attempts(run))
    alone = trained_alone(hit, tmp_path / "alone", 2)
    assert same_weights(hit, alone)
    assert steps(hit) == steps(alone)


def test_one_process_is_bit_equal_to_the_local_backend(cluster, shared_runs, tmp_path):
    """The whole run directory is what the local backend would have written, times aside."""
    path = write_sweep(tmp_path, "{cohort: true}", seeds=[0], train={"duration": "2ep"})
    (there,) = runs_of(sweep_once(shared_runs, path, RayBackend(shared_runs, cluster.address)))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (here,) = runs_of(sweep_once(elsewhere, path, LocalBackend(elsewhere)))
    until(lambda: completed([here, there]), PATIENCE_S)
    assert same_weights(here, there)
    assert steps(here) == steps(there)
    assert json.loads(here.config_file.read_text()) == json.loads(there.config_file.read_text())
    assert names(here) == names(there)
