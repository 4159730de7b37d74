"""What an element of an array does when its job is done and a search goes on."""

import pytest
from search_support import TestBackend, sweep, write_search

from launcher.backends.base import Job
from launcher.backends.slurm import supervisor
from launcher.backends.slurm.array_dir import ArrayJob, SlurmDir
from launcher.backends.slurm.here import Here
from launcher.backends.slurm.submission import record_of
from launcher.search.records import SearchDir

ENVIRON = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0", "SLURM_JOB_NODELIST": "node1"}


class Element:
    """An element whose only job has ended; what the search has for it is listed in `offered`."""

    def __init__(self, runs, file, monkeypatch):
        self.search = SearchDir(sweep(runs, file, TestBackend(runs)))
        group = self.search.path.parent.name
        record = record_of([(Job("done", (), group=group),)], ("trainer",))
        self.array = SlurmDir(runs).array(record.array)
        self.array.create(record, "#!/bin/sh\n")
        self.array.note_id("7")
        self.array.mark("ended", "done")
        self.seconds = 3600.0
        self.offered = []
        self.done = []
        self.takes_s = 0.0
        monkeypatch.setattr(supervisor, "seconds_left", lambda name: 3600.0)
        monkeypatch.setattr(supervisor.Exit, "requeue", self.requeue)
        monkeypatch.setattr(supervisor.subprocess, "run", self.ask)
        self.supervisor = supervisor.Supervisor(self.array, record, Here.of(ENVIRON))
        self.supervisor.deadline = self
        monkeypatch.setattr(self.supervisor, "_serve", self.serve)

    def left_s(self):
        return self.seconds

    def ask(self, command, **options):
        if self.offered:
            self.array.add_jobs(0, [ArrayJob(tag=self.offered.pop(0), run_dirs=())])
        return type("Done", (), {"returncode": 0})

    def serve(self, job):
        self.done.append(job.tag)
        self.seconds -= self.takes_s
        return supervisor.Leave.DONE

    def requeue(self, *, held):
        self.done.append("queued again")


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
