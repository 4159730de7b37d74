"""Folders may be called what sbatch takes for patterns, escapes or the end of a word."""

import pytest
from launch_support import FAKE_TRAINER, make_trial, started, until

from launcher.backends.base import Job
from launcher.backends.slurm.backend import SlurmBackend
from launcher.resources import Resources

PATIENCE_S = 120.0


@pytest.mark.parametrize("name", ["100% of it's %j", 'a "back\\slash"'])
def test_a_job_runs_and_logs_whatever_the_folders_are_called(
    slurm_cluster, tmp_path, monkeypatch, name
):
    runs = tmp_path / name / "runs"
    one = make_trial(runs / "sweep" / "trials", 0)
    monkeypatch.chdir(tmp_path / name)
    backend = SlurmBackend(runs, command=FAKE_TRAINER)

    backend.submit([Job("one", (one.path,), resources=Resources(setup=("echo ready",)))])

    until(lambda: one.read_status().state == "completed", PATIENCE_S)
    [log] = runs.glob(".slurm/*/log/0.log")
    assert log.read_text().startswith("ready\n")
    assert started(one) == 1
