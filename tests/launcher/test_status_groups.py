"""Grouping a sweep's trials by a swept field."""

import pytest
from test_status_text import AXES, row, shown

from deit_core.records import PlannedTrial, PlanRecord
from launcher.errors import LaunchError
from launcher.status_groups import group_field, group_rows


def plan(*swept, axes=AXES):
    trials = [
        PlannedTrial(trial_id=str(n), group_id=str(n), name=str(n), seed=0, swept=values)
        for n, values in enumerate(swept)
    ]
    return PlanRecord(sweep="s", sweep_hash="0", created_utc="", axes=axes, trials=tuple(trials))


def depth(number, value, **changes):
    return row(number, swept={"distill.kind": "soft", "model.depth": value}, **changes)


def test_the_first_field_that_varies_is_the_default():
    same = {"distill.kind": "soft"}
    assert group_field(None, plan({**same, "model.depth": 1}, {**same, "model.depth": 2})) == (
        "model.depth"
    )
    assert group_field(None, plan(same, same)) is None


def test_a_field_is_named_whole_or_by_its_last_part():
    some = plan({})
    assert group_field("model.depth", some) == "model.depth"
    assert group_field("depth", some) == "model.depth"
    assert group_field("seed", some) == "seed"
    with pytest.raises(LaunchError, match=r"--by width: give one of distill\.kind, .*, seed$"):
        group_field("width", some)
    with pytest.raises(LaunchError, match=r"--by kind: give one of a\.kind, b\.kind$"):
        group_field("kind", plan({}, axes=("a.kind", "b.kind")))


def test_the_mean_is_of_completed_trials_and_says_of_how_many():
    rows = [
        depth(0, 1, state="completed", val_top1=80.0),
        depth(1, 1, state="completed", val_top1=90.0),
        depth(2, 1, state="running", val_top1=10.0),
        depth(3, 2, state="running", val_top1=10.0),
        depth(4, None, role="teacher", state="completed", val_top1=99.0),
    ]
    one, two, teacher = group_rows(rows, "model.depth")
    assert (one.label, one.mean_top1, len(one.results)) == ("1", 85.0, 2)
    assert (two.label, two.mean_top1, two.results) == ("2", None, [])
    assert teacher.label == "teacher"


def test_teachers_are_apart_in_every_grouping():
    rows = [
        depth(0, None, role="teacher", state="completed", val_top1=99.0),
        depth(0, 1, state="completed", val_top1=80.0),
    ]
    groups = {group.label: group.mean_top1 for group in group_rows(rows, "seed")}
    assert groups == {"teacher": 99.0, "0": 80.0}


def test_tables_begin_with_the_groups():
    rows = [
        depth(0, 1, state="completed", val_top1=80.0),
        depth(1, 2, state="queued", held=True),
        depth(2, 2, state="queued", job_detail="PENDING (Priority)"),
    ]
    lines = shown(rows, width=120, by="model.depth")
    assert lines[2].split() == ["depth", "trials", "states", "mean", "top-1", "%", "of"]
    assert lines[3].split() == ["1", "1", "1", "completed", "80.00", "n=1"]
    assert lines[4].split() == ["2", "2", *["1", "paused", "·", "1", "queued", "-", "n=0"]]
    assert "queued: 1 trial (000000000002): other jobs go first (Priority)" in lines
    assert any(line.startswith("paused: 1 trial (000000000001): until") for line in lines)
