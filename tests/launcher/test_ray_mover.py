"""What becomes of a queue's jobs by what Tune and Ray say of them; Ray itself is not asked."""

import os
import socket
import time

import pytest
from launch_support import make_trial

from deit_core.attempts import read_attempts
from deit_core.run_dir import RunDir
from launcher.attempts import Start, note_start
from launcher.backends.job_queue import JobQueue, QueuedJob
from launcher.backends.ray import cluster
from launcher.backends.ray import driver as driving
from launcher.backends.ray import mover as moving
from launcher.backends.ray.attempt import AttemptNews
from launcher.backends.ray.backend import RayBackend
from launcher.backends.ray.cluster import ClusterRecord, ClusterView
from launcher.backends.ray.mover import MOST_WAITING, RayMover
from launcher.backends.ray.placement import bundles
from launcher.locks import take_lock
from launcher.resources import Resources

NODE = {"NodeID": "n1", "Alive": True, "Resources": {"CPU": 2.0, "GPU": 1.0}}
DEAD = {"NodeID": "n2", "Alive": False, "Resources": {}}


class Driver:
    """A mover, and what Tune would tell it."""

    def __init__(self, folder, nodes=(NODE,)):
        self.queue = JobQueue(folder / ".ray")
        self.said = []
        self.mover = RayMover(self.queue, nodes=lambda: list(nodes), log=self.said.append)

    def submit(self, run, tag="one", **fields):
        values = {"cpus_granted": 1, "command": ("true",), "cwd": "/", "submitted_unix_s": 0.0}
        self.queue.add(QueuedJob(tag=tag, run_dirs=(str(run.path),), **(values | fields)))

    def hand_out(self):
        self.mover.tick()
        return self.mover.next_attempt()

    def begin(self):
        attempt = self.hand_out()
        self.mover.begun(attempt)
        paths = attempt.config["run_dirs"]
        note_start(paths, Start(attempt.tag, "ray", attempt.tag, ("one",)))
        attempt.news = AttemptNews(started=True, nodes=("one", "two"), node_ids=("n1", "n2"))
        return attempt

    def end(self, attempt, **news):
        attempt.news = attempt.news.model_copy(update={"ended": True, **news})
        attempt.over_at = time.monotonic()
        self.mover.tick()


@pytest.fixture
def driver(tmp_path):
    return Driver(tmp_path)


@pytest.fixture
def run(tmp_path):
    return make_trial(tmp_path / "sweep" / "trials", 0)


def last_cause(run: RunDir):
    return read_attempts(run)[-1].cause


def test_a_worker_that_is_lost_with_its_node_is_a_node_failure(tmp_path, run):
    driver = Driver(tmp_path, [NODE, DEAD])
    driver.submit(run)
    driver.end(driver.begin(), exit_code=-9, bereft=True)
    assert last_cause(run) == "node_failure"
    assert driver.hand_out() is not None


def test_a_lost_worker_is_judged_when_its_node_could_have_been_missed(driver, run, monkeypatch):
    driver.submit(run)
    attempt = driver.begin()
    driver.end(attempt, exit_code=-9, bereft=True)
    assert last_cause(run) is None
    monkeypatch.setattr(moving, "NODE_VERDICT_S", 0.0)
    driver.mover.tick()
    assert last_cause(run) == "lost"


def test_what_rays_memory_monitor_ends_has_run_out_of_memory(driver, run, monkeypatch):
    monkeypatch.setattr(moving, "NODE_VERDICT_S", 0.0)

    driver.submit(run, mem_gb=2.0)
    attempt = driver.begin()
    attempt.error = "Task was killed due to the node running low on memory."
    attempt.over_at = time.monotonic()
    driver.mover.tick()
    assert last_cause(run) == "host_memory"
    assert driver.mover.next_attempt().config["bundles"] == [{"CPU": 1.0, "memory": 3e9}]


def test_what_ran_under_a_driver_that_died_goes_on(driver, run, tmp_path):
    driver.submit(run)
    driver.begin()
    following = Driver(tmp_path)
    following.mover.tick()
    assert last_cause(run) == "preempted"
    assert following.mover.next_attempt().tag == "one"


def test_ray_that_cannot_start_a_job_says_nothing_of_the_job(driver, run):
    driver.submit(run)
    attempt = driver.hand_out()
    attempt.error = "no worker came up"
    attempt.over_at = time.monotonic()
    driver.mover.tick()
    progress = driver.queue.read_progress("one")
    assert (progress.state, progress.attempt) == ("queued", 0)
    assert progress.waits == "Ray could not start it: no worker came up"
    assert driver.hand_out() is None  # not at once
    assert not read_attempts(run)


def test_a_job_that_was_told_to_stop_before_it_began_has_made_no_attempt(driver, run):
    driver.submit(run)
    attempt = driver.hand_out()
    driver.mover.begun(attempt)
    driver.queue.request_hold("one")
    driver.end(attempt, started=False)
    progress = driver.queue.read_progress("one")
    assert (progress.state, progress.attempt) == ("queued", 0)
    assert not read_attempts(run)
    driver.queue.release("one")
    assert driver.hand_out() is not None


@pytest.mark.parametrize("request_it", [JobQueue.request_hold, JobQueue.request_cancel])
def test_an_attempt_that_waits_for_its_place_can_be_taken_back(driver, run, request_it):
    driver.submit(run)
    attempt = driver.hand_out()
    request_it(driver.queue, "one")
    driver.mover.tick()
    assert attempt.unwanted
    driver.mover.begun(attempt)
    assert driver.queue.read_progress("one").state == "queued"


def test_few_wait_for_their_place_at_a_time(driver, tmp_path):
    for index in range(MOST_WAITING + 2):
        driver.submit(make_trial(tmp_path / "sweep" / "trials", index), f"job{index:02}")
    driver.mover.tick()
    assert len(driver.mover.attempts) == MOST_WAITING


def test_a_throttle_counts_those_that_wait_for_their_place(driver, tmp_path):
    for index in range(3):
        run = make_trial(tmp_path / "sweep" / "trials", index)
        driver.submit(run, f"job{index}", group="g", max_parallel=2)
    driver.mover.tick()
    assert len(driver.mover.attempts) == 2


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"cpus": 2}, "waits for its place in the Ray cluster: 2 CPU"),
        (
            {"cpus": 2, "gpus": 2, "nodes": 2, "processes": 2},
            "the Ray cluster has no place for it: 2 nodes with 1 CPU, 1 GPU each; "
            "1 of its 1 node would do",
        ),
    ],
)
def test_it_is_said_why_a_job_waits(driver, run, monkeypatch, asked, why):
    monkeypatch.setattr(moving, "WAIT_TOLD_AFTER_S", 0.0)
    driver.submit(run, **asked)
    driver.hand_out()
    driver.mover.tick()
    assert driver.queue.read_progress("one").waits == why


def test_a_bundle_is_what_one_node_has_to_give():
    job = QueuedJob(
        tag="one",
        run_dirs=("a",),
        nodes=2,
        processes=4,
        cpus=12,
        gpus=4,
        mem_gb=64.0,
        cpus_granted=12,
        command=("true",),
        cwd="/",
        submitted_unix_s=0.0,
    )
    assert bundles(job) == [{"CPU": 6.0, "GPU": 2.0, "memory": 64e9}] * 2


def test_idle_is_who_runs_and_has_nothing_to_hand_out(driver, run):
    assert not driver.mover.is_idle(0.0)
    driver.submit(run)
    driver.mover.tick()
    assert not driver.mover.is_idle(0.0)
    driver.mover.next_attempt()
    assert driver.mover.is_idle(0.0)
    assert not driver.mover.is_idle(60.0)


def test_an_attempt_whose_trial_cannot_be_read_says_how_it_ended(tmp_path, run, monkeypatch):
    pytest.importorskip("ray")
    from launcher.backends.ray import trainable

    said = []
    monkeypatch.setattr(trainable, "_report", lambda news, values=None: said.append((news, values)))
    run.status_file.write_text("{")
    queue = JobQueue(tmp_path / ".ray")
    trainable.train_attempt({"queue": str(queue.path), "tag": "one", "run_dirs": [str(run.path)]})
    [(news, values)] = said
    assert (news.ended, news.exit_code) == (True, 127)
    assert values == {"pruned": False}


def run_driver(queue, monkeypatch):
    """As in a process of its own, but for this one's environment."""
    monkeypatch.setattr(driving, "_QUIET", {})
    monkeypatch.setattr(driving, "auth_environment", lambda _: {})
    runner = take_lock(queue.runner_lock)
    driving.run(queue, runner)
    os.close(runner)


def test_a_driver_that_cannot_join_says_so_until_one_can(
    driver, run, tmp_path, monkeypatch, capsys
):
    pytest.importorskip("ray")
    driver.submit(run)
    queue, record = driver.queue, ClusterRecord(address="head:6379")
    cluster.write_cluster(queue, record)

    def refused(_):
        raise ConnectionError("Failed to connect to Ray cluster at head:6379\nand much more")

    monkeypatch.setattr(driving, "attach", refused)
    run_driver(queue, monkeypatch)
    backend = RayBackend(tmp_path)
    why = (
        "the driver cannot join the Ray cluster at head:6379: "
        "Failed to connect to Ray cluster at head:6379"
    )
    assert capsys.readouterr().out.endswith(f" {why}\n")
    assert backend.states(["one"])["one"].detail == why
    monkeypatch.setattr(cluster, "look", lambda _: ClusterView(address="head:6379"))
    bad = {check.name: check.detail for check in backend.checks(Resources()) if not check.ok}
    assert "0 nodes" in bad["ray cluster"]
    assert bad["ray driver"] == why

    monkeypatch.setattr(driving, "attach", lambda _: None)
    assert driving.joins(queue, record)
    assert backend.states(["one"])["one"].detail == ""


@pytest.mark.parametrize(("cancelled", "cause"), [(False, "preempted"), (True, "cancelled")])
def test_a_driver_that_cannot_join_settles_what_ran(driver, run, monkeypatch, cancelled, cause):
    pytest.importorskip("ray")
    driver.submit(run)
    driver.begin()
    cluster.write_cluster(driver.queue, ClusterRecord(address="head:6379"))
    if cancelled:
        driver.queue.request_cancel("one")
    monkeypatch.setattr(driving, "joins", lambda *_: False)
    run_driver(driver.queue, monkeypatch)
    assert last_cause(run) == cause
    assert driver.queue.tags() == (set() if cancelled else {"one"})
    assert driver.queue.read_progress("one").state == "queued"


def test_a_driver_does_not_wait_for_what_does_not_listen(driver):
    pytest.importorskip("ray")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    assert not driving.joins(driver.queue, ClusterRecord(address=address))
    assert f"nothing answers at {address}" in cluster.why_unjoined(driver.queue)


def test_what_waits_can_be_cancelled_where_no_driver_can_join(driver, run, tmp_path, monkeypatch):
    monkeypatch.setattr(RayBackend, "_runner", lambda self: ("/bin/false",))
    driver.submit(run)
    RayBackend(tmp_path).cancel(["one"])
    assert driver.queue.tags() == driver.queue.cancelled() == set()
