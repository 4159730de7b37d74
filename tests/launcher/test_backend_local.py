"""The local queue: the contract, and what only it promises (slots, adoption, one runner)."""

import os
import signal

import pytest
from backend_contract import BackendContract
from launch_support import FAKE_TRAINER, make_trial, runner_pid, started, starts, until

from launcher.backends.base import Job
from launcher.backends.local import LocalBackend
from launcher.backends.local_queue import LocalQueue
from launcher.backends.local_runner import Runner
from launcher.backends.slots import granted_cpus, granted_gpus
from launcher.errors import LaunchError


class TestContract(BackendContract):
    @pytest.fixture
    def backend(self, local):
        return local

    @pytest.fixture
    def folder(self, runs):
        return runs / "sweep" / "trials"


@pytest.fixture
def folder(runs):
    return runs / "sweep" / "trials"


def ended(backend, *tags):
    until(lambda: all(state == "ended" for state in backend.states(tags).values()))


def most_at_once(trials):
    """Largest number of trials between their start and end at the same time."""
    moments = []
    for run in trials:
        for line in starts(run):
            what, _, when, *_ = line.split()
            moments.append((float(when), 1 if what == "start" else -1))
    level = best = 0
    for _, change in sorted(moments):
        level += change
        best = max(best, level)
    return best


def test_never_more_jobs_than_cores(local, folder, tmp_path):
    trials = [make_trial(folder, seed) for seed in range(6)]
    for index, run in enumerate(trials):
        local.submit(Job(f"job{index}", (run.path,)))
    ended(local, *(f"job{index}" for index in range(6)))
    assert most_at_once(trials) <= 2
    assert all(started(run) == 1 for run in trials)


def test_slots_fill_up(local, folder, tmp_path):
    gate = str(tmp_path / "gate")
    trials = [make_trial(folder, seed, gate=gate) for seed in range(3)]
    for index, run in enumerate(trials):
        local.submit(Job(f"job{index}", (run.path,)))
    until(lambda: [started(run) for run in trials] == [1, 1, 0])
    (tmp_path / "gate").touch()
    ended(local, "job0", "job1", "job2")


def test_max_parallel_counts_within_a_sweep(local, folder, tmp_path):
    gate = str(tmp_path / "gate")
    mine = [make_trial(folder, seed, gate=gate) for seed in range(2)]
    other = make_trial(folder, 2, gate=gate)
    for index, run in enumerate(mine):
        local.submit(Job(f"job{index}", (run.path,), group="mine", max_parallel=1))
    local.submit(Job("other", (other.path,), group="other"))
    until(lambda: [started(run) for run in (*mine, other)] == [1, 0, 1])
    (tmp_path / "gate").touch()
    ended(local, "job0", "job1", "other")
    assert most_at_once(mine) == 1


def test_each_gpu_job_has_its_own_gpu(runs, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    monkeypatch.setenv("DEIT_LOCAL_CPUS", "8")
    backend = LocalBackend(runs, command=FAKE_TRAINER)
    gate = str(tmp_path / "gate")
    trials = [make_trial(folder, seed, gate=gate) for seed in range(3)]
    for index, run in enumerate(trials):
        backend.submit(Job(f"job{index}", (run.path,), gpus=1))
    until(lambda: all(map(started, trials[:2])))
    assert {starts(run)[0].split()[3] for run in trials[:2]} == {"3", "5"}
    assert started(trials[2]) == 0
    (tmp_path / "gate").touch()
    ended(backend, "job0", "job1", "job2")


def test_a_job_that_can_never_fit_is_refused(local, folder):
    run = make_trial(folder, 0)
    with pytest.raises(LaunchError, match=r"asks for 3 cores and 0 GPUs, this machine grants 2"):
        local.submit(Job("big", (run.path,), cpus=3))


def test_jobs_survive_the_runner_and_are_adopted(local, folder, runs, tmp_path):
    gate = tmp_path / "gate"
    trials = [make_trial(folder, seed, gate=str(gate)) for seed in range(3)]
    for index, run in enumerate(trials):
        local.submit(Job(f"job{index}", (run.path,)))
    until(lambda: all(map(started, trials[:2])))
    first = runner_pid(runs)
    os.kill(first, signal.SIGKILL)
    until(lambda: not local.runner_is_alive())
    assert trials[0].is_locked()
    assert trials[1].is_locked()
    LocalBackend(runs, command=FAKE_TRAINER).revive()
    until(lambda: runner_pid(runs) not in (None, first))
    gate.touch()
    ended(local, "job0", "job1", "job2")
    assert [started(run) for run in trials] == [1, 1, 1]
    assert most_at_once(trials) <= 2


def test_a_job_that_ended_while_no_runner_lived_is_not_run_again(local, folder, runs, tmp_path):
    gate = tmp_path / "gate"
    run = make_trial(folder, 0, gate=str(gate))
    local.submit(Job("one", (run.path,)))
    until(lambda: started(run))
    os.kill(runner_pid(runs), signal.SIGKILL)
    until(lambda: not local.runner_is_alive())
    gate.touch()
    until(lambda: run.read_status().state == "completed")
    local.revive()
    ended(local, "one")
    assert started(run) == 1


def test_there_is_one_runner_and_it_leaves(local, folder, runs, tmp_path):
    gate = tmp_path / "gate"
    trials = [make_trial(folder, seed, gate=str(gate)) for seed in range(4)]
    for index, run in enumerate(trials):
        local.submit(Job(f"job{index}", (run.path,)))
    gate.touch()
    until(lambda: not local.runner_is_alive())
    assert local.queue.tags() == set()
    assert local.queue.runner_log.read_text().count(" starts\n") == 1


def test_a_cohort_that_goes_down_twice_continues_one_by_one(local, folder):
    good, bad = make_trial(folder, 0), make_trial(folder, 1, vanish=99)
    third = make_trial(folder, 2)
    local.submit(Job("three", (bad.path, good.path, third.path)))
    ended(local, "three")
    assert good.read_status().state == third.read_status().state == "completed"
    status = bad.read_status()
    assert (status.state, status.failure, started(bad)) == ("failed", "lost", 3)
    assert "SIGKILL" in status.reason


def test_a_refused_trial_says_why(local, folder):
    run = make_trial(folder, 0, refuse=True)
    local.submit(Job("one", (run.path,)))
    ended(local, "one")
    status = run.read_status()
    assert (status.failure, status.reason) == ("user_error", "this trial is refused")


def test_a_deaf_job_is_killed_after_the_grace_time(runs, folder, tmp_path):
    run = make_trial(folder, 0, gate=str(tmp_path / "gate"), deaf=True)
    queue = LocalQueue(runs)
    backend = LocalBackend(runs, command=FAKE_TRAINER)
    runner = Runner(queue, grace_s=0.1)
    backend._ensure_runner = lambda: None  # this test moves the queue itself
    backend.submit(Job("one", (run.path,)))
    until(lambda: runner.tick() and run.read_status().state == "running")
    backend.cancel("one")
    until(lambda: not runner.tick())
    assert not run.is_locked()
    assert not run.summary_file.exists()


def test_a_half_deleted_trial_does_not_stop_the_queue(local, folder):
    broken, good = make_trial(folder, 0), make_trial(folder, 1)
    broken.status_file.write_text("{")
    local.submit(Job("broken", (broken.path,)))
    local.submit(Job("good", (good.path,)))
    ended(local, "broken", "good")
    assert good.read_status().state == "completed"


def test_logs_of_a_cohort_point_to_the_first(local, folder):
    first, second = make_trial(folder, 0), make_trial(folder, 1)
    local.submit(Job("two", (first.path, second.path)))
    ended(local, "two")
    assert f"training {second.path.name}" in first.stdout_file.read_text()
    assert f"../../{first.path.name}/job/stdout.log" in second.stdout_file.read_text()


def test_a_stalled_student_is_released(local, folder):
    teacher, student = make_trial(folder, 0), make_trial(folder, 1)
    local.submit(Job("student", (student.path,), after=(teacher.path,)))
    ended(local, "student")
    status = student.read_status()
    assert status.state == "pending"
    assert "neither trained nor queued" in status.reason


def test_slots_follow_the_environment():
    assert granted_cpus({"DEIT_LOCAL_CPUS": "7"}) == 7
    assert granted_cpus({}) >= 1
    assert granted_gpus({"CUDA_VISIBLE_DEVICES": "1, 2"}) == ("1", "2")
    assert granted_gpus({"CUDA_VISIBLE_DEVICES": "-1"}) == ()
    assert granted_gpus({"PATH": "/nowhere"}) == ()
    with pytest.raises(LaunchError, match="DEIT_LOCAL_CPUS is 'many'"):
        granted_cpus({"DEIT_LOCAL_CPUS": "many"})


def test_gpus_are_listed_by_nvidia_smi(tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 0\necho 1\n")
    tool.chmod(0o755)
    os.environ["PATH"], before = f"{tmp_path}:{os.environ['PATH']}", os.environ["PATH"]
    try:
        assert granted_gpus({"PATH": os.environ["PATH"]}) == ("0", "1")
    finally:
        os.environ["PATH"] = before
