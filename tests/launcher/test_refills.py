"""Searches whose jobs leave a queue go on, whatever becomes of the processes that see to it."""

import json
import sys

import pytest
from launch_support import until

from launcher.backends import refills as module
from launcher.backends.job_queue import Environment, JobQueue, QueuedJob
from launcher.backends.refills import Refills
from launcher.search import hook
from launcher.search.records import SearchDir
from launcher.sweep_dir import SweepDir

REFILL = """
import json, os, pathlib, sys
folder = pathlib.Path(sys.argv[-2])
calls = folder / "calls"
earlier = calls.read_text().splitlines() if calls.exists() else []
calls.write_text("\\n".join([*earlier, json.dumps([sys.argv[1:], os.environ.get("WHOSE")])]))
if len(earlier) < int((folder / "failures").read_text()):
    os.kill(os.getpid(), 9) if len(earlier) == 0 else sys.exit(2)
"""
"""Notes how it was called; is killed the first time, then fails, as often as is said."""


@pytest.fixture(autouse=True)
def refill(tmp_path, monkeypatch):
    script = tmp_path / "refill.py"
    script.write_text(REFILL)
    monkeypatch.setattr(hook, "REFILL", (sys.executable, str(script)))
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 0.01)


class Queue:
    """A queue of jobs that leave it."""

    def __init__(self, runs):
        self.queue = JobQueue(runs / ".local")
        self.runs = runs
        self.said = []
        self.refills = Refills(self.queue, self.said.append)

    def job(self, group, trial, whose="nobody"):
        environment = Environment.of({"WHOSE": whose, "PATH": "/bin"})
        self.queue.keep_environment(environment)
        return QueuedJob(
            tag=f"{group}-{trial}",
            run_dirs=(str(self.runs / group / "trials" / trial),),
            group=group,
            cpus_granted=1,
            command=("trainer",),
            cwd="/",
            environment=environment.digest,
            submitted_unix_s=0.0,
        )

    def work_off(self):
        def nothing_is_left():
            self.refills.tick()
            return not self.refills.wait()

        until(nothing_is_left)


@pytest.fixture
def queue(tmp_path):
    return Queue(tmp_path / "runs")


def search(queue, name, failures=0):
    sweep_dir = SweepDir(queue.runs / name)
    found = SearchDir(sweep_dir)
    found.path.mkdir(parents=True)
    found.search_file.write_text("{}")
    sweep_dir.trials.mkdir()
    (sweep_dir.path / "failures").write_text(str(failures))
    return found


def calls(found):
    file = found.sweep_dir.path / "calls"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_a_refill_that_is_killed_or_fails_is_started_again(queue):
    found = search(queue, "one", failures=3)
    queue.refills.job_left(queue.job("one", "a"))
    queue.work_off()
    assert len(calls(found)) == 4
    assert not queue.queue.to_move()
    assert "exit code -9" in queue.said[0]


def test_the_next_runner_does_what_one_that_died_has_left(queue):
    found = search(queue, "one")
    queue.refills.job_left(queue.job("one", "a"))
    assert queue.queue.to_move()
    queue.refills = Refills(queue.queue, queue.said.append)
    queue.work_off()
    assert len(calls(found)) == 1
    assert not queue.queue.to_move()


def test_a_job_that_leaves_while_a_refill_runs_is_not_passed_over(queue):
    found = search(queue, "one")
    for trial in ("a", "b"):
        queue.refills.job_left(queue.job("one", trial))
        queue.refills.tick()
    queue.work_off()
    assert len(calls(found)) == 2


def test_the_next_jobs_have_the_environment_of_the_search(queue, monkeypatch):
    monkeypatch.setenv("WHOSE", "the runner's")
    found = search(queue, "one")
    queue.refills.options = ("--ray-address", "there:1")
    queue.refills.job_left(queue.job("one", "a", whose="the search's"))
    queue.work_off()
    folder = str(found.sweep_dir.path)
    assert calls(found) == [[["--ray-address", "there:1", folder, "trainer"], "the search's"]]


def test_a_search_goes_on_when_a_trial_that_it_shares_has_ended(queue):
    one, two, three = (search(queue, name) for name in ("one", "two", "three"))
    (two.sweep_dir.trials / "a").symlink_to("../../one/trials/a")
    (three.sweep_dir.trials / "b").symlink_to("../../one/trials/b")
    queue.refills.know(queue.job("two", "c", whose="two's"))
    queue.refills.job_left(queue.job("one", "a", whose="one's"))
    queue.work_off()
    assert [len(calls(found)) for found in (one, two, three)] == [1, 1, 0]
    assert calls(two)[0][1] == "two's"


def test_a_search_that_cannot_go_on_keeps_the_queue_open_for_a_while(queue, monkeypatch):
    found = search(queue, "one", failures=10**6)
    queue.refills.job_left(queue.job("one", "a"))
    until(lambda: queue.refills.tick() or len(calls(found)) >= 2)
    assert queue.refills.wait()
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    queue.work_off()
    queue.refills.give_up()
    assert "refill.log says why" in queue.said[-1]
    assert not queue.queue.to_move()


@pytest.mark.parametrize("how", ["paused", "stopped", "deleted"])
def test_what_the_user_has_ended_does_not_go_on(queue, how):
    found = search(queue, "one")
    queue.refills.job_left(queue.job("one", "a"))
    if how == "paused":
        found.pause()
    elif how == "stopped":
        found.end("cancelled", stopped=True)
    else:
        found.search_file.unlink()
    queue.work_off()
    assert calls(found) == []
    assert not queue.queue.to_move()
