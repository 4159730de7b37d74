"""The launcher is killed between any two of its steps: the next call submits each trial once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sweeps_for_tests import request_for, write_sweep

from launcher.backends.slurm.array_dir import SlurmDir
from launcher.backends.slurm.backend import SlurmBackend
from launcher.observe import observe
from launcher.reconcile import reconcile

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SCRIPT = Path(__file__).with_name("dying_launcher.py")
HELD = "{cohort: false, gpus_per_node: 0, mem_gb: 0.1, sbatch: {hold: true}}"
"""Jobs that SLURM never starts: only submitting is looked at."""


def call(runs, file, *last):
    argv = [sys.executable, str(SCRIPT), str(runs), str(file), *map(str, last)]
    return subprocess.run(argv, check=False, capture_output=True, text=True, timeout=120)


def jobs_of(cluster, runs):
    """Names of all elements that SLURM has of a runs folder."""
    names = {
        array.read().job_name for array in SlurmDir(runs).arrays() if array.record_file.exists()
    }
    asked = ["squeue", "--noheader", "--array", "--format=%i", f"--name={','.join(names) or '-'}"]
    return cluster.run(asked).split()


def test_killed_before_any_of_its_steps_it_loses_and_doubles_no_job(slurm_cluster, tmp_path):
    file = write_sweep(tmp_path, seeds="[0, 1]", resources=HELD)
    told = call(tmp_path / "whole", file)
    assert told.returncode == 0, told.stderr
    assert int(told.stdout) > 15

    def die_and_go_on(step):
        runs = tmp_path / f"runs{step}"
        assert call(runs, file, step).returncode == -signal.SIGKILL
        backend = SlurmBackend(runs)
        outcome = reconcile(runs, request_for(file), backend)
        seen = observe(outcome.paths, backend).values()
        return [one.condition for one in seen], len(jobs_of(slurm_cluster, runs))

    steps = range(1, int(told.stdout) + 1)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = dict(zip(steps, pool.map(die_and_go_on, steps), strict=True))
    wrong = {step: what for step, what in found.items() if what != (["queued", "queued"], 2)}
    assert wrong == {}
