"""What an element of an array does when its job is done and a search goes on."""

import time

import pytest
from search_support import TestBackend, points_of, run_of, sweep, work_off, write_search

from launcher.attempts import Start, last_attempt, note_end, note_start
from launcher.backends.base import Job
from launcher.backends.slurm import client, more_jobs, supervisor
from launcher.backends.slurm.array_dir import ArrayJob, SlurmDir
from launcher.backends.slurm.backend import SlurmBackend
from launcher.backends.slurm.element_backend import ElementBackend
from launcher.backends.slurm.here import Here
from launcher.backends.slurm.submission import record_of
from launcher.resources import Resources
from launcher.search.records import SearchDir

ENVIRON = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0", "SLURM_JOB_NODELIST": "node1"}


class Element:
    """An element whose only job has ended; what the search has for it is listed in `offered`."""

    def __init__(self, runs, file, monkeypatch):
        self.runs = runs
        self.backend = TestBackend(runs)
        self.sweep_dir = sweep(runs, file, self.backend)
        self.search = SearchDir(self.sweep_dir)
        self.array, record = self.submit("done")
        self.array.note_id("7")
        self.array.mark("ended", "done")
        self.seconds = 3600.0
        self.offered = []
        self.done = []
        self.asked = []
        self.takes_s = 0.0
        self.tries = False
        self.requeued = True
        monkeypatch.setattr(supervisor, "seconds_left", lambda name: 3600.0)
        monkeypatch.setattr(supervisor.Exit, "requeue", self.requeue)
        monkeypatch.setattr(more_jobs.subprocess, "run", self.ask)
        self.supervisor = supervisor.Supervisor(self.array, record, Here.of(ENVIRON))
        self.supervisor.deadline = self
        monkeypatch.setattr(self.supervisor, "_serve", self.serve)

    def submit(self, tag):
        """Another array of the sweep."""
        record = record_of([(Job(tag, (), group=self.sweep_dir.path.name),)], ("trainer",))
        array = SlurmDir(self.runs).array(record.array)
        array.create(record, "#!/bin/sh\n")
        return array, record

    def left_s(self):
        return self.seconds

    def ask(self, command, **options):
        self.asked.append(command[command.index("launcher.search.next_job") + 1 :])
        if self.offered:
            tag = self.offered.pop(0)
            self.array.add_jobs(0, [ArrayJob(tag=tag, run_dirs=(f"/trials/{tag[0]}",))])
        return type("Done", (), {"returncode": 0})

    def serve(self, job):
        self.done.append(job.tag)
        self.seconds -= self.takes_s
        if self.tries:
            self.supervisor.more.note_attempt(job.run_dirs)
        return supervisor.Leave.DONE

    def requeue(self, *, held):
        self.done.append("queued again")
        return self.requeued

    def fail(self, times):
        """As many jobs of the first trial fail by a mistake of the user."""
        run = run_of(self.sweep_dir, points_of(self.sweep_dir)[0].trial_ids[0])
        for number in range(times):
            note_start([run.path], Start(f"job {number}", "slurm", "7_0", processes=1))
            end = {"ended_unix_s": time.time(), "cause": "user_error", "reason": "it is refused"}
            note_end(run, last_attempt(run).model_copy(update=end))


@pytest.fixture
def element(runs, tmp_path, monkeypatch):
    return Element(runs, write_search(tmp_path, "{method: random, trials: 9}"), monkeypatch)


def test_it_takes_up_one_job_after_another_until_there_is_none(element):
    element.offered = ["a", "b"]
    element.supervisor.run()
    assert element.done == ["a", "b"]
    assert element.array.marked("ended") == {"done", "a", "b"}


def test_short_of_time_it_is_queued_again_instead_of_taking_up_more(element):
    element.offered, element.takes_s = ["a", "b", "c"], 1770.0
    element.supervisor.run()
    assert element.done == ["a", "b", "queued again"]
    assert element.offered == ["c"]


def test_where_the_user_has_stopped_the_search_it_leaves(element):
    element.offered = ["a"]
    element.search.end("cancelled by the user", stopped=True)
    element.supervisor.run()
    assert element.done == []


def test_where_all_points_were_asked_for_it_still_takes_up_lost_ones(element):
    element.offered = ["a"]
    element.search.end("all 9 points were asked for")
    element.supervisor.run()
    assert element.done == ["a"]


@pytest.mark.parametrize("tries", [True, False])
def test_what_it_could_not_even_try_it_does_not_take_up_again(element, tries):
    element.offered, element.tries = ["a", "b", "a again", "c"], tries
    element.supervisor.run()
    assert element.done == (["a", "b", "a again", "c"] if tries else ["a", "b"])
    assert element.array.marked("ended") >= {"done", "a", "b", "a again"}


def test_when_job_after_job_is_refused_it_ends_the_search(element):
    element.offered = ["a"]
    element.fail(3)
    element.supervisor.run()
    assert (element.done, element.asked) == ([], [])
    assert element.search.read_ended().reason == (
        "3 jobs of this sweep failed the same way within a minute: it is refused; mend that, then "
        "`deit-launch retry --failed`"
    )


def test_what_was_refused_before_the_user_submitted_others_does_not_count(element):
    element.offered = ["a"]
    element.fail(3)
    element.submit("mended")
    element.supervisor.run()
    assert element.done == ["a"]
    assert element.search.read_ended() is None


def test_where_slurm_does_not_queue_it_again_another_is_submitted_in_its_place(element):
    element.seconds, element.requeued = 60.0, False
    element.supervisor.run()
    assert element.done == ["queued again"]
    assert element.asked == [[str(element.array.path)]]


@pytest.mark.parametrize("lost", [True, False])
def test_short_of_time_it_is_queued_again_only_where_something_is_left(element, lost):
    if lost:
        element.backend.work()
        run = run_of(element.sweep_dir, points_of(element.sweep_dir)[1].trial_ids[0])
        run.job_file.unlink()
    else:
        work_off(element.sweep_dir, element.backend)
    element.search.end("all 9 points were asked for")
    element.seconds = 60.0
    element.supervisor.run()
    assert element.done == (["queued again"] if lost else [])


def test_an_allocation_that_is_there_is_not_tested(element):
    assert ElementBackend(element.runs, element.array, 0).check(Resources(time="99h")) == ()


def test_elements_between_two_jobs_are_counted(element, monkeypatch):
    name = element.supervisor.record.job_name
    entry = client.QueueEntry("7", "7", 0, "RUNNING", "", "node1", name)
    monkeypatch.setattr(client, "queue", lambda ids: [entry] if ids == ["7"] else None)
    arrays = SlurmBackend(element.runs).arrays
    assert arrays.count_elements(element.sweep_dir.path.name) == 1
