"""The bench stage on a real cluster: after the trials, on a node that nothing else may use."""

from __future__ import annotations

import json

import pytest
from launch_support import FAKE_TRAINER, behave, moment, started, until
from search_support import SURROGATE, write_search
from sweeps_for_tests import hold, runs_of, sweep_once, write_sweep

from deit_core.run_dir import RunDir
from launcher.backends.slurm import client
from launcher.backends.slurm.arrays import array_of
from launcher.backends.slurm.backend import SlurmBackend
from launcher.bench.bench_dir import bench_folder, bench_runs
from launcher.observe import read_trial_job

pytestmark = pytest.mark.timeout(300)

SMALL = "{cohort: false, gpus_per_node: 0, mem_gb: 0.2, time: 10min}"
PATIENCE_S = 120.0


@pytest.fixture
def runs(slurm_cluster, tmp_path):
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


def benched(path):
    path.write_text(f"{path.read_text()}bench: {{fast: true}}\n")
    return path


def is_completed(run):
    return run.read_status().state == "completed"


def test_it_follows_the_trials_and_has_a_node_to_itself(runs, tmp_path):
    backend = SlurmBackend(runs, command=FAKE_TRAINER)
    file = benched(write_sweep(tmp_path, seeds="[0, 1]", resources=SMALL))
    gate, measuring = tmp_path / "gate", tmp_path / "measuring"
    outcome = hold(runs, file, backend, gate)
    (run,) = bench_runs(outcome.sweep_dir)
    behave(RunDir(bench_folder(outcome.sweep_dir)), gate=str(measuring))
    trials = runs_of(outcome)
    behave(trials[1], diverge=True)
    until(lambda: started(trials[0]), PATIENCE_S)
    assert started(run) == 0
    assert sweep_once(runs, file, backend).benches == (), "it is in the queue already"
    gate.touch()
    until(lambda: started(run), PATIENCE_S)
    element = read_trial_job(run).job_id
    said = client.ask("scontrol", "show", "job", "--oneliner", element).out
    assert "OverSubscribe=NO" in said  # as `--exclusive` is shown
    measuring.touch()
    until(lambda: is_completed(run), PATIENCE_S)
    assert moment(run, "start") >= moment(trials[0], "end")
    assert all(trial.read_throughput() for trial in trials)


def test_a_search_is_measured_at_its_end_though_nobody_calls(runs, tmp_path):
    backend = SlurmBackend(runs, command=SURROGATE)
    (runs / "behaviour.json").write_text(json.dumps({}))
    resources = SMALL.replace("}", ", max_parallel: 2}")
    file = benched(write_search(tmp_path, "{method: random, trials: 3}", resources=resources))
    sweep_dir = sweep_once(runs, file, backend).sweep_dir
    (run,) = until(lambda: bench_runs(sweep_dir), PATIENCE_S)
    job = until(lambda: (job := read_trial_job(run)) and job.job_id and job, PATIENCE_S)
    own = read_trial_job(RunDir(next(sweep_dir.trials.iterdir())))
    assert own is None or array_of(job.job_id) != array_of(own.job_id), "an array of its own"
