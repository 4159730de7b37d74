"""Pruning: the rule, what it reads, and a trainer whose students leave at a rung."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deit_core.errors import RunDirError, SchemaError
from deit_core.pruning import (
    Position,
    PrunerRecord,
    RungRecord,
    cutoff_score,
    read_pruner,
    read_rungs,
    rung_evaluation,
    rung_step,
    take_rungs,
    words,
)
from deit_core.records import StatusRecord, TrialRecord
from deit_core.run_dir import RunDir, write_json
from deit_core.train.checkpoint import list_checkpoints
from deit_core.train.timetable import Timetable
from tests.deit_core.rank_processes import train
from tests.deit_core.test_exactness import assert_same_result

Job = Callable[..., Any]
RunFactory = Callable[..., RunDir]

PRUNER = PrunerRecord(
    metric="val_top1", direction="maximize", rungs=(0.25, 0.5), reduction_factor=2.0
)
SCORES = st.lists(
    st.one_of(st.floats(-100, 100), st.just(-math.inf)), min_size=1, max_size=40
)  # fmt: skip
FACTORS = st.sampled_from([1.5, 2.0, 2.5, 3.0, 4.0, 10.0])


# the rule ------------------------------------------------------------------------------------


@given(SCORES, FACTORS)
def test_the_best_stays_and_at_most_the_share_that_may_leave_leaves(
    scores: list[float], factor: float
) -> None:
    cutoff = cutoff_score(scores, factor)
    assert max(scores) >= cutoff
    assert cutoff == cutoff_score(scores[::-1], factor)
    leaving = sum(score < cutoff for score in scores)
    assert leaving <= math.ceil((len(scores) - 1) * (1 - 1 / factor))
    finite = [score for score in scores if math.isfinite(score)]
    if finite and len(finite) == len(scores):
        assert cutoff == pytest.approx(float(np.quantile(scores, 1 - 1 / factor)), abs=1e-9)
    if len(scores) > len(finite) > len(scores) / factor:
        assert cutoff >= min(finite)  # then nobody without a number goes on


@given(st.integers(1, 200), FACTORS)
def test_a_value_on_the_quantile_is_not_below_it(count: int, factor: float) -> None:
    """1 to n: where (n - 1) (1 - 1/eta) is whole, the cutoff is that value to the bit."""
    place = (count - 1) * (factor - 1) / factor
    if place.is_integer():
        assert cutoff_score([float(n) for n in range(count)], factor) == place


@given(
    st.floats(0.01, 0.99),
    st.integers(1, 400),
    st.integers(1, 60),
)
def test_a_rung_is_the_first_evaluation_at_or_after_it(rung: float, total: int, every: int) -> None:
    table = Timetable(total, 10, 1, every, 10, 300.0)
    evaluations = [step for step in range(1, total + 1) if table.eval_due(step)]
    number = rung_evaluation(rung, total, every)
    found = [step for step in evaluations if step >= rung_step(rung, total)]
    assert evaluations[number - 1] == found[0]


def test_fractions_are_not_missed_by_rounding() -> None:
    assert rung_evaluation(0.07, 100, 1) == 7  # 0.07 * 100 is 7.000000000000001
    assert rung_evaluation(0.33, 3, 1) == 1


def test_brackets_have_the_shares_of_hyperband() -> None:
    """eta 3, two rungs: 9, 4.5 and 3 of 16.5 trials, the last of them never compared."""
    pruner = PRUNER.model_copy(update={"brackets": 3, "reduction_factor": 3.0})
    drawn = [pruner.bracket_of(f"trial{number}") for number in range(3000)]
    shares = [drawn.count(bracket) / len(drawn) for bracket in range(3)]
    assert shares == pytest.approx([9 / 16.5, 4.5 / 16.5, 3 / 16.5], abs=0.03)
    rungs = {pruner.rungs_of(f"trial{number}") for number in range(100)}
    assert rungs == {(0.25, 0.5), (0.5,), ()}


# what it reads -------------------------------------------------------------------------------


def sibling(folder: Path, name: str, values: Sequence[float | None], **trial: Any) -> RunDir:
    """A trial of 20 steps that was evaluated after every 5th, as far as there are values."""
    run = RunDir(folder / name)
    run.job_dir.mkdir(parents=True)
    record = TrialRecord(trial_id=name, group_id=name, name=name, seed=0, **trial)
    write_json(run.trial_file, record.model_dump(mode="json"))
    run.write_status(StatusRecord(state="running", total_steps=20))
    for number, value in enumerate(values, start=1):
        run.append_metrics({"kind": "train", "step": 5 * number - 1, "epoch": 0, "val_top1": 99})
        run.append_metrics({"kind": "eval", "step": 5 * number, "epoch": number, "val_top1": value})
    return run


def decide(run: RunDir, pruner: PrunerRecord = PRUNER, step: int = 5) -> RungRecord | None:
    return take_rungs(run, pruner, Position(run.path.name, step, 20))


def test_a_trial_is_compared_with_what_the_others_had_there(tmp_path: Path) -> None:
    first = sibling(tmp_path, "first", [10.0])
    assert decide(first) is None  # the first one to arrive always goes on
    sibling(tmp_path, "better", [50.0, 5.0])
    sibling(tmp_path, "diverged", [None, 80.0])
    sibling(tmp_path, "not_there_yet", [])
    sibling(tmp_path, "teacher", [90.0], role="teacher")
    torn = sibling(tmp_path, "torn", [])
    torn.metrics_file.write_text('{"kind": "eval", "step": 5, "val_t')
    unread = sibling(tmp_path, "unreadable", [90.0])
    unread.status_file.write_text("{")
    elsewhere = sibling(tmp_path / "another sweep", "linked", [45.0])
    (tmp_path / "linked").symlink_to(elsewhere.path)
    middle = sibling(tmp_path, "middle", [44.0])
    assert decide(middle) is None  # 50, 45, 44, 10 and a NaN: it is the median, not below it
    assert read_rungs(middle)[0].decision == "continue"
    late = sibling(tmp_path, "late", [43.0])
    record = decide(late)
    assert record is not None
    assert (record.reached, record.place) == (6, 4)
    assert record.cutoff == pytest.approx(43.5)
    assert words(record, "val_top1") == (
        "stopped at 25 % of its schedule: val_top1 43, 4th of 6, 43.5 was needed"
    )


def test_a_decision_is_never_made_anew(tmp_path: Path) -> None:
    run = sibling(tmp_path, "run", [10.0])
    assert decide(run) is None
    before = run.rungs_file.read_bytes()
    better = sibling(tmp_path, "better", [50.0])
    assert decide(run) is None
    assert run.rungs_file.read_bytes() == before
    worse = sibling(tmp_path, "worse", [1.0])
    pruned = decide(worse)
    better.metrics_file.unlink()
    assert pruned is not None
    assert decide(worse) == pruned
    assert decide(worse, PRUNER.model_copy(update={"exempt": True})) is None


def test_who_would_have_left_counts_at_no_later_rung(tmp_path: Path) -> None:
    advice = PRUNER.model_copy(update={"mode": "advice"})
    for name, values in (("good", [50.0, 60.0]), ("slow", [10.0, 99.0]), ("fair", [55.0, 70.0])):
        run = sibling(tmp_path, name, values)
        assert decide(run, advice) is None
        assert decide(run, advice, step=10) is None
    records = {name: read_rungs(RunDir(tmp_path / name)) for name in ("good", "slow", "fair")}
    assert [record.decision for record in records["slow"]] == ["would_prune"]
    assert [record.reached for record in records["fair"]] == [3, 2]  # not the 99 of `slow`


def test_a_loss_is_better_when_it_is_smaller(tmp_path: Path) -> None:
    loss = PRUNER.model_copy(update={"direction": "minimize"})
    sibling(tmp_path, "low", [0.5])
    high = sibling(tmp_path, "high", [2.5])
    record = decide(high, loss)
    assert record is not None
    assert (record.place, record.cutoff) == (2, 1.5)


def test_files_of_the_trial_itself_must_be_sound(tmp_path: Path) -> None:
    run = sibling(tmp_path, "run", [10.0])
    run.rungs_file.write_text('{"rung"')
    with pytest.raises(RunDirError, match=r"rungs\.jsonl is damaged"):
        decide(run)
    run.pruner_file.write_text(json.dumps({"metric": "val_top1"}))
    with pytest.raises(SchemaError, match=r"pruner\.json is damaged: direction"):
        read_pruner(run)


# the trainer ---------------------------------------------------------------------------------

BY_LOSS = PrunerRecord(metric="val_loss", direction="minimize", rungs=(0.25,), reduction_factor=2.0)
STUCK: dict[str, Any] = {"optim": {"lr": 1e-9, "lr_reference_batch_size": None, "min_lr": 1e-9,
                                   "warmup_lr": 1e-9, "warmup": "0ep"}}  # fmt: skip


def ask_pruner(*runs: RunDir, **changed: Any) -> None:
    for run in runs:
        record = BY_LOSS.model_copy(update=changed)
        write_json(run.pruner_file, record.model_dump(mode="json"))


def assert_pruned_at_the_first_rung(run: RunDir) -> None:
    status = run.read_status()
    assert (status.state, status.step, status.failure) == ("pruned", 5, None)
    assert status.reason is not None
    assert status.reason.startswith("stopped at 25 % of its schedule: val_loss 2.")
    assert status.finished_unix_s is not None
    assert [row["step"] for row in run.read_metrics() if row["kind"] == "eval"] == [5]
    assert run.read_summary() is None
    assert [entry.step for entry in list_checkpoints(run.checkpoint_dir)] == [5]
    assert [record.decision for record in read_rungs(run)] == ["prune"]


def test_a_pruned_student_leaves_and_the_others_are_as_if_alone(
    make_run: RunFactory, job: Job
) -> None:
    good, stuck = make_run("sweep/good"), make_run("sweep/stuck", **STUCK)
    alone, stuck_alone = make_run("alone/good"), make_run("alone/stuck", **STUCK)
    ask_pruner(good, stuck)
    job(stuck, good)
    assert_pruned_at_the_first_rung(stuck)
    assert job(stuck).stdout == "sweep-stuck: already pruned\n"
    job(alone)
    assert_same_result(good, alone)
    # as `deit-launch retry` does it
    ask_pruner(stuck, exempt=True)
    stuck.write_status(stuck.read_status().model_copy(update={"state": "preempted"}))
    job(stuck)
    job(stuck_alone)
    assert_same_result(stuck, stuck_alone)


def test_two_ranks_leave_together(make_run: RunFactory) -> None:
    good, stuck = make_run("good"), make_run("stuck", **STUCK)
    ask_pruner(good, stuck)
    train(2, stuck, good)
    assert_pruned_at_the_first_rung(stuck)
    assert good.read_status().state == "completed"


def test_a_resumed_run_does_what_was_decided(make_run: RunFactory, job: Job) -> None:
    """It was killed after the decision: now there is nobody to compare it with, and it leaves."""
    run = make_run("run")
    ask_pruner(run)
    record = RungRecord(rung=0.25, step=5, epoch=1.0, value=2.5, reached=9, place=9, cutoff=1.0,
                        decision="prune", unix_s=0.0)  # fmt: skip
    run.rungs_file.write_text(record.model_dump_json() + "\n")
    job(run)
    assert_pruned_at_the_first_rung(run)


def test_nobody_is_pruned_after_the_last_step(make_run: RunFactory, job: Job) -> None:
    """A rung that only the last evaluation reaches has nothing left to save."""
    good, stuck = make_run("good"), make_run("stuck", **STUCK)
    ask_pruner(good, stuck, rungs=(0.9,))
    job(stuck, good)
    assert stuck.read_status().state == "completed"
    assert read_rungs(stuck) == []
