"""What every backend promises. A backend's test module subclasses `BackendContract`.

The subclass gives two fixtures: `backend`, whose jobs run `fake_trainer.py`, and `folder`, where
run directories can be made that its jobs can reach. It may raise `patience_s`.
"""

import os
import signal

import pytest
from launch_support import (
    behave,
    is_gone,
    make_trial,
    moment,
    others,
    reported,
    started,
    submit,
    until,
)

from launcher.backends.base import Job
from launcher.resources import Resources

TWO = Resources(tasks_per_node=2)


class BackendContract:
    patience_s = 30.0

    @pytest.fixture
    def backend(self):
        raise NotImplementedError

    @pytest.fixture
    def folder(self):
        raise NotImplementedError

    def state_is(self, run, *states):
        until(lambda: run.read_status().state in states, self.patience_s)

    def ended(self, backend, job_id):
        until(lambda: reported(backend, job_id) == "ended", self.patience_s)

    def waits_held(self, backend, job_id):
        report = backend.states([job_id]).get(job_id)
        return report is not None and report.state == "queued" and report.held

    def test_a_job_trains_its_trial(self, backend, folder):
        run = make_trial(folder, 0)
        job_id = submit(backend, Job("one", (run.path,)))
        self.ended(backend, job_id)
        assert run.read_status().state == "completed"
        assert started(run) == 1

    def test_output_goes_to_the_run_directory(self, backend, folder):
        run = make_trial(folder, 0)
        self.ended(backend, submit(backend, Job("one", (run.path,))))
        assert f"training {run.path.name}" in run.stdout_file.read_text()
        assert "attempt 1" in run.stdout_file.read_text()

    def test_a_cohort_is_one_process(self, backend, folder):
        trials = [make_trial(folder, seed) for seed in range(3)]
        self.ended(backend, submit(backend, Job("three", tuple(run.path for run in trials))))
        pids = {(run.path / "starts.log").read_text().split()[1] for run in trials}
        assert len(pids) == 1

    def test_a_live_job_is_found_by_its_tag(self, backend, folder, tmp_path):
        run = make_trial(folder, 0, gate=str(tmp_path / "gate"))
        assert backend.find(["one"]) == {}
        job_id = submit(backend, Job("one", (run.path,)))
        assert backend.find(["one"]) == {"one": job_id}
        assert reported(backend, job_id) in ("queued", "running")
        (tmp_path / "gate").touch()
        self.ended(backend, job_id)
        assert backend.find(["one"]) == {}

    def test_submitting_a_live_tag_again_changes_nothing(self, backend, folder, tmp_path):
        run = make_trial(folder, 0, gate=str(tmp_path / "gate"))
        first = submit(backend, Job("one", (run.path,)))
        self.state_is(run, "running")
        assert submit(backend, Job("one", (run.path,))) == first
        (tmp_path / "gate").touch()
        self.ended(backend, first)
        assert started(run) == 1

    def test_a_teacher_is_trained_before_its_students(self, backend, folder, tmp_path):
        teacher = make_trial(folder, 0, gate=str(tmp_path / "gate"))
        student = make_trial(folder, 1)
        submit(backend, Job("teacher", (teacher.path,)))
        job_id = submit(backend, Job("student", (student.path,), after=(teacher.path,)))
        self.state_is(teacher, "running")
        assert started(student) == 0
        (tmp_path / "gate").touch()
        self.ended(backend, job_id)
        assert student.read_status().state == "completed"
        assert moment(teacher, "end") <= moment(student, "start")

    def test_students_of_a_failed_teacher_fail_with_its_name(self, backend, folder):
        teacher, student = make_trial(folder, 0, diverge=True), make_trial(folder, 1)
        submit(backend, Job("teacher", (teacher.path,)))
        job_id = submit(backend, Job("student", (student.path,), after=(teacher.path,)))
        self.ended(backend, job_id)
        status = student.read_status()
        assert (status.state, status.failure) == ("failed", "dependency")
        assert teacher.path.name in status.reason
        assert started(student) == 0

    def test_a_job_that_waits_for_ends_starts_after_all_however_they_end(
        self, backend, folder, tmp_path
    ):
        good, bad = make_trial(folder, 0, gate=str(tmp_path / "gate")), make_trial(folder, 1)
        behave(bad, diverge=True)
        never, last, passes = (make_trial(folder, seed) for seed in (2, 3, 4))
        submit(backend, Job("good", (good.path,)))
        submit(backend, Job("bad", (bad.path,)))
        paths = (good.path, bad.path, never.path)
        job_id = submit(backend, Job("last", (last.path,), after_any=paths))
        self.ended(backend, submit(backend, Job("passes", (passes.path,))))
        assert (bad.read_status().state, started(last)) == ("failed", 0)
        (tmp_path / "gate").touch()
        self.ended(backend, job_id)
        assert last.read_status().state == "completed"
        assert moment(good, "end") <= moment(last, "start")

    def test_cancelling_a_running_job_lets_it_save(self, backend, folder, tmp_path):
        run = make_trial(folder, 0, gate=str(tmp_path / "gate"))
        job_id = submit(backend, Job("one", (run.path,)))
        self.state_is(run, "running")
        backend.cancel([job_id])
        self.ended(backend, job_id)
        assert run.read_status().state == "preempted"
        assert started(run) == 1

    def test_cancelling_a_waiting_job_drops_it(self, backend, folder, tmp_path):
        teacher = make_trial(folder, 0, gate=str(tmp_path / "gate"))
        student = make_trial(folder, 1)
        submit(backend, Job("teacher", (teacher.path,)))
        job_id = submit(backend, Job("student", (student.path,), after=(teacher.path,)))
        backend.cancel([job_id])
        self.ended(backend, job_id)
        (tmp_path / "gate").touch()
        self.state_is(teacher, "completed")
        assert started(student) == 0

    def test_cancelling_what_has_ended_is_no_error(self, backend, folder):
        run = make_trial(folder, 0)
        job_id = submit(backend, Job("one", (run.path,)))
        self.ended(backend, job_id)
        backend.cancel([job_id])
        assert run.read_status().state == "completed"

    def test_a_killed_job_is_resumed_without_being_asked(self, backend, folder, tmp_path):
        run = make_trial(folder, 0, gate=str(tmp_path / "gate"))
        job_id = submit(backend, Job("one", (run.path,)))
        self.state_is(run, "running")
        until(lambda: started(run) == 1, self.patience_s)
        os.kill(run.read_status().pid, signal.SIGKILL)
        until(lambda: started(run) == 2, self.patience_s)
        (tmp_path / "gate").touch()
        self.ended(backend, job_id)
        assert run.read_status().state == "completed"

    def test_several_processes_are_one_job(self, backend, folder, tmp_path):
        run = make_trial(folder, 0, gate=str(tmp_path / "gate"))
        job_id = submit(backend, Job("two", (run.path,), processes=2, cpus=2, resources=TWO))
        until(lambda: started(run) and others(run), self.patience_s)
        (tmp_path / "gate").touch()
        self.ended(backend, job_id)
        assert (run.read_status().state, started(run), len(others(run))) == ("completed", 1, 1)
        assert f"helping with {run.path.name}" in run.rank_log(1).read_text()
        assert "helping" not in run.stdout_file.read_text()

    def test_a_job_resumes_when_any_of_its_processes_is_killed(self, backend, folder, tmp_path):
        run = make_trial(folder, 0, gate=str(tmp_path / "gate"))
        job_id = submit(backend, Job("two", (run.path,), processes=2, cpus=2, resources=TWO))
        until(lambda: started(run) and others(run), self.patience_s)
        os.kill(others(run)[0], signal.SIGKILL)
        until(lambda: started(run) == len(others(run)) == 2, self.patience_s)
        (tmp_path / "gate").touch()
        self.ended(backend, job_id)
        assert run.read_status().state == "completed"

    def test_cancelling_several_processes_lets_them_save(self, backend, folder, tmp_path):
        run = make_trial(folder, 0, gate=str(tmp_path / "gate"))
        job_id = submit(backend, Job("two", (run.path,), processes=2, cpus=2, resources=TWO))
        until(lambda: started(run) and others(run), self.patience_s)
        backend.cancel([job_id])
        self.ended(backend, job_id)
        assert (run.read_status().state, started(run)) == ("preempted", 1)
        assert all(map(is_gone, others(run)))

    def test_a_crash_is_retried_up_to_three_attempts(self, backend, folder):
        good, bad = make_trial(folder, 0, crash=2), make_trial(folder, 1, crash=99)
        jobs = [submit(backend, Job(f"job{i}", (run.path,))) for i, run in enumerate((good, bad))]
        for job_id in jobs:
            self.ended(backend, job_id)
        assert (good.read_status().state, started(good)) == ("completed", 3)
        assert (bad.read_status().state, started(bad)) == ("failed", 3)
        assert bad.read_status().failure == "crashed"

    def test_a_diverged_trial_is_not_retried(self, backend, folder):
        run = make_trial(folder, 0, diverge=True)
        self.ended(backend, submit(backend, Job("one", (run.path,))))
        assert (run.read_status().failure, started(run)) == ("diverged", 1)

    def test_a_held_job_saves_and_waits_until_it_is_released(self, backend, folder, tmp_path):
        run = make_trial(folder, 0, gate=str(tmp_path / "gate"))
        job_id = submit(backend, Job("one", (run.path,)))
        until(lambda: started(run) == 1, self.patience_s)
        backend.hold([job_id])
        until(lambda: run.read_status().reason == "paused by the user", self.patience_s)
        until(lambda: self.waits_held(backend, job_id), self.patience_s)
        (tmp_path / "gate").touch()
        assert started(run) == 1
        backend.release([job_id])
        self.ended(backend, job_id)
        assert (run.read_status().state, started(run)) == ("completed", 2)

    def test_a_waiting_job_that_is_held_lets_others_pass(self, backend, folder, tmp_path):
        gate = str(tmp_path / "gate")
        first, held, third = (make_trial(folder, seed, gate=gate) for seed in range(3))
        jobs = [
            Job(name, (run.path,), group="g", max_parallel=1)
            for name, run in (("first", first), ("held", held), ("third", third))
        ]
        ids = backend.submit(jobs)
        until(lambda: started(first) == 1, self.patience_s)
        backend.hold([ids["held"]])
        (tmp_path / "gate").touch()
        self.ended(backend, ids["third"])
        assert started(held) == 0
        backend.release([ids["held"]])
        self.ended(backend, ids["held"])
        assert held.read_status().state == "completed"

    def test_a_throttle_changes_how_many_run_at_once(self, backend, folder, tmp_path):
        gate = str(tmp_path / "gate")
        trials = [make_trial(folder, seed, gate=gate) for seed in range(2)]
        ids = backend.submit(
            [Job(run.path.name, (run.path,), group="g", max_parallel=1) for run in trials]
        )
        until(lambda: sum(started(run) for run in trials) == 1, self.patience_s)
        backend.throttle("g", 2)
        until(lambda: sum(started(run) for run in trials) == 2, self.patience_s)
        (tmp_path / "gate").touch()
        for job_id in ids.values():
            self.ended(backend, job_id)

    def test_checks_are_for_humans(self, backend):
        assert all(check.name and check.detail for check in backend.checks(Resources()))
