"""What a scheduler says of a job, for people."""

import pytest

from launcher.scheduler_words import starting_on, waiting_words


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("RUNNING on node1", "starting on node1"),
        ("CONFIGURING on node[1-2]", "starting on node[1-2]"),
        ("COMPLETING on node1", "COMPLETING on node1"),
        ("PENDING (Priority)", "other jobs go first (Priority)"),
        (
            "PENDING (Dependency)",
            "waits for its teacher, or for its turn within max_parallel (Dependency)",
        ),
        ("PENDING (QOSMaxJobsPerUserLimit)",
         "a limit of the quality of service is reached (QOSMaxJobsPerUserLimit)"),
        ("PENDING (AssocGrpCpuLimit)", "a limit of your account is reached (AssocGrpCpuLimit)"),
        ("PENDING (AssocMaxJobsLimit)", "a limit of your account is reached (AssocMaxJobsLimit)"),
        ("PENDING (ReqNodeNotAvail, UnavailableNodes:node1)",
         "nodes that it needs are down, drained or reserved "
         "(ReqNodeNotAvail, UnavailableNodes:node1)"),
        ("PENDING (SomethingNew)", "PENDING (SomethingNew)"),
        ("PENDING", "PENDING"),
        ("", ""),
    ],
)  # fmt: skip
def test_reasons_are_put_in_words_with_slurms_own_in_brackets(said, shown):
    assert waiting_words(said) == shown


@pytest.mark.parametrize("reason", ["JobArrayTaskLimit", "launch failed requeued held"])
def test_what_lets_a_job_go_on_is_named(reason):
    assert "`" in waiting_words(f"PENDING ({reason})")


def test_only_a_job_that_has_nodes_starts():
    assert starting_on("RUNNING on node1 (None)") == "node1"
    assert starting_on("PENDING (Priority)") is None
