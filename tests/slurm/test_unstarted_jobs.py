"""Jobs that end before they start their trials, on a real cluster."""

import subprocess

import pytest
from launch_support import FAKE_TRAINER, make_trial, until

from launcher.backends.base import Job
from launcher.backends.slurm.backend import SlurmBackend
from launcher.resources import Resources


@pytest.mark.parametrize(
    ("resources", "cancelled", "said"),
    [
        ({"setup": ("exit 3",)}, False, "before it started the trial (FAILED 3:0): setup line"),
        # The accounting shows no job that was never eligible to start.
        ({"sbatch": {"begin": "now+1hour"}}, True, "left the queue before it started"),
    ],
)
def test_slurm_says_how_it_ended(slurm_cluster, tmp_path, resources, cancelled, said):
    backend = SlurmBackend(tmp_path / "runs", command=FAKE_TRAINER)
    run = make_trial(tmp_path / "runs" / "s" / "trials", 0)
    job = Job("one", (run.path,), resources=Resources.model_validate(resources, strict=False))
    job_id = backend.submit([job])["one"]
    if cancelled:
        subprocess.run(["scancel", job_id], check=True)

    def unstarted():
        report = backend.states([job_id])[job_id]
        found = report.unstarted if report.state == "ended" else None
        return found if found is not None and (cancelled or found.scheduler) else None

    ended = until(unstarted, 60)
    assert said in ended.reason
    assert ended.failed is not cancelled
