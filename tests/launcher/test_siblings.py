"""Nodes that a sweep avoids, and when it stops: positive evidence only."""

from hypothesis import example, given
from hypothesis import strategies as st
from launch_support import make_trial

from deit_core.attempts import AttemptRecord
from launcher.attempts import Start, note_start
from launcher.siblings import BAD_AFTER, attempts_beside, bad_nodes, should_stop_sweep


def ended(cause, *nodes, tag, at=100.0, progress=0, reason="no module named x"):
    return AttemptRecord(
        number=1,
        tag=tag,
        backend="slurm",
        nodes=nodes,
        started_unix_s=at - 10,
        ended_unix_s=at,
        last_step=progress,
        cause=cause,
        reason=reason,
    )


OTHERS = [ended("completed", node, tag=f"ok{node}") for node in ("n1", "n2", "n3", "n4")]


def test_two_node_failures_and_a_node_is_avoided():
    once = [*OTHERS, ended("node_failure", "n1", tag="a")]
    assert bad_nodes(once) == set()
    assert bad_nodes([*once, ended("node_failure", "n1", tag="a", at=200)]) == {"n1"}


def test_a_node_failure_of_a_cohort_is_one_event():
    assert bad_nodes([*OTHERS, *[ended("node_failure", "n1", tag="a")] * 8]) == set()


def test_two_jobs_lost_without_progress():
    lost = [ended("lost", "n1", tag=tag, at=200) for tag in "ab"]
    assert bad_nodes([*OTHERS, *lost]) == {"n1"}
    again = ended("lost", "n1", tag="a", at=300)
    assert bad_nodes([*OTHERS, lost[0], again]) == set()  # that job may be to blame
    gained = [ended("lost", "n1", tag=tag, at=200, progress=7) for tag in "ab"]
    assert bad_nodes([*OTHERS, *gained]) == set()


def test_a_node_that_completes_a_job_after_losses_is_sound():
    lost = [ended("lost", "n1", tag=tag, at=50) for tag in "ab"]
    assert bad_nodes([*OTHERS, *lost]) == set()


def test_what_is_no_nodes_doing_counts_for_none():
    for cause in ("crashed", "preempted", "timeout", "user_error", "gpu_memory", "cancelled"):
        assert (
            bad_nodes([*OTHERS, *(ended(cause, "n1", tag=tag, at=200) for tag in "abc")]) == set()
        )


causes = st.sampled_from(["node_failure", "lost", "completed", "crashed", None])
attempts = st.builds(
    lambda cause, nodes, tag, at: ended(cause, *sorted(nodes), tag=tag, at=at),
    causes,
    st.sets(st.sampled_from(["n1", "n2", "n3", "n4"]), min_size=1),
    st.sampled_from("abcd"),
    st.integers(1, 5).map(float),
)


@example([ended("node_failure", "n1", "n2", tag="a", at=1.0), ended("lost", "n1", tag="a", at=1.0)])
@given(st.lists(attempts, max_size=20))
def test_never_more_than_half_and_never_without_two_events(history):
    bad = bad_nodes(history)
    used = {node for one in history for node in one.nodes}
    assert 2 * len(bad) <= len(used)
    for node in bad:
        events = [one for one in history if node in one.nodes]
        blamed = {(one.tag, one.started_unix_s) for one in events
                  if one.cause in ("node_failure", "lost")}  # fmt: skip
        assert len(blamed) >= BAD_AFTER


def test_three_mistakes_in_a_minute_stop_a_sweep():
    three = [ended("user_error", tag=tag, at=at) for tag, at in (("a", 10), ("b", 40), ("c", 69))]
    assert should_stop_sweep(three) == (
        "not started: 3 jobs of this sweep failed the same way within a minute: no module named x"
    )
    assert should_stop_sweep(three[:2]) is None


def test_slower_mistakes_other_ends_and_cohorts_do_not():
    slow = [ended("user_error", tag=tag, at=at) for tag, at in (("a", 10), ("b", 40), ("c", 71))]
    assert should_stop_sweep(slow) is None
    assert should_stop_sweep([ended("crashed", tag=tag) for tag in "abc"]) is None
    assert should_stop_sweep([ended("user_error", tag="a")] * 8) is None


def test_what_failed_before_the_jobs_were_submitted_does_not_stop_them():
    three = [ended("user_error", tag=tag, at=100) for tag in "abc"]
    assert should_stop_sweep(three, since_unix_s=100) is None


def test_attempts_of_a_sweep_are_found_beside_each_other(tmp_path):
    one, two = make_trial(tmp_path, 0), make_trial(tmp_path, 1)
    note_start([one.path], Start("a", "local"))
    note_start([two.path], Start("b", "local"))
    (tmp_path / "stray").mkdir()
    assert {each.tag for each in attempts_beside(one.path)} == {"a", "b"}
    two.attempts_file.write_text('{"schema_version": 99}\n')
    assert {each.tag for each in attempts_beside(one.path)} == {"a"}
    assert attempts_beside(tmp_path / "gone" / "x") == []
