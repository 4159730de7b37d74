"""The retry policy: one row a cause, and what holds whatever happens."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deit_core.attempts import AttemptRecord, Cause
from deit_core.records import StatusRecord
from launcher.policy import (
    MAX_REQUEUES,
    MEM_STEP,
    MEM_STEPS,
    MEMORY_LIMITS,
    SOLO_AFTER,
    Attempt,
    judge,
    more_memory,
    tally,
)

CAUSES: tuple[Cause, ...] = get_args(Cause)


def attempt(cause, *, progressed=False, failures=0, memory_failures=0, state="running", **more):
    return Attempt(
        status=StatusRecord(state=state, attempt=1, step=10 if progressed else 5, **more),
        cause=cause,
        reason="because",
        failures=failures,
        memory_failures=memory_failures,
        furthest_step=5,
    )


def in_a_row(cause, times, **more):
    """Verdicts of attempts that all end this way."""
    verdicts, failures, memory_failures = [], 0, 0
    for _ in range(times):
        one = attempt(cause, failures=failures, memory_failures=memory_failures, **more)
        verdicts.append(judge(one))
        failures, memory_failures = verdicts[-1].failures, verdicts[-1].memory_failures
    return verdicts


# Attempts in a row without progress after which the trial has failed; None: never.
LIMITS = {
    "preempted": None,
    "paused": None,
    "node_failure": None,
    "timeout": MAX_REQUEUES,
    "crashed": MAX_REQUEUES,
    "lost": MAX_REQUEUES,
    "gpu_memory": 2,
    "host_memory": 3,
    "diverged": 1,
    "user_error": 1,
    "dependency": 1,
}


@pytest.mark.parametrize(("cause", "limit"), LIMITS.items())
def test_attempts_without_progress(cause, limit):
    verdicts = in_a_row(cause, limit or 20)
    assert [verdict.again for verdict in verdicts[:-1]] == [True] * (len(verdicts) - 1)
    assert verdicts[-1].again is (limit is None)
    last = verdicts[-1].status
    assert last.state == ("preempted" if limit is None else "failed")
    assert last.failure == (None if limit is None else cause)
    assert last.cause == cause


@pytest.mark.parametrize("cause", [cause for cause, limit in LIMITS.items() if limit != 1])
def test_progress_starts_the_count_anew(cause):
    verdicts = in_a_row(cause, 20, progressed=True)
    assert all(verdict.again and verdict.status.state == "preempted" for verdict in verdicts)


def test_every_cause_has_its_row():
    assert set(LIMITS) | {"completed", "cancelled", "pruned"} == set(CAUSES)


def test_completed_is_completed_whatever_the_status_says():
    verdict = judge(attempt("completed", state="failed", failure="crashed"))
    status = verdict.status
    assert (verdict.again, status.state, status.failure) == (False, "completed", None)
    assert (status.cause, status.reason) == (None, None)


def test_pruned_is_settled_and_keeps_its_reason():
    verdict = judge(attempt("pruned", progressed=True, state="pruned"))
    status = verdict.status
    assert (verdict.again, status.state, status.failure) == (False, "pruned", None)
    assert (status.cause, status.reason) == ("pruned", "because")


def test_cancelled_waits_for_its_user():
    verdict = judge(attempt("cancelled"))
    assert (verdict.again, verdict.status.state) == (False, "preempted")


def test_the_limit_is_the_sweeps():
    assert judge(attempt("lost", failures=3), 5).again
    assert not judge(attempt("lost", failures=4), 5).again


def test_a_waiting_trial_says_how_often_it_may_fail_still():
    assert judge(attempt("crashed")).status.reason == (
        "because; resumes (failure 1 of 3 without progress)"
    )


@pytest.mark.parametrize("cause", ["crashed", "lost", "gpu_memory", "host_memory", "user_error"])
def test_trials_of_a_cohort_go_on_apart_before_one_fails(cause):
    together = attempt(cause, failures=8, memory_failures=8)
    verdict = judge(Attempt(**{**vars(together), "alone": False}))
    assert verdict.again
    assert verdict.failures >= SOLO_AFTER
    assert not judge(together).again


def test_a_mistake_that_the_trainer_ascribes_to_this_trial_is_settled_in_a_cohort_too():
    one = attempt("user_error", state="failed", failure="user_error")
    assert not judge(Attempt(**{**vars(one), "alone": False})).again


def test_memory_grows_twice():
    assert more_memory(1.0) == MEM_STEP
    assert more_memory(more_memory(more_memory(1.0))) == MEM_STEP**MEM_STEPS


ends = st.tuples(st.sampled_from([c for c in CAUSES if LIMITS.get(c) != 1]), st.booleans())


@given(st.lists(ends, max_size=30))
def test_a_trial_that_gets_on_is_never_given_up(history):
    """Whatever happened before: only an attempt without progress can be the last."""
    step = failures = memory_failures = 0
    for cause, progressed in history:
        if cause in ("completed", "cancelled", "pruned"):
            continue
        one = Attempt(
            status=StatusRecord(state="running", step=step + progressed),
            cause=cause,
            failures=failures,
            memory_failures=memory_failures,
            furthest_step=step,
        )
        verdict = judge(one)
        assert verdict.again or not progressed
        step, failures = step + progressed, verdict.failures
        memory_failures = verdict.memory_failures
        if not verdict.again:
            return


@given(st.lists(ends, max_size=12))
def test_the_tally_of_a_record_is_what_judge_counted(history):
    step = failures = memory_failures = 0
    records = []
    for number, (cause, progressed) in enumerate(history, start=1):
        verdict = judge(
            Attempt(
                StatusRecord(step=step + progressed), cause, None, failures, memory_failures, step
            )
        )
        before, step = step, step + progressed
        failures, memory_failures = verdict.failures, verdict.memory_failures
        records.append(record(number, cause, before, step, again=verdict.again))
        if not verdict.again:
            step = failures = memory_failures = 0
    counted = tally(records)
    assert (counted.failures, counted.memory_failures) == (failures, memory_failures)
    assert counted.furthest_step == step


def record(number, cause, first_step, last_step, *, again):
    return AttemptRecord(
        number=number,
        tag="job",
        backend="local",
        started_unix_s=float(number),
        first_step=first_step,
        last_step=last_step,
        cause=cause,
        again=again,
    )


def test_limits_of_memory_are_those_of_the_table():
    assert {cause: LIMITS[cause] for cause in ("gpu_memory", "host_memory")} == MEMORY_LIMITS
