"""Two variants on the same val images, seed by seed, from what training has stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deit_core.correct_records import ValCorrectRecord
from deit_core.records import PlannedTrial, SummaryRecord
from reports import stats
from reports.results import TrialResult
from reports.same_images import compare_images, correct_records
from reports.variants import Variant

SUMMARY: dict[str, Any] = {
    "epochs": 1.0, "steps": 1, "val_images": 40, "val_top1": 50.0, "val_top5": 90.0,
    "val_loss": 1.0, "val_top1_cls": 50.0, "train_loss": 1.0, "train_images": 10,
    "num_classes": 2, "parameters": 1, "train_s": 1.0, "finished_unix_s": 1.0,
}  # fmt: skip


def trial(group: str, seed: int, correct: dict[str, Any] | None, **kwargs: Any) -> TrialResult:
    trial_id = f"{group}{seed}"
    planned = PlannedTrial(trial_id=trial_id, group_id=group, name=trial_id, seed=seed, swept={})
    summary = SummaryRecord(trial_id=trial_id, **SUMMARY)
    return TrialResult(planned, **({"state": "completed"} | kwargs), summary=summary,
                       correct=correct)  # fmt: skip


def hits_of(number: int) -> np.ndarray:
    return np.random.default_rng(number).random(40) < 0.6


def record(group: str, seed: int, number: int, key: str = "images") -> dict[str, Any]:
    made = ValCorrectRecord.of(f"{group}{seed}", hits_of(number), key)
    return made.model_dump(mode="json")


def variant(group: str, *trials: TrialResult) -> Variant:
    return Variant(group, group, {}, trials)


def test_equal_seeds_are_compared_on_equal_images() -> None:
    one = variant("a", *(trial("a", seed, record("a", seed, seed)) for seed in (0, 1, 2)))
    other = variant("b", *(trial("b", seed, record("b", seed, 10 + seed)) for seed in (1, 2, 3)))
    found = compare_images(one, other)
    assert (found.group_id, found.baseline_id) == ("a", "b")
    assert [comparison.seed for comparison in found.seeds] == [1, 2]
    tests = [stats.mcnemar(hits_of(seed), hits_of(10 + seed)) for seed in (1, 2)]
    assert [comparison.test for comparison in found.seeds] == tests
    adjusted = stats.holm_adjusted([test.p for test in tests])
    assert [comparison.adjusted_p for comparison in found.seeds] == adjusted


def test_other_images_are_named_and_not_compared() -> None:
    one = variant("a", trial("a", 0, record("a", 0, 1)), trial("a", 1, record("a", 1, 1)))
    fewer = ValCorrectRecord.of("b1", hits_of(2)[:30], "images").model_dump(mode="json")
    other = variant("b", trial("b", 0, record("b", 0, 2, key="others")), trial("b", 1, fewer))
    found = compare_images(one, other)
    assert (found.seeds, found.other_images) == ((), (0, 1))


@pytest.mark.parametrize(
    ("correct", "state"),
    [
        (None, "completed"),
        (record("a", 0, 1), "failed"),
        (record("a", 0, 1) | {"bits": "<script>"}, "completed"),
        (record("a", 0, 1) | {"images": -3}, "completed"),
        (record("a", 0, 1) | {"images": 0, "correct": 0, "bits": ""}, "completed"),
        (record("b", 7, 1), "completed"),
        ({}, "completed"),
    ],
)
def test_a_record_that_says_nothing_is_left_out(correct: dict[str, Any], state: str) -> None:
    one = variant("a", trial("a", 0, correct, state=state))
    assert correct_records(one) == {}
    assert compare_images(one, variant("b", trial("b", 0, record("b", 0, 2)))).seeds == ()
