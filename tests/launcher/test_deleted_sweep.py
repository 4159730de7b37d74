"""A sweep that shares trials with another survives the deletion of that one."""

import shutil

import pytest
from launch_support import until
from sweeps_for_tests import (
    hold,
    runs_of,
    sweep_once,
    wait_for,
    write_distillation,
    write_sweep,
)
from typer.testing import CliRunner

from deit_core.run_dir import RunDir
from launcher import cli
from launcher.control import cancel, retry
from launcher.request import read_request, without_config


@pytest.fixture
def bereft(runs, local, tmp_path):
    """A sweep file and its folder; one of two trials was deleted with the sweep it lay in."""
    one = sweep_once(runs, write_sweep(tmp_path, name="one", seeds="[0]"), local)
    wait_for(one)
    file = write_sweep(tmp_path, name="two", seeds="[0, 1]")
    two = sweep_once(runs, file, local)
    wait_for(two)
    until(lambda: not local.queue.tags())
    shutil.rmtree(one.sweep_dir.path)
    return file, two


def test_dead_links_are_replaced_by_folders(bereft, runs, local):
    file, before = bereft
    after = sweep_once(runs, file, local)
    assert sorted(after.plan.counts().items()) == [("done", 1), ("run", 1)]
    wait_for(after)
    for run in runs_of(after):
        assert run.path.parent == before.sweep_dir.trials.resolve()
        events = before.sweep_dir.tensorboard / run.read_trial().name
        assert not events.is_symlink()
        run.tensorboard_dir().mkdir(parents=True, exist_ok=True)  # as the summary writer does


def test_a_dead_link_is_turned_to_another_copy(runs, local, tmp_path):
    one = sweep_once(runs, write_sweep(tmp_path, name="one", seeds="[0]"), local)
    wait_for(one)
    file = write_sweep(tmp_path, name="two", seeds="[0]")
    two = sweep_once(runs, file, local)
    shutil.copytree(one.sweep_dir.path, runs / "2001-01-01_copy_0000")
    shutil.rmtree(one.sweep_dir.path)
    again = sweep_once(runs, file, local)
    assert again.plan.counts() == {"done": 1}
    [trial_id] = again.paths
    assert (two.sweep_dir.trials / trial_id / "summary.json").exists()
    [name] = [trial.name for trial in two.sweep_dir.read_plan().trials]
    assert (two.sweep_dir.tensorboard / name).is_dir()


def test_retry_and_cancel_pass_over_what_is_gone(bereft, local):
    _, two = bereft
    first, second = two.sweep_dir.read_plan().trials
    assert without_config(two.sweep_dir, two.sweep_dir.read_plan()) == {first.trial_id}
    said = CliRunner().invoke(cli.app, ["cancel", "--all", "--sweep", str(two.sweep_dir.path)])
    assert f"note: 1 trial passed over, as the run directory was deleted ({first.trial_id})" in (
        said.stderr
    )
    run = RunDir(two.paths[second.trial_id])
    run.summary_file.unlink()
    failed = {"state": "failed", "failure": "diverged"}
    run.write_status(run.read_status().model_copy(update=failed))
    assert cancel(two.sweep_dir, local, None) == []
    assert retry(two.sweep_dir, local, None).plan.counts() == {"retry": 1}
    until(run.summary_file.exists)


def test_students_of_a_deleted_teacher_wait_for_sweep(runs, local, tmp_path):
    file = write_distillation(tmp_path, seeds="[0]")
    outcome = hold(runs, file, local, tmp_path / "gate")
    cancel(outcome.sweep_dir, local, None)
    (tmp_path / "gate").touch()
    teacher, *students = runs_of(outcome)
    shutil.rmtree(teacher.path)
    assert len(read_request(outcome.sweep_dir).expansion.trials) == 2
    plan = retry(outcome.sweep_dir, local, [run.path.name for run in students]).plan
    assert plan.counts() == {"leave": 2}
    assert plan.actions[0].reason == f"its teacher {teacher.path.name} was deleted"
    again = sweep_once(runs, file, local)
    wait_for(again)
