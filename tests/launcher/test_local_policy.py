"""The retry policy as the local queue carries it out: real processes, every cause they can have."""

import pytest
from launch_support import make_trial, reported, started, submit, until

from deit_core.attempts import read_attempts
from launcher.backends.base import Job
from launcher.backends.progress import JobProgress
from launcher.resources import Resources


@pytest.fixture
def folder(runs):
    return runs / "sweep" / "trials"


def train(local, run, **more):
    """Submit one trial and wait for the end of its job; how it ended."""
    submit(local, Job(run.path.name, (run.path,), **more))
    until(lambda: reported(local, run.path.name) == "ended")
    return run.read_status()


def causes(run):
    return [attempt.cause for attempt in read_attempts(run)]


def test_a_gpu_that_was_full_once_is_tried_again(local, folder):
    run = make_trial(folder, 0, oom=1)
    assert train(local, run).state == "completed"
    assert causes(run) == ["gpu_memory", "completed"]


def test_a_gpu_that_is_too_small_is_not_tried_a_third_time(local, folder):
    run = make_trial(folder, 0, oom=99)
    status = train(local, run)
    assert (status.state, status.failure, status.cause) == ("failed", "gpu_memory", "gpu_memory")
    assert started(run) == 2
    assert "--set train.micro_batch_size=8 needs less" in status.reason


def test_a_missing_module_is_the_users_to_mend(local, folder):
    run = make_trial(folder, 0, no_module=True)
    status = train(local, run)
    assert (status.failure, started(run)) == ("user_error", 0)
    assert status.reason == "ModuleNotFoundError: No module named 'nowhere'"
    assert status.attempt == 1  # it is as much an attempt as any


def test_the_sweep_says_how_often_a_trial_may_fail(local, folder):
    run = make_trial(folder, 0, vanish=99)
    status = train(local, run, resources=Resources(max_requeues=2))
    assert (status.failure, started(run)) == ("lost", 2)
    (first, _) = read_attempts(run)
    assert (first.exit_code, first.cause, first.again) == (-9, "lost", True)


def test_an_attempt_knows_where_it_ran(local, folder):
    run = make_trial(folder, 0)
    train(local, run)
    (only,) = read_attempts(run)
    assert (only.backend, only.tag, only.number) == ("local", run.path.name, 1)
    assert only.nodes == (run.read_status().hostname,)
    assert (only.cause, only.reason, only.exit_code) == ("completed", None, 0)


def test_a_cancelled_attempt_is_on_record(local, folder, tmp_path):
    run = make_trial(folder, 0, gate=str(tmp_path / "gate"))
    submit(local, Job("one", (run.path,)))
    until(lambda: started(run))
    local.cancel(["one"])
    until(lambda: reported(local, "one") == "ended")
    assert causes(run) == ["cancelled"]


def test_three_mistakes_in_a_minute_stop_the_sweep(local, folder):
    """Six trials that cannot be trained, one at a time; the last has got somewhere before."""
    trials = [make_trial(folder, seed, no_module=True) for seed in range(6)]
    other = make_trial(folder.parent.parent / "other" / "trials", 0)
    submit(local, Job("other", (other.path,), group="other"))
    tags = [f"job{seed}" for seed in range(6)]
    jobs = [
        Job(tag, (run.path,), group="sweep", max_parallel=1)
        for tag, run in zip(tags, trials, strict=True)
    ]
    got_on = JobProgress(steps={str(trials[-1].path): 5})
    local.queue.write_progress(tags[-1], got_on)
    local.submit(jobs)
    until(lambda: all(reported(local, tag) == "ended" for tag in tags))
    statuses = [run.read_status() for run in trials]
    assert [status.state for status in statuses] == ["failed"] * 3 + ["pending"] * 2 + ["failed"]
    assert statuses[3].reason == (
        "not started: 3 jobs of this sweep failed the same way within a minute: "
        "ModuleNotFoundError: No module named 'nowhere'"
    )
    until(lambda: other.read_status().state == "completed")
    assert train(local, trials[3], group="sweep").failure == "user_error"  # it may be tried again
