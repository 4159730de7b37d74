"""What a dry run says about arrays and the start that SLURM predicts."""

from datetime import datetime
from pathlib import Path

import pytest

from launcher.backends.base import Job
from launcher.backends.slurm.bounds import Bound
from launcher.backends.slurm.client import Answer
from launcher.backends.slurm.forecast import arrays_text, has_idle_nodes, start_text
from launcher.backends.slurm.limits import Limits
from launcher.backends.slurm.partitions import Partition, parse_nodes
from launcher.resources import Resources

NOW = datetime(2026, 1, 1, 23, 0)


def jobs(count, after=()):
    return [Job(str(number), (), after=after) for number in range(count)]


@pytest.mark.parametrize(
    ("number", "limits", "room", "text"),
    [
        (1, Limits(), None, "SLURM: 1 array of 1 element"),
        (30, Limits(), None, "SLURM: 1 array of 30 elements"),
        (
            2000,
            Limits(array_size=1001),
            None,
            "SLURM: 2 arrays of 1,000 elements; one array takes 1,001 (MaxArraySize)",
        ),
        (
            5,
            Limits(array_size=2),
            None,
            "SLURM: 3 arrays of 2 x 2 + 1 elements; one array takes 2 (MaxArraySize)",
        ),
        (
            30,
            Limits(bounds=(Bound(20, "QOS limited"),)),
            12,
            "SLURM: 1 array of 12 elements; 12 may still be queued (limit of your account, qos or "
            "the cluster: 20), so an element runs up to 3 jobs, one after the other",
        ),
    ],
)
def test_the_arrays_and_the_limits_that_shape_them(number, limits, room, text):
    assert arrays_text(jobs(number), limits, room) == text


def test_students_are_in_an_array_of_their_own():
    mixed = [*jobs(2), *jobs(3, after=(Path("teacher"),))]
    assert arrays_text(mixed, Limits(), None) == "SLURM: 2 arrays of 3 + 2 elements"


@pytest.mark.parametrize(
    ("start", "text"),
    [
        ("2026-01-01T22:59:00", "now, as SLURM sees it"),
        ("2026-01-01T23:20:00", "23:20 at the latest (in 20m 00s), as SLURM sees it now"),
        ("2026-01-03T01:00:00", "Sat 03 Jan 01:00 at the latest (in 1d 2h), as SLURM sees it now"),
    ],
)
def test_the_start_is_told_by_the_clock_and_by_the_wait(start, text):
    said = f"sbatch: Job 7 to start at {start} using 4 processors on nodes n1 in partition gpu\n"
    assert start_text(Answer(True, "", "", said), NOW) == f"expected start: {text}"


@pytest.mark.parametrize(
    ("state", "gpus", "nodes", "idle"),
    [("idle", 2, 2, True), ("idle", 2, 3, False), ("idle", 3, 1, False), ("mixed", 1, 1, False)],
)
def test_idle_nodes_that_could_run_the_job_are_named(state, gpus, nodes, idle):
    job = Job("a", (), gpus=gpus * nodes, processes=nodes, resources=Resources(nodes=nodes))
    there = parse_nodes(f"gpu|2|8|16000|gpu:2|{state}|(null)\n")["gpu"]
    found = has_idle_nodes(job, {"gpu": Partition("gpu", is_default=True, nodes=there)})
    assert found is idle
    said = Answer(True, "", "", "sbatch: Job 7 to start at 2026-01-01T23:20:00 using 4\n")
    assert start_text(said, NOW, idle=found).endswith("; nodes are idle now") is idle


def test_a_start_that_nobody_knows_is_said_to_be_so():
    answer = Answer(False, "", "sbatch: error: QOSMaxSubmitJobPerUserLimit")
    assert start_text(answer, NOW) == ("expected start: not known (QOSMaxSubmitJobPerUserLimit)")
