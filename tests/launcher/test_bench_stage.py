"""The bench stage of a sweep: measured once, after its trials, and again only what is missing."""

import json

import pytest
from launch_support import behave, moment, starts, until
from sweeps_for_tests import hold, runs_of, sweep_once, wait_for, write_sweep

from deit_core.run_dir import RunDir
from launcher.bench.bench_dir import bench_folder, bench_runs, look_at_benches, read_bench
from launcher.reconcile import preview
from launcher.sweep_dir import SweepDir

AXES = "model.depth: [1, 2]"


def write_benched(folder, bench="{fast: true}", **options):
    path = write_sweep(folder, **options)
    path.write_text(path.read_text() + f"bench: {bench}\n")
    return path


def measured(outcome):
    """Wait until each order is done; the bench directories."""
    runs = bench_runs(outcome.sweep_dir)
    for run in runs:
        until(lambda run=run: run.read_status().state == "completed")
    return runs


def targets(run):
    return [(one.label, [path[-64:] for path in one.run_dirs]) for one in read_bench(run).targets]


def test_models_are_measured_once_after_all_trials_ended(runs, local, tmp_path):
    gate = tmp_path / "gate"
    file = write_benched(tmp_path, seeds="[0, 1]", axes=AXES)
    outcome = hold(runs, file, local, gate)
    (run,) = bench_runs(outcome.sweep_dir)
    assert sweep_once(runs, file, local).benches == ()
    gate.touch()
    wait_for(outcome)
    measured(outcome)
    assert moment(run, "start") >= max(moment(trial, "end") for trial in runs_of(outcome))
    assert [len(one.run_dirs) for one in read_bench(run).targets] == [2, 2]
    for trial in runs_of(outcome):
        assert trial.read_throughput().speed("inference").fixed.images_per_s == 1234.0
    again = sweep_once(runs, file, local)
    assert again.benches == ()
    assert again.plan.bench.missing.measured == 2
    assert len(bench_runs(outcome.sweep_dir)) == 1
