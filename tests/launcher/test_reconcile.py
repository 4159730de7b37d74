"""No driver to lose: whatever is killed, nothing is lost and nothing runs twice."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from launch_support import FAKE_TRAINER, runner_pid, started, until
from sweeps_for_tests import (
    hold,
    request_for,
    runs_of,
    sweep_once,
    total_starts,
    wait_for,
    write_distillation,
    write_sweep,
)

from deit_core.errors import RunDirError, SchemaError, UserError
from deit_core.run_dir import RunDir
from launcher.backends.local import LocalBackend
from launcher.carry_out import record_job
from launcher.observe import read_trial_job
from launcher.reconcile import preview
from launcher.sweep_dir import SweepDir, point_latest

CALLER = """
import os, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from sweeps_for_tests import sweep_once
from launcher import carry_out, reconcile
from launcher.backends.local import LocalBackend
{sabotage}
backend = LocalBackend(Path({runs!r}), command={command!r})
sweep_once(Path({runs!r}), Path({file!r}), backend)
"""
DIE_BEFORE_RECORD = """
record = carry_out.record_job
def sabotaged(job, run_dirs=None):
    if job.job_id is not None:
        os.kill(os.getpid(), 9)
    record(job, run_dirs)
carry_out.record_job = sabotaged
"""
DIE_BEFORE_SUBMIT = """
LocalBackend.submit = lambda self, job: os.kill(os.getpid(), 9)
"""
DIE_BETWEEN_INTENTS = """
def sabotaged(job, record=carry_out.record_job):
    record(job, job.run_dirs[:1])
    os.kill(os.getpid(), 9)
carry_out.record_job = sabotaged
"""
# Each caller, about to submit, gives the others a chance to stand at the same point: they must not.
MEET = """
import time
plan = reconcile._plan
def meeting(request, observations, *rest):
    made = plan(request, observations, *rest)
    Path(os.environ["MEET"], str(os.getpid())).touch()
    deadline = time.monotonic() + 0.7
    while len(os.listdir(os.environ["MEET"])) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    return made
reconcile._plan = meeting
"""


def call(runs, file, sabotage=""):
    """A launcher call in a process of its own."""
    code = CALLER.format(
        tests=str(Path(__file__).parent),
        sabotage=sabotage,
        runs=str(runs),
        command=FAKE_TRAINER,
        file=str(file),
    )
    return subprocess.Popen([sys.executable, "-c", code])


def test_a_sweep_trains_every_trial_and_a_second_call_none(runs, local, tmp_path):
    file = write_distillation(tmp_path)
    first = sweep_once(runs, file, local)
    assert len(first.plan.jobs) == 3
    wait_for(first)
    again = sweep_once(runs, file, local)
    assert again.sweep_dir.path == first.sweep_dir.path
    assert again.plan.counts() == {"done": 5}
    assert again.plan.jobs == ()
    assert total_starts(again) == [1] * 5


def test_asking_while_it_runs_starts_nothing(runs, local, tmp_path):
    file, gate = write_sweep(tmp_path), tmp_path / "gate"
    first = hold(runs, file, local, gate)
    assert sweep_once(runs, file, local).plan.counts() == {"keep": 3}
    gate.touch()
    wait_for(first)
    assert total_starts(first) == [1, 1, 1]


def test_two_sweeps_share_their_trials(runs, local, tmp_path):
    gate = tmp_path / "gate"
    one = hold(runs, write_sweep(tmp_path, name="one", seeds="[0, 1]"), local, gate)
    two = sweep_once(runs, write_sweep(tmp_path, name="two", seeds="[1, 2]"), local)
    assert sorted(two.plan.counts().items()) == [("keep", 1), ("run", 1)]
    shared = set(one.paths) & set(two.paths)
    link = two.sweep_dir.trials / shared.pop()
    assert link.is_symlink()
    assert not os.readlink(link).startswith("/")
    assert (two.sweep_dir.tensorboard / RunDir(link).read_trial().name).is_symlink()
    gate.touch()
    wait_for(one)
    wait_for(two)
    assert total_starts(one) + total_starts(two) == [1, 1, 1, 1]


def test_a_failed_trial_is_not_shared(runs, local, tmp_path):
    one = sweep_once(runs, write_sweep(tmp_path, name="one", seeds="[0]"), local)
    wait_for(one)
    run = runs_of(one)[0]
    run.summary_file.unlink()
    failed = {"state": "failed", "failure": "diverged"}
    run.write_status(run.read_status().model_copy(update=failed))
    two = sweep_once(runs, write_sweep(tmp_path, name="two", seeds="[0]"), local)
    assert runs_of(two)[0].path != run.path
    wait_for(two)


def test_a_deleted_sweep_leaves_dead_links_that_are_replaced(runs, local, tmp_path):
    one = sweep_once(runs, write_sweep(tmp_path, name="one", seeds="[0]"), local)
    wait_for(one)
    file = write_sweep(tmp_path, name="two", seeds="[0]")
    sweep_once(runs, file, local)
    one.sweep_dir.path.rename(tmp_path / "elsewhere")
    two = sweep_once(runs, file, local)
    assert two.plan.counts() == {"run": 1}
    wait_for(two)


@pytest.mark.parametrize("sabotage", [DIE_BEFORE_RECORD, DIE_BEFORE_SUBMIT, DIE_BETWEEN_INTENTS])
def test_a_launcher_killed_while_submitting_loses_nothing(runs, local, tmp_path, sabotage):
    file = write_distillation(tmp_path)
    assert call(runs, file, sabotage).wait() == -signal.SIGKILL
    outcome = sweep_once(runs, file, local)
    wait_for(outcome)
    assert total_starts(outcome) == [1] * 5


def test_a_job_that_was_submitted_but_not_recorded_is_adopted(runs, local, tmp_path):
    file, gate = write_sweep(tmp_path, seeds="[0]"), tmp_path / "gate"
    outcome = hold(runs, file, local, gate)  # makes the trial wait
    run = runs_of(outcome)[0]
    job = read_trial_job(run)
    run.job_file.write_text(job.model_copy(update={"job_id": None}).model_dump_json())
    again = sweep_once(runs, file, local)
    assert again.adopted == 1
    assert again.plan.jobs == ()
    assert read_trial_job(run).job_id == job.job_id
    gate.touch()
    wait_for(again)


def test_concurrent_callers_submit_once(runs, local, tmp_path, monkeypatch):
    file = write_distillation(tmp_path, seeds="[0, 1, 2]")
    (tmp_path / "meet").mkdir()
    monkeypatch.setenv("MEET", str(tmp_path / "meet"))
    callers = [call(runs, file, MEET) for _ in range(3)]
    assert [caller.wait() for caller in callers] == [0, 0, 0]
    outcome = sweep_once(runs, file, local)
    wait_for(outcome)
    until(lambda: not local.queue.tags())
    assert total_starts(outcome) == [1] * 7
    assert len(list(runs.glob("*_distill_*"))) == 1
    log = local.queue.runner_log.read_text()
    assert len(set(re.findall(r"job (\w+):", log))) == 4


def test_a_killed_runner_is_replaced_and_its_jobs_go_on(runs, local, tmp_path):
    file, gate = write_sweep(tmp_path), tmp_path / "gate"
    outcome = hold(runs, file, local, gate)
    until(lambda: sum(total_starts(outcome)) == 2)
    os.kill(runner_pid(runs), signal.SIGKILL)
    until(lambda: not local.runner_is_alive())
    assert sweep_once(runs, file, local).plan.counts() == {"keep": 3}
    gate.touch()
    wait_for(outcome)
    assert total_starts(outcome) == [1, 1, 1]


def test_jobs_and_runner_killed_together_are_resumed(runs, local, tmp_path):
    file, gate = write_sweep(tmp_path, seeds="[0]"), tmp_path / "gate"
    outcome = hold(runs, file, local, gate)
    run = runs_of(outcome)[0]
    until(lambda: started(run))
    os.kill(runner_pid(runs), signal.SIGKILL)
    os.kill(run.read_status().pid, signal.SIGKILL)
    until(lambda: not run.is_locked() and not local.runner_is_alive())
    sweep_once(runs, file, local)
    gate.touch()
    wait_for(outcome)
    assert started(run) == 2


def test_a_lost_queue_is_made_again(runs, local, tmp_path):
    file = write_sweep(tmp_path, seeds="[0]")
    assert call(runs, file, DIE_BEFORE_SUBMIT).wait() == -signal.SIGKILL
    outcome = sweep_once(runs, file, LocalBackend(runs, command=FAKE_TRAINER))
    wait_for(outcome)


def test_a_result_without_its_last_status_counts(runs, local, tmp_path):
    file = write_sweep(tmp_path, seeds="[0]")
    outcome = sweep_once(runs, file, local)
    wait_for(outcome)
    run = runs_of(outcome)[0]
    run.write_status(run.read_status().model_copy(update={"state": "running"}))
    until(lambda: not local.queue.tags())
    assert sweep_once(runs, file, local).plan.counts() == {"done": 1}
    assert run.read_status().state == "completed"


def test_a_heartbeat_from_another_machine_is_life(runs, local, tmp_path):
    file = write_sweep(tmp_path, seeds="[0]")
    outcome = sweep_once(runs, file, local)
    wait_for(outcome)
    run = runs_of(outcome)[0]
    until(lambda: not local.queue.tags())
    run.summary_file.unlink()
    remote = {"state": "running", "hostname": "node17"}
    status = run.read_status().model_copy(update=remote)
    run.write_status(status)
    assert sweep_once(runs, file, local).plan.counts() == {"keep": 1}
    minutes_ago = {"heartbeat_unix_s": time.time() - 120}
    run.write_status(status.model_copy(update=minutes_ago))
    job = read_trial_job(run)
    record_job(job.model_copy(update={"backend": "slurm", "job_id": "1_0"}))
    assert preview(runs, request_for(file), local).counts() == {
        "keep": 1
    }  # of whose job nobody knows
    record_job(job)  # which has ended, as its backend knows for certain
    assert preview(runs, request_for(file), local).counts() == {"resume": 1}


def test_code_that_cannot_be_copied_leaves_no_trial_with_a_job(runs, local, tmp_path):
    (runs / ".code").write_text("in the way")
    with pytest.raises(UserError, match="copy the code for the jobs"):
        sweep_once(runs, write_sweep(tmp_path, seeds="[0]"), local)
    [run] = runs.glob("*/trials/*")
    assert read_trial_job(RunDir(run)) is None


def test_a_preview_changes_nothing(runs, local, tmp_path):
    plan = preview(runs, request_for(write_sweep(tmp_path)), local)
    assert plan.counts() == {"run": 3}
    assert list(runs.iterdir()) == []


def test_a_half_deleted_trial_is_named(runs, local, tmp_path):
    file = write_sweep(tmp_path, seeds="[0]")
    outcome = sweep_once(runs, file, local)
    wait_for(outcome)
    until(lambda: not local.queue.tags())
    run = runs_of(outcome)[0]
    kept = run.config_file.read_bytes()
    run.config_file.unlink()
    with pytest.raises(RunDirError, match=r"is half deleted: config.json is missing; delete"):
        sweep_once(runs, file, local)
    run.config_file.write_bytes(kept)
    run.summary_file.unlink()
    with pytest.raises(RunDirError, match=r"is half deleted: summary.json is missing; delete"):
        sweep_once(runs, file, local)


def test_a_damaged_result_is_no_result(runs, local, tmp_path):
    file = write_sweep(tmp_path, seeds="[0]")
    outcome = sweep_once(runs, file, local)
    wait_for(outcome)
    until(lambda: not local.queue.tags())
    run = runs_of(outcome)[0]
    run.summary_file.write_text('{"a')
    with pytest.raises(RunDirError, match=r"summary\.json is damaged: .*; delete .* and run the"):
        sweep_once(runs, file, local)
    shutil.rmtree(run.path)
    again = sweep_once(runs, file, local)
    assert again.plan.counts() == {"run": 1}
    wait_for(again)


def test_a_newer_sweep_folder_is_refused(runs, local, tmp_path):
    file = write_sweep(tmp_path, seeds="[0]")
    outcome = sweep_once(runs, file, local)
    plan = json.loads(outcome.sweep_dir.plan_file.read_text())
    outcome.sweep_dir.plan_file.write_text(json.dumps(plan | {"schema_version": 99}))
    with pytest.raises(SchemaError, match=r"has schema version 99, this program reads up to"):
        sweep_once(runs, file, local)


def test_a_folder_without_permission_is_one_line(tmp_path, local):
    file = write_sweep(tmp_path, seeds="[0]")
    (tmp_path / "file").touch()
    with pytest.raises(RunDirError, match=r"cannot make the runs folder: .*/file/runs: ") as error:
        sweep_once(tmp_path / "file" / "runs", file, local)
    assert "\n" not in str(error.value)


def test_plan_json_lists_every_trial(runs, local, tmp_path):
    outcome = sweep_once(runs, write_distillation(tmp_path), local)
    plan = outcome.sweep_dir.read_plan()
    assert [trial.role for trial in plan.trials] == ["teacher"] + ["student"] * 4
    assert plan.axes == ("distill.kind",)
    assert outcome.sweep_dir.sweep_file.read_text() == (tmp_path / "distill.yaml").read_text()
    assert outcome.sweep_dir.path.name.endswith(f"_distill_{plan.sweep_hash[:4]}")
    wait_for(outcome)


def test_a_folder_of_another_day_is_reused(runs, local, tmp_path):
    file = write_sweep(tmp_path, seeds="[0]")
    outcome = sweep_once(runs, file, local)
    wait_for(outcome)
    until(lambda: not local.queue.tags())
    old = outcome.sweep_dir.path
    old.rename(runs / f"2001-01-01{old.name[10:]}")
    again = sweep_once(runs, file, local)
    assert again.sweep_dir.path.name.startswith("2001-01-01")
    assert again.plan.counts() == {"done": 1}


def test_latest_is_a_relative_link_replaced_in_one_step(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        point_latest(SweepDir(tmp_path / "runs" / name))
        link = tmp_path / "reports" / "latest"
        assert os.readlink(link) == f"../runs/{name}"
    assert [entry.name for entry in (tmp_path / "reports").iterdir()] == ["latest"]


def test_a_killed_job_is_finished_by_the_queue_alone(runs, local, tmp_path):
    file, gate = write_sweep(tmp_path, seeds="[0]"), tmp_path / "gate"
    outcome = hold(runs, file, local, gate)
    run = runs_of(outcome)[0]
    until(lambda: started(run) and run.is_locked())
    os.kill(run.read_status().pid, signal.SIGKILL)
    gate.touch()
    wait_for(outcome)
    assert started(run) == 2
