"""Files that a power cut has emptied: what can be made again is, and nothing else is blocked."""

import pytest
from launch_support import make_trial, until
from sweeps_for_tests import hold, runs_of, sweep_once, wait_for, write_sweep

from launcher import carry_out
from launcher.backends.base import Job
from launcher.control import cancel
from launcher.observe import observe


@pytest.fixture
def cancelled(runs, local, tmp_path):
    """A sweep file and its two trials, begun and stopped."""
    file = write_sweep(tmp_path, seeds="[0, 1]")
    outcome = hold(runs, file, local, tmp_path / "gate")
    until(lambda: all(run.is_locked() for run in runs_of(outcome)))
    cancel(outcome.sweep_dir, local, None)
    (tmp_path / "gate").touch()
    return file, outcome


@pytest.mark.parametrize("name", ["config.json", "status.json", "trial.json", "job/job.json"])
def test_an_empty_file_is_made_again(cancelled, runs, local, name):
    file, outcome = cancelled
    (runs_of(outcome)[0].path / name).write_bytes(b"")
    assert cancel(outcome.sweep_dir, local, None) == []
    again = sweep_once(runs, file, local)
    assert again.plan.starting() == 2
    wait_for(again)
    assert runs_of(again)[0].read_config() is not None
    assert runs_of(again)[0].read_trial().trial_id == runs_of(again)[0].path.name


def test_a_trial_with_a_lost_status_counts_as_stopped(local, runs):
    run = make_trial(runs / "sweep" / "trials", 0)
    run.checkpoint_dir.mkdir()
    run.status_file.write_bytes(b"")
    [seen] = observe({"it": run.path}, local).values()
    assert seen.condition == "stopped"
    assert "status.json was damaged" in seen.status.reason


def test_the_queue_trains_a_trial_with_a_lost_status(local, runs):
    run = make_trial(runs / "sweep" / "trials", 0)
    run.status_file.write_bytes(b"")
    local.submit([Job("one", (run.path,))])
    until(run.summary_file.exists)


def test_intents_are_on_the_disk_before_any_job_is_submitted(runs, local, tmp_path, monkeypatch):
    order = []
    submit = local.submit

    def noted(jobs):
        order.append("submit")
        return submit(jobs)

    monkeypatch.setattr(local, "submit", noted)
    monkeypatch.setattr(carry_out, "sync_file_system", lambda folder: order.append("sync"))
    outcome = sweep_once(runs, write_sweep(tmp_path, seeds="[0, 1]"), local)
    assert order == ["sync", "submit", "sync"]
    wait_for(outcome)
