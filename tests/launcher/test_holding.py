"""pause, resume and throttle on the local queue."""

import os
import signal

from launch_support import kill_everything, runner_pid, started, until
from sweeps_for_tests import hold, request_for, runs_of, sweep_once, wait_for, write_sweep

from launcher.control import cancel
from launcher.holding import pause, resume, throttle
from launcher.monitor import Monitor
from launcher.plan_text import plan_lines
from launcher.reconcile import preview

COHORT = {"seeds": "[0]", "axes": "model.depth: [1, 2]", "resources": "{max_parallel: 1}"}


def paused_after_a_start(runs, local, tmp_path, **sweep):
    """A sweep whose trials wait for the gate: one has begun, then all were paused."""
    file, gate = write_sweep(tmp_path, **sweep), tmp_path / "gate"
    outcome = hold(runs, file, local, gate)
    until(lambda: any(started(run) for run in runs_of(outcome)))
    held = pause(outcome.sweep_dir, local, None)
    until(lambda: not local.runner_is_alive())
    return file, gate, outcome, held


def test_a_paused_trial_saves_and_waits_until_it_is_resumed(runs, local, tmp_path):
    resources = "{cohort: false, max_parallel: 1}"
    _, gate, outcome, held = paused_after_a_start(
        runs, local, tmp_path, seeds="[0, 1]", resources=resources
    )
    first, second = runs_of(outcome)
    assert set(held.asked) == {first.path.name, second.path.name}
    assert held.running == (first.path.name,)
    status = first.read_status()
    assert (status.state, status.reason) == ("preempted", "paused by the user")
    assert [started(run) for run in (first, second)] == [1, 0]
    gate.touch()
    assert resume(outcome.sweep_dir, local, None).asked == held.asked
    assert first.read_status().reason != "paused by the user"
    wait_for(outcome)
    assert [started(run) for run in (first, second)] == [2, 1]


def test_a_sweep_leaves_paused_trials_and_says_so(runs, local, tmp_path):
    file, gate, outcome, _ = paused_after_a_start(runs, local, tmp_path, seeds="[0]")
    gate.touch()
    again = sweep_once(runs, file, local)
    assert again.plan.counts() == {"keep": 1}
    assert "queued or running: 1 trial: paused, until `deit-launch resume`" in plan_lines(
        preview(runs, request_for(file), local)
    )
    assert not local.runner_is_alive()
    snapshot = Monitor(outcome.sweep_dir, local).look()
    assert snapshot.settled()
    (row,) = snapshot.rows
    assert (row.state, row.held, row.shown_state) == ("queued", True, "paused")
    assert "deit-launch resume" in row.why


def test_a_pause_outlives_the_runner(runs, local, tmp_path):
    _, gate, outcome, _ = paused_after_a_start(runs, local, tmp_path, seeds="[0]")
    kill_everything(runs)
    gate.touch()
    local.revive()
    assert not local.runner_is_alive()
    assert started(runs_of(outcome)[0]) == 1
    resume(outcome.sweep_dir, local, None)
    wait_for(outcome)


def test_a_runner_that_died_is_replaced_to_stop_what_is_paused(runs, local, tmp_path):
    outcome = hold(runs, write_sweep(tmp_path, seeds="[0]"), local, tmp_path / "gate")
    (run,) = runs_of(outcome)
    until(lambda: started(run))
    os.kill(runner_pid(runs), signal.SIGKILL)
    until(lambda: not local.runner_is_alive())
    pause(outcome.sweep_dir, local, None)
    until(lambda: run.read_status().reason == "paused by the user")


def test_what_shares_the_job_is_paused_and_resumed_with_it(runs, local, tmp_path):
    outcome = hold(runs, write_sweep(tmp_path, **COHORT), local, tmp_path / "gate")
    first, second = runs_of(outcome)
    until(lambda: started(first))
    held = pause(outcome.sweep_dir, local, [first.path.name])
    assert (held.asked, held.beside) == ((first.path.name,), (second.path.name,))
    until(lambda: not local.runner_is_alive())
    (tmp_path / "gate").touch()
    assert resume(outcome.sweep_dir, local, [second.path.name]).beside == (first.path.name,)
    wait_for(outcome)


def test_a_paused_trial_can_be_cancelled(runs, local, tmp_path):
    file, gate, outcome, _ = paused_after_a_start(runs, local, tmp_path, seeds="[0]")
    assert cancel(outcome.sweep_dir, local, None) == list(outcome.paths)
    assert runs_of(outcome)[0].read_status().reason == "cancelled by the user"
    gate.touch()
    wait_for(sweep_once(runs, file, local))


def test_nothing_to_pause_or_to_resume(runs, local, tmp_path):
    outcome = sweep_once(runs, write_sweep(tmp_path, seeds="[0]"), local)
    wait_for(outcome)
    until(lambda: not local.queue.tags())
    assert pause(outcome.sweep_dir, local, None).asked == ()
    assert resume(outcome.sweep_dir, local, None).asked == ()


def test_a_throttle_holds_for_waiting_jobs_and_for_later_ones(runs, local, tmp_path):
    file, gate = write_sweep(tmp_path, resources="{cohort: false, max_parallel: 1}"), "gate"
    outcome = hold(runs, file, local, tmp_path / gate)
    until(lambda: sum(started(run) for run in runs_of(outcome)) == 1)
    throttle(outcome.sweep_dir, local, 2)
    until(lambda: sum(started(run) for run in runs_of(outcome)) == 2)
    assert outcome.sweep_dir.read_plan().resources["max_parallel"] == 2
    sweep_once(runs, file, local)
    assert outcome.sweep_dir.read_plan().resources["max_parallel"] == 2
    throttle(outcome.sweep_dir, local, None)
    assert local.queue.throttled() == {outcome.sweep_dir.path.name: None}
    (tmp_path / gate).touch()
    wait_for(outcome)
    until(lambda: not local.runner_is_alive())
    assert local.queue.throttled() == {}
