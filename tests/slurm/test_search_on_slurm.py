"""Searches on a real cluster: an allocation trains one point after another, without a driver."""

from __future__ import annotations

import json

import pytest
from launch_support import until
from search_support import SURROGATE, points_of, run_of, sweep, write_search

from launcher.backends.slurm.backend import SlurmBackend
from launcher.control import cancel
from launcher.holding import throttle
from launcher.monitor import Monitor
from launcher.observe import read_trial_job
from launcher.search.records import SearchDir

pytestmark = pytest.mark.timeout(300)

SMALL = "{cohort: false, gpus_per_node: 0, mem_gb: 0.2, time: 10min, max_parallel: 2}"
PATIENCE_S = 120.0


class Search:
    """A search of which each trial waits at its own gate after its first epoch."""

    def __init__(self, cluster, folder, trials):
        self.cluster = cluster
        self.runs = folder / "runs"
        self.runs.mkdir()
        self.gates = folder / "gates"
        self.gates.mkdir()
        gate = {"gate": f"{self.gates}/{{trial}}"}
        (self.runs / "behaviour.json").write_text(json.dumps(gate))
        self.file = write_search(folder, f"{{method: random, trials: {trials}}}", resources=SMALL)
        self.backend = SlurmBackend(self.runs, command=SURROGATE)
        self.sweep_dir = sweep(self.runs, self.file, self.backend)

    @property
    def names(self):
        """Ids of all trials, in the order of asking."""
        return [point.trial_ids[0] for point in points_of(self.sweep_dir)]

    def state(self, name):
        return run_of(self.sweep_dir, name).read_status().state

    def job_id(self, name):
        return read_trial_job(run_of(self.sweep_dir, name)).job_id

    def starts(self, name):
        """The SLURM job of each start of a trial."""
        log = run_of(self.sweep_dir, name).path / "starts.log"
        return [line.split()[1] for line in log.read_text().splitlines()] if log.exists() else []

    def let(self, *names):
        for name in names:
            (self.gates / name).touch()

    def wait_for(self, state, *names):
        until(lambda: all(self.state(name) == state for name in names), PATIENCE_S)

    def wait_for_point(self, number):
        """Wait until a point was asked for and its trial runs; its id."""
        until(lambda: len(self.names) > number, PATIENCE_S)
        name = self.names[number]
        self.wait_for("running", name)
        return name

    def elements(self):
        """Elements that SLURM has."""
        return self.cluster.run(["squeue", "--noheader", "--array", "--format=%i"]).split()


def test_an_allocation_trains_one_point_after_another(slurm_cluster, tmp_path):
    search = Search(slurm_cluster, tmp_path, trials=5)
    first, second = search.names
    search.wait_for("running", first, second)
    place = search.job_id(first)

    search.let(first)
    third = search.wait_for_point(2)
    assert search.state(first) == "completed"
    assert search.job_id(third) == f"{place}:1"
    assert search.starts(third) == search.starts(first)
    tag = read_trial_job(run_of(search.sweep_dir, third)).tag
    reports = search.backend.states([place, f"{place}:1"])
    assert [reports[name].state for name in (place, f"{place}:1")] == ["ended", "running"]
    assert search.backend.find([tag]) == {tag: f"{place}:1"}
    look = Monitor(search.sweep_dir, search.backend).look()
    assert look.counts() == {"completed": 1, "running": 2}
    assert (look.search.asked, look.search.points) == (3, 5)

    # One trial alone is cancelled; its allocation goes on with another.
    assert cancel(search.sweep_dir, search.backend, [third]) == [third]
    fourth = search.wait_for_point(3)
    assert search.job_id(fourth) == f"{place}:2"
    assert run_of(search.sweep_dir, third).read_status().reason == "cancelled by the user"

    # Fewer may run at once: whoever is done first leaves.
    throttle(search.sweep_dir, search.backend, 1)
    search.let(second)
    until(lambda: search.elements() == [place], PATIENCE_S)
    assert len(search.names) == 4

    search.let(fourth)
    fifth = search.wait_for_point(4)
    assert search.job_id(fifth) == f"{place}:3"
    search.let(fifth)
    until(lambda: search.elements() == [], PATIENCE_S)
    done = [first, second, fourth, fifth]
    assert [search.state(name) for name in done] == ["completed"] * 4
    assert [len(search.starts(name)) for name in search.names] == [1] * 5
    assert SearchDir(search.sweep_dir).read_ended().reason == "all 5 points were asked for"


def test_others_go_on_with_the_trial_of_an_allocation_that_was_lost(slurm_cluster, tmp_path):
    search = Search(slurm_cluster, tmp_path, trials=3)
    first, second = search.names
    search.wait_for("running", first, second)
    slurm_cluster.run(["scancel", search.job_id(first)])
    until(lambda: len(search.elements()) == 1, PATIENCE_S)

    search.let(second)
    third = search.wait_for_point(2)
    until(lambda: len(search.starts(first)) == 2, PATIENCE_S)
    assert search.starts(first)[1] == search.starts(second)[0]
    # Another is submitted in place of the one that was lost.
    assert search.job_id(third).partition("_")[0] != search.job_id(second).partition("_")[0]
    assert len(search.elements()) == 2

    # Also when SLURM starts the allocation anew, in the midst of a point that it took up.
    slurm_cluster.requeue(search.job_id(first).partition(":")[0])
    until(lambda: len(search.starts(first)) == 3, PATIENCE_S)
    search.let(first, third)
    search.wait_for("completed", first, third)
    until(lambda: search.elements() == [], PATIENCE_S)
    assert len(search.names) == 3
