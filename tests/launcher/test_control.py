"""cancel and retry on a running sweep."""

import shutil

import pytest
from launch_support import behave, started, until
from sweeps_for_tests import (
    hold,
    runs_of,
    sweep_once,
    wait_for,
    write_distillation,
    write_sweep,
)

from launcher.control import cancel, retry
from launcher.errors import LaunchError
from launcher.reconcile import reconcile
from launcher.request import request_of
from launcher.selection import select_trial
from launcher.sweep import load_sweep


def test_cancel_saves_and_a_later_sweep_continues(runs, local, tmp_path):
    file, gate = write_sweep(tmp_path), tmp_path / "gate"
    outcome = hold(runs, file, local, gate)
    until(lambda: sum(started(run) for run in runs_of(outcome)) == 2)
    stopped = cancel(outcome.sweep_dir, local, None)
    assert sorted(stopped) == sorted(outcome.paths)
    for run in runs_of(outcome):
        status = run.read_status()
        assert (status.state, status.reason) == ("preempted", "cancelled by the user")
    gate.touch()
    again = sweep_once(runs, file, local)
    assert sum(again.plan.counts().values()) == 3
    wait_for(again)
    assert sorted(started(run) for run in runs_of(again)) == [1, 2, 2]


def test_a_trial_whose_folder_was_made_again_has_one_job(runs, local, tmp_path):
    """Its old job, still queued, may not bring back a trial that was cancelled in the new one."""
    file, gate = write_sweep(tmp_path, resources="{max_parallel: 1}"), tmp_path / "gate"
    outcome = hold(runs, file, local, gate)
    first, *others = runs_of(outcome)
    until(lambda: started(first))
    for run in others:
        shutil.rmtree(run.path)
    again = sweep_once(runs, file, local)
    ids = [run.path.name for run in others]
    assert sorted(cancel(again.sweep_dir, local, ids)) == sorted(ids)
    gate.touch()
    until(lambda: not local.queue.tags())
    assert first.read_status().state == "completed"
    for run in others:
        assert not started(run)
        assert run.read_status().state == "preempted"


def test_cancelling_one_of_a_cohort_lets_the_others_go_on(runs, local, tmp_path):
    file = write_sweep(
        tmp_path, seeds="[0]", axes="model.depth: [1, 2, 3]", resources="{max_parallel: 1}"
    )
    gate = tmp_path / "gate"
    outcome = hold(runs, file, local, gate)
    assert len(outcome.plan.jobs) == 1
    first, second, third = runs_of(outcome)
    until(lambda: started(first))
    assert cancel(outcome.sweep_dir, local, [first.path.name]) == [first.path.name]
    gate.touch()
    for run in (second, third):
        until(lambda run=run: run.read_status().state == "completed")
    assert first.read_status().state == "preempted"
    retry(outcome.sweep_dir, local, [first.path.name])
    wait_for(outcome)


def test_cancelling_a_teacher_takes_its_students_out_of_the_queue(runs, local, tmp_path):
    file = write_distillation(tmp_path, seeds="[0]")
    outcome = hold(runs, file, local, tmp_path / "gate")
    teacher = runs_of(outcome)[0]
    until(lambda: started(teacher))
    assert len(cancel(outcome.sweep_dir, local, [teacher.path.name])) == 3
    until(lambda: not local.queue.tags())
    assert all(not started(run) for run in runs_of(outcome)[1:])


def test_students_cancelled_while_their_teacher_trains_never_start(runs, local, tmp_path):
    file, gate = write_distillation(tmp_path, seeds="[0]"), tmp_path / "gate"
    outcome = hold(runs, file, local, gate)
    teacher, *students = runs_of(outcome)
    until(lambda: started(teacher))
    ids = [run.path.name for run in students]
    assert sorted(cancel(outcome.sweep_dir, local, ids)) == sorted(ids)
    assert not teacher.summary_file.exists()
    gate.touch()
    until(lambda: teacher.read_status().state == "completed")
    until(lambda: not local.runner_is_alive())  # so nothing is left that could start them
    for run in students:
        assert started(run) == 0
        assert run.read_status().reason == "cancelled by the user"


def test_settings_outside_the_id_reach_a_trial_that_was_cancelled(runs, local, tmp_path):
    file, gate = write_sweep(tmp_path, seeds="[0, 1]"), tmp_path / "gate"
    outcome = hold(runs, file, local, gate)
    until(lambda: all(started(run) for run in runs_of(outcome)))
    first, second = runs_of(outcome)
    changed = request_of(load_sweep(file, overrides=["train.threads=2", "data.workers=2"]))
    cancel(outcome.sweep_dir, local, [first.path.name])
    again = reconcile(runs, changed, local)
    assert list(again.paths) == list(outcome.paths)
    config = first.read_config()
    assert (config.train.threads, config.data.workers) == (2, 2)
    assert second.read_config().train.threads != 2  # it runs, with what it was started with
    gate.touch()
    wait_for(again)
    reconcile(runs, request_of(load_sweep(file)), local)
    assert first.read_config() == config  # and a result keeps what it was made with


def test_cancelling_nothing_says_so(runs, local, tmp_path):
    outcome = sweep_once(runs, write_sweep(tmp_path, seeds="[0]"), local)
    wait_for(outcome)
    until(lambda: not local.queue.tags())
    assert cancel(outcome.sweep_dir, local, None) == []


def test_retry_continues_what_failed(runs, local, tmp_path):
    file, gate = write_distillation(tmp_path, seeds="[0]"), tmp_path / "gate"
    outcome = hold(runs, file, local, gate)
    teacher, *students = runs_of(outcome)
    behave(teacher, gate=str(gate), diverge=True)
    cancel(outcome.sweep_dir, local, None)
    gate.touch()
    sweep_once(runs, file, local)
    until(lambda: students[0].read_status().failure == "dependency")
    until(lambda: not local.queue.tags())
    again = sweep_once(runs, file, local)
    assert again.plan.counts() == {"failed": 3}
    assert again.plan.jobs == ()
    behave(teacher)
    outcome = retry(outcome.sweep_dir, local, [teacher.path.name])
    assert outcome.plan.counts() == {"retry": 3}
    wait_for(outcome)


def test_retry_failed_takes_every_failed_trial(runs, local, tmp_path):
    file, gate = write_sweep(tmp_path, seeds="[0, 1]"), tmp_path / "gate"
    outcome = hold(runs, file, local, gate)
    until(lambda: all(started(run) for run in runs_of(outcome)))
    cancel(outcome.sweep_dir, local, None)
    run, other = runs_of(outcome)
    run.write_status(
        run.read_status().model_copy(update={"state": "failed", "failure": "diverged"})
    )
    gate.touch()
    plan = retry(outcome.sweep_dir, local, None).plan
    assert plan.counts() == {"retry": 1, "leave": 1}
    until(lambda: run.read_status().state == "completed")
    assert other.read_status().state == "preempted"


def test_trials_are_named_by_id_start_or_name(runs, local, tmp_path):
    outcome = sweep_once(runs, write_sweep(tmp_path, seeds="[0, 1, 12]"), local)
    trials = outcome.sweep_dir.read_plan().trials
    first = trials[0]
    assert select_trial(first.trial_id[:8], trials) == first
    assert select_trial(first.name, trials) == first
    assert select_trial("seed=1", trials).seed == 1
    with pytest.raises(LaunchError, match=r"'seed' is 3 trials: .*give a whole name, or an id"):
        select_trial("seed", trials)
    with pytest.raises(LaunchError, match=r'no trial \'seed=2\'; did you mean "seed='):
        select_trial("seed=2", trials)
    with pytest.raises(LaunchError, match=r"no trial '\$\$'; valid: "):
        select_trial("$$", trials)
    wait_for(outcome)
