"""The commands that steer trials, and which backend they ask."""

import json

import pytest
from launch_support import FAKE_TRAINER, started, until
from sweeps_for_tests import hold, runs_of, sweep_once, wait_for, write_sweep
from test_launch_cli import call

from launcher.backends import local as local_module
from launcher.backends import queue_backend
from launcher.backends.base import JobReport
from launcher.carry_out import record_job
from launcher.commands import common
from launcher.control import cancel
from launcher.holding import pause, resume, throttle
from launcher.observe import read_trial_job


@pytest.fixture(autouse=True)
def fake_trainer(monkeypatch):
    monkeypatch.setattr(queue_backend, "TRAINER", FAKE_TRAINER)
    monkeypatch.delenv("DEIT_RUNS", raising=False)


def fail(run, failure):
    """Let a trial that is done have failed."""
    run.summary_file.unlink(missing_ok=True)
    update = {"state": "failed", "failure": failure, "reason": f"it {failure}"}
    run.write_status(run.read_status().model_copy(update=update))


@pytest.fixture
def two_failed(runs, local, tmp_path):
    """A sweep of which one trial ran out of time and one diverged."""
    outcome = sweep_once(runs, write_sweep(tmp_path, seeds="[0, 1]"), local)
    wait_for(outcome)
    until(lambda: not local.queue.tags())
    for run, failure in zip(runs_of(outcome), ("timeout", "diverged"), strict=True):
        fail(run, failure)
    return outcome


def test_retry_takes_those_that_failed_for_a_cause(two_failed, local):
    sweep = two_failed.sweep_dir.path
    late, diverged = runs_of(two_failed)
    out = call("retry", "--cause", "timeout", "--cause", "lost", "--sweep", sweep)[1]
    assert "submitted 1 job" in out
    until(lambda: late.read_status().state == "completed")
    assert (started(late), started(diverged)) == (2, 1)
    error = call("retry", "--cause", "timeut", "--sweep", sweep)[2]
    assert error == "no trial fails for 'timeut'; did you mean \"timeout\"?"


def test_from_scratch_forgets_what_was_done(two_failed, local):
    sweep = two_failed.sweep_dir.path
    run, other = runs_of(two_failed)
    for each in (run, other):
        each.checkpoint_dir.mkdir()
        each.append_metrics({"step": 1, "kind": "eval"})
    error = call("retry", "--failed", "--from-scratch", "--sweep", sweep)[2]
    assert error == "--from-scratch removes checkpoints and metrics: name the trials"
    assert run.checkpoint_dir.exists()
    call("retry", run.path.name, "--from-scratch", "--sweep", sweep)
    until(lambda: run.read_status().state == "completed")
    assert not run.checkpoint_dir.exists()
    assert not run.metrics_file.exists()
    assert run.read_status().attempt == 2
    assert other.checkpoint_dir.exists()
    error = call("retry", run.path.name, "--from-scratch", "--sweep", sweep)[2]
    assert f"{run.path.name} is completed; only what failed or was stopped" in error


def test_pause_resume_and_throttle_say_what_they_did(runs, local, tmp_path):
    file = write_sweep(
        tmp_path, seeds="[0]", axes="model.depth: [1, 2]", resources="{max_parallel: 1}"
    )
    outcome = hold(runs, file, local, tmp_path / "gate")
    first, second = (run.path.name for run in runs_of(outcome))
    until(lambda: started(runs_of(outcome)[0]))
    option = ("--sweep", outcome.sweep_dir.path)
    assert call("pause", first, *option)[1].splitlines() == [
        f"paused: {first}",
        f"paused with them, as they share their jobs: {second}",
        f"these run, and save first: {first}, {second}",
        f"to continue: deit-launch resume {first} --sweep {option[1].relative_to(tmp_path)}",
    ]
    assert "nothing to pause" in call("pause", first, *option)[1]
    until(lambda: not local.runner_is_alive())
    out = call("status", outcome.sweep_dir.path)[1]
    assert "small: 2 paused" in out
    status = json.loads(call("status", outcome.sweep_dir.path, "--json")[1])
    assert status["counts"] == {"queued": 2}
    assert all(trial["held"] and trial["backend"] == "local" for trial in status["trials"])
    (tmp_path / "gate").touch()
    assert call("resume", "--all", *option)[1] == f"resumed: {first}, {second}\n"
    assert "nothing to resume" in call("resume", "--all", *option)[1]
    assert call("throttle", "3", *option)[1].splitlines() == [
        "at most 3 jobs at once; a later `sweep` keeps this",
        f"to lift it: deit-launch throttle none --sweep {option[1].relative_to(tmp_path)}",
    ]
    assert "as many jobs run at once as fit" in call("throttle", "none", *option)[1]
    for given in ("0", "-1", "many", "1.5"):
        code, _, error = call("throttle", *option, "--", given)
        assert (code, error) == (
            2,
            f"{given!r} is no number of jobs; give 1 or more, or `none`",
        )
    wait_for(outcome)


@pytest.mark.parametrize(("can_answer", "confirmed"), [(True, ["--yes"]), (False, [])])
def test_many_trials_are_asked_for_only_of_who_can_answer(
    runs, tmp_path, monkeypatch, can_answer, confirmed
):
    monkeypatch.setattr(local_module.LocalBackend, "_ensure_runner", lambda self: None)
    monkeypatch.setattr("launcher.control._await_end", lambda owner, job_ids: None)
    call("sweep", write_sweep(tmp_path, seeds=str(list(range(21)))), "--backend", "local")
    monkeypatch.setattr(common, "_can_answer", lambda: True)
    code, out, _ = call("cancel", "--all")
    assert (code, "cancel 21 trials?" in out) == (1, True)
    monkeypatch.setattr(common, "_can_answer", lambda: can_answer)
    assert "cancelled: " in call("cancel", "--all", *confirmed)[1]


class Elsewhere:
    """A backend that runs every job, and notes what it is told."""

    name = "slurm"

    def __init__(self):
        self.told = []
        self.state = "running"
        self.is_held = False

    def states(self, job_ids):
        return {job_id: JobReport(self.state, held=self.is_held) for job_id in job_ids}

    def find(self, tags):
        return {}

    def revive(self):
        pass

    def require_answer(self):
        pass

    def cancel(self, job_ids):
        self.told.append(("cancel", *job_ids))
        self.state = "ended"

    def hold(self, job_ids):
        self.told.append(("hold", *job_ids))
        self.is_held = True

    def release(self, job_ids):
        self.told.append(("release", *job_ids))

    def throttle(self, group, most):
        self.told.append(("throttle", most))


def test_each_job_is_steered_by_the_backend_that_has_it(runs, local, tmp_path):
    outcome = sweep_once(runs, write_sweep(tmp_path, seeds="[0]"), local)
    wait_for(outcome)
    until(lambda: not local.queue.tags())
    (run,) = runs_of(outcome)
    run.summary_file.unlink()
    run.write_status(run.read_status().model_copy(update={"state": "preempted"}))
    job = read_trial_job(run)
    record_job(job.model_copy(update={"backend": "slurm", "job_id": "77_0"}))
    other = Elsewhere()
    local.peers = {"slurm": other}.get
    pause(outcome.sweep_dir, local, None)
    resume(outcome.sweep_dir, local, None)
    throttle(outcome.sweep_dir, local, 5)
    cancel(outcome.sweep_dir, local, None)
    assert other.told == [
        *(("hold", "77_0"), ("release", "77_0"), ("throttle", 5), ("cancel", "77_0")),
    ]


def test_the_backend_is_the_named_one_else_slurm_where_it_answers(runs, monkeypatch):
    for answers, expected in ((True, "slurm"), (False, "local")):
        monkeypatch.setattr(
            "launcher.backends.slurm.client.answers", lambda answers=answers: answers
        )
        assert common.start_backend(None, runs).name == expected
    assert common.start_backend("slurm", runs).name == "slurm"
    assert common.start_backend(None, runs, partition="gpu").name == "slurm"


def test_a_partition_and_the_local_backend_contradict(runs, tmp_path):
    file = write_sweep(tmp_path)
    code, _, error = call("sweep", file, "--partition", "gpu", "--backend", "local")
    assert code == 2
    assert error == (
        "--partition gpu is for slurm, and --backend local is given; leave one of them out"
    )


def test_commands_on_a_sweep_ask_the_backend_it_was_started_on(runs, local, tmp_path):
    outcome = sweep_once(runs, write_sweep(tmp_path, seeds="[0]"), local)
    plan = outcome.sweep_dir.read_plan()
    assert plan.backend == "local"
    for recorded, expected in ((None, "local"), ("slurm", "slurm")):
        outcome.sweep_dir.update_plan(plan.model_copy(update={"backend": recorded}))
        assert common.sweep_backend(outcome.sweep_dir).name == expected
    wait_for(outcome)


def test_watching_by_status_leaves_like_sweep(runs, local, tmp_path, monkeypatch):
    outcome = sweep_once(runs, write_sweep(tmp_path, seeds="[0]"), local)
    code, out, _ = call("status", outcome.sweep_dir.path, "--watch")
    assert code == 0
    assert "small: 1 completed" in out

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("launcher.watch.watch", interrupted)
    code, out, _ = call("status", outcome.sweep_dir.path, "--watch")
    assert code == 130
    assert "re-attach: deit-launch status runs/" in out


def test_why_names_the_cause(two_failed):
    late = runs_of(two_failed)[0]
    option = ("--sweep", two_failed.sweep_dir.path)
    assert late.path.name in call("why", late.path.name, *option)[1]
    assert json.loads(call("why", late.path.name, "--json", *option)[1])["schema_version"] == 1
