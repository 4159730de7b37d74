"""The local queue: the contract, and what only it promises (slots, adoption, one runner)."""

import errno
import os
import signal
from pathlib import Path

import pytest
from backend_contract import BackendContract
from launch_support import (
    FAKE_TRAINER,
    is_gone,
    make_trial,
    others,
    runner_pid,
    started,
    starts,
    submit,
    until,
)

from deit_core.errors import RunDirError
from launcher.backends import local_process, queue_mover
from launcher.backends.base import Job
from launcher.backends.job_queue import JobQueue
from launcher.backends.local import LocalBackend, queue_folder
from launcher.backends.local_runner import Runner
from launcher.backends.progress import JobProgress
from launcher.backends.slots import granted_cpus, granted_gpus
from launcher.errors import LaunchError
from launcher.locks import take_lock


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
    until(lambda: all(report.state == "ended" for report in backend.states(tags).values()))


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
        submit(local, Job(f"job{index}", (run.path,)))
    ended(local, *(f"job{index}" for index in range(6)))
    assert most_at_once(trials) <= 2
    assert all(started(run) == 1 for run in trials)


def test_slots_fill_up(local, folder, tmp_path):
    gate = str(tmp_path / "gate")
    trials = [make_trial(folder, seed, gate=gate) for seed in range(3)]
    for index, run in enumerate(trials):
        submit(local, Job(f"job{index}", (run.path,)))
    until(lambda: [started(run) for run in trials] == [1, 1, 0])
    (tmp_path / "gate").touch()
    ended(local, "job0", "job1", "job2")


def test_max_parallel_counts_within_a_sweep(local, folder, tmp_path):
    gate = str(tmp_path / "gate")
    mine = [make_trial(folder, seed, gate=gate) for seed in range(2)]
    other = make_trial(folder, 2, gate=gate)
    for index, run in enumerate(mine):
        submit(local, Job(f"job{index}", (run.path,), group="mine", max_parallel=1))
    submit(local, Job("other", (other.path,), group="other"))
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
        submit(backend, Job(f"job{index}", (run.path,), gpus=1))
    until(lambda: all(map(started, trials[:2])))
    assert {starts(run)[0].split()[3] for run in trials[:2]} == {"3", "5"}
    assert started(trials[2]) == 0
    (tmp_path / "gate").touch()
    ended(backend, "job0", "job1", "job2")


def test_a_job_that_can_never_fit_is_refused(local, folder):
    run = make_trial(folder, 0)
    with pytest.raises(LaunchError, match=r"asks for 3 cores and 0 GPUs, this machine grants 2"):
        submit(local, Job("big", (run.path,), cpus=3))


def test_a_queue_of_callers_with_different_cores_moves(local, folder, runs, tmp_path, monkeypatch):
    gate = tmp_path / "gate"
    first, large, small = (make_trial(folder, seed, gate=str(gate)) for seed in range(3))
    monkeypatch.setenv("DEIT_LOCAL_CPUS", "1")
    submit(LocalBackend(runs, command=FAKE_TRAINER), Job("first", (first.path,)))
    until(lambda: started(first))
    monkeypatch.setenv("DEIT_LOCAL_CPUS", "2")
    submit(local, Job("large", (large.path,), cpus=2))
    submit(local, Job("small", (small.path,)))
    gate.touch()
    ended(local, "first", "large", "small")
    assert [started(run) for run in (first, large, small)] == [1, 1, 1]
    assert most_at_once([first, large]) == most_at_once([large, small]) == 1


def test_a_job_has_its_submitters_environment(local, folder, runs, tmp_path, monkeypatch):
    gate = tmp_path / "gate"
    holding, mine = make_trial(folder, 0, gate=str(gate)), make_trial(folder, 1, gate=str(gate))
    monkeypatch.setenv("HF_TOKEN", "theirs")
    submit(local, Job("holding", (holding.path,)))  # starts the runner
    monkeypatch.setenv("HF_TOKEN", "mine")
    submit(LocalBackend(runs, command=FAKE_TRAINER), Job("mine", (mine.path,)))
    until(lambda: started(mine))
    environ = Path(f"/proc/{local.queue.pid('mine')}/environ").read_bytes().split(b"\0")
    assert b"HF_TOKEN=mine" in environ
    assert b"OMP_NUM_THREADS=1" in environ
    for file in local.queue.environments.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
    assert "mine" not in (local.queue.jobs / "mine.json").read_text().replace('"tag": "mine"', "")
    gate.touch()
    until(lambda: not local.runner_is_alive())
    assert list(local.queue.environments.iterdir()) == []


@pytest.fixture
def still(local):
    """A backend whose queue is moved by the test alone."""
    local._ensure_runner = lambda: None
    return local


def test_a_full_disk_is_waited_out(still, folder, monkeypatch):
    monkeypatch.setattr(queue_mover, "LONGEST_PAUSE_S", 0.0)
    trials = [make_trial(folder, seed) for seed in range(3)]
    for index, run in enumerate(trials):
        submit(still, Job(f"job{index}", (run.path,)))
    said = []
    runner = Runner(still.queue, log=said.append)

    def no_space(tag, progress):
        raise RunDirError("cannot write it: No space left on device")

    with monkeypatch.context() as full:
        full.setattr(still.queue, "write_progress", no_space)
        for _ in range(100):
            assert runner.tick()
    assert still.queue.tags() == {"job0", "job1", "job2"}
    assert [started(run) for run in trials] == [0, 0, 0]
    assert len(said) == 3  # once a job
    until(lambda: not runner.tick())
    assert [run.read_status().state for run in trials] == ["completed"] * 3
    assert [run.read_status().attempt for run in trials] == [1, 1, 1]
    assert not any("failure" in (run.read_status().reason or "") for run in trials)


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), RunDirError("cannot write alive/one")],
)
def test_a_start_that_had_no_room_is_no_attempt(still, folder, monkeypatch, error):
    monkeypatch.setattr(queue_mover, "LONGEST_PAUSE_S", 0.0)
    run = make_trial(folder, 0)
    submit(still, Job("one", (run.path,)))
    runner = Runner(still.queue)

    def no_room(*_):
        raise error

    with monkeypatch.context() as full:
        full.setattr("launcher.backends.local_process.start", no_room)
        for _ in range(5):
            assert runner.tick()
    assert still.queue.read_progress("one").state == "queued"
    assert still.queue.read_progress("one").attempt == 0
    until(lambda: not runner.tick())
    assert run.read_status().state == "completed"
    assert started(run) == 1


def test_only_a_damaged_job_file_is_given_up(still, folder, monkeypatch):
    good, bad = make_trial(folder, 0), make_trial(folder, 1)
    submit(still, Job("good", (good.path,)))
    submit(still, Job("bad", (bad.path,)))
    (still.queue.jobs / "bad.json").write_bytes(b"")
    runner = Runner(still.queue)

    def unreachable(tag):
        raise RunDirError("cannot read it: Stale file handle")

    with monkeypatch.context() as away:
        away.setattr(still.queue, "read", unreachable)
        assert runner.tick()
    assert still.queue.tags() == {"good"}
    until(lambda: not runner.tick())
    assert (started(good), started(bad)) == (1, 0)


class Counted(dict):
    """Jobs of a runner, counting how many were looked at."""

    looks = 0

    def values(self):
        for value in super().values():
            self.looks += 1
            yield value

    def items(self):
        for item in super().items():
            self.looks += 1
            yield item


def test_a_pass_looks_at_every_job_a_few_times_only(still, folder, monkeypatch):
    monkeypatch.setattr(local_process, "start", lambda *_: None)
    monkeypatch.setattr(local_process, "is_alive", lambda *_: True)
    monkeypatch.setattr(local_process, "leader_is_gone", lambda *_: False)
    run = make_trial(folder, 0)
    for index in range(200):
        submit(still, Job(f"job{index}", (run.path,), group="mine", max_parallel=1))
    runner = Runner(still.queue)
    runner.tick()
    runner.jobs = Counted(runner.jobs)
    runner.tick()
    assert sum(live.progress.state == "running" for live in runner.jobs.values()) == 1
    assert runner.jobs.looks < 10 * 200


def test_jobs_survive_the_runner_and_are_adopted(local, folder, runs, tmp_path):
    gate = tmp_path / "gate"
    trials = [make_trial(folder, seed, gate=str(gate)) for seed in range(3)]
    for index, run in enumerate(trials):
        submit(local, Job(f"job{index}", (run.path,)))
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


def test_a_gang_survives_the_runner_and_is_adopted(local, folder, runs, tmp_path):
    gate = tmp_path / "gate"
    run = make_trial(folder, 0, gate=str(gate))
    submit(local, Job("two", (run.path,), processes=2, cpus=2))
    until(lambda: started(run) and others(run))
    first = runner_pid(runs)
    os.kill(first, signal.SIGKILL)
    until(lambda: not local.runner_is_alive())
    assert run.is_locked()
    local.revive()
    until(lambda: runner_pid(runs) not in (None, first))
    gate.touch()
    ended(local, "two")
    assert (run.read_status().state, started(run)) == ("completed", 1)


def test_a_gang_that_is_killed_is_started_again_when_all_of_it_is_gone(local, folder, tmp_path):
    gate = tmp_path / "gate"
    run = make_trial(folder, 0, gate=str(gate))
    submit(local, Job("two", (run.path,), processes=2, cpus=2))
    until(lambda: started(run) and others(run))
    os.kill(local.queue.pid("two"), signal.SIGKILL)
    until(lambda: started(run) == len(others(run)) == 2)
    assert is_gone(others(run)[0])
    gate.touch()
    ended(local, "two")
    assert run.read_status().state == "completed"


def test_a_job_submitted_by_a_process_of_another_is_none_of_its_processes(
    local, folder, tmp_path, monkeypatch
):
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "DEIT_RENDEZVOUS": "a:1/b"}.items():
        monkeypatch.setenv(name, value)
    run = make_trial(folder, 0)
    submit(local, Job("one", (run.path,)))
    ended(local, "one")
    assert (run.read_status().state, others(run)) == ("completed", [])


def test_a_job_that_ended_while_no_runner_lived_is_not_run_again(local, folder, runs, tmp_path):
    gate = tmp_path / "gate"
    run = make_trial(folder, 0, gate=str(gate))
    submit(local, Job("one", (run.path,)))
    until(lambda: started(run))
    os.kill(runner_pid(runs), signal.SIGKILL)
    until(lambda: not local.runner_is_alive())
    gate.touch()
    until(lambda: run.read_status().state == "completed")
    local.revive()
    ended(local, "one")
    assert started(run) == 1


def test_a_runner_that_cannot_live_is_named(local, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(LocalBackend, "_runner", lambda self: ("/bin/false",))
    submit(local, Job("a", (make_trial(folder, 0).path,)))
    for _ in range(4):
        until(lambda: not local.runner_is_alive())
        local.revive()
    until(lambda: not local.runner_is_alive())
    with pytest.raises(LaunchError, match=r"the local runner has died 5 times.*runner\.log"):
        local.revive()


def test_cancelling_what_waits_needs_no_runner(still, folder):
    waiting, running, served = (make_trial(folder, seed) for seed in range(3))
    for tag, run in (("waiting", waiting), ("running", running)):
        submit(still, Job(tag, (run.path,)))
    still.queue.write_progress("running", JobProgress(state="running"))
    still.cancel(["waiting", "running"])
    assert still.queue.tags() == {"running"}  # its processes may live
    assert still.queue.cancelled() == {"running"}
    submit(still, Job("served", (served.path,)))
    runner = take_lock(still.queue.runner_lock)
    still.cancel(["served"])
    os.close(runner)
    assert still.queue.cancelled() == {"running", "served"}


def test_there_is_one_runner_and_it_leaves(local, folder, runs, tmp_path):
    gate = tmp_path / "gate"
    trials = [make_trial(folder, seed, gate=str(gate)) for seed in range(4)]
    for index, run in enumerate(trials):
        submit(local, Job(f"job{index}", (run.path,)))
    gate.touch()
    until(lambda: not local.runner_is_alive())
    assert local.queue.tags() == set()
    assert local.queue.runner_log.read_text().count(" starts\n") == 1


def test_a_cohort_that_goes_down_twice_continues_one_by_one(local, folder):
    good, bad = make_trial(folder, 0), make_trial(folder, 1, vanish=99)
    third = make_trial(folder, 2)
    submit(local, Job("three", (bad.path, good.path, third.path)))
    ended(local, "three")
    assert good.read_status().state == third.read_status().state == "completed"
    status = bad.read_status()
    assert (status.state, status.failure, started(bad)) == ("failed", "lost", 3)
    assert "SIGKILL" in status.reason


def test_a_refused_trial_says_why(local, folder):
    run = make_trial(folder, 0, refuse=True)
    submit(local, Job("one", (run.path,)))
    ended(local, "one")
    status = run.read_status()
    assert (status.failure, status.reason) == ("user_error", "this trial is refused")


def test_a_deaf_job_is_killed_after_the_grace_time(runs, folder, tmp_path):
    run = make_trial(folder, 0, gate=str(tmp_path / "gate"), deaf=True)
    queue = JobQueue(queue_folder(runs))
    backend = LocalBackend(runs, command=FAKE_TRAINER)
    runner = Runner(queue, grace_s=0.1)
    backend._ensure_runner = lambda: None  # this test moves the queue itself
    submit(backend, Job("one", (run.path,)))
    until(lambda: runner.tick() and run.read_status().state == "running")
    backend.cancel(["one"])
    until(lambda: not runner.tick())
    assert not run.is_locked()
    assert not run.summary_file.exists()


def test_a_half_deleted_trial_does_not_stop_the_queue(local, folder):
    broken, good = make_trial(folder, 0), make_trial(folder, 1)
    broken.status_file.write_text('{"schema_version": 99}')
    submit(local, Job("broken", (broken.path,)))
    submit(local, Job("good", (good.path,)))
    ended(local, "broken", "good")
    assert good.read_status().state == "completed"


def test_logs_of_a_cohort_point_to_the_first(local, folder):
    first, second = make_trial(folder, 0), make_trial(folder, 1)
    submit(local, Job("two", (first.path, second.path)))
    ended(local, "two")
    assert f"training {second.path.name}" in first.stdout_file.read_text()
    assert f"../../{first.path.name}/job/stdout.log" in second.stdout_file.read_text()


def test_a_stalled_student_is_released(local, folder):
    teacher, student = make_trial(folder, 0), make_trial(folder, 1)
    submit(local, Job("student", (student.path,), after=(teacher.path,)))
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
