"""Jobs that are submitted again ask for what their trials have lacked."""

import pytest

from deit_core.attempts import AttemptRecord
from launcher.adapt import memory_factor, with_memory
from launcher.resources import Resources


def starved(gib):
    return AttemptRecord(
        number=1,
        tag="a",
        backend="slurm",
        started_unix_s=0.0,
        ended_unix_s=1.0,
        cause="host_memory",
        max_rss_gib=gib,
    )


def test_a_job_that_lacked_memory_asks_for_more_than_the_sweep_file_says():
    assert with_memory(Resources(mem_gb=10.0), 1.5, []).mem_gb == 15.0
    assert with_memory(Resources(mem_gb=10.0), 1.0, [starved(3.0)]).mem_gb == 10.0


def test_without_a_figure_of_the_user_what_was_used_counts():
    two_tasks = Resources(tasks_per_node=2)
    assert with_memory(two_tasks, 1.5, [starved(3.0)]).mem_gb == pytest.approx(9.0)
    assert with_memory(two_tasks, 1.5, [starved(None)]).mem_gb is None


def test_a_trial_without_attempts_needs_what_the_sweep_file_says(tmp_path):
    assert memory_factor([str(tmp_path)]) == 1.0
