"""Each caveat speaks when it applies and is silent otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sweep_writer import KindsWriter, SweepWriter

from deit_core.records import EnvRecord
from deit_core.run_dir import RunDir
from reports.analysis import analyse
from reports.caveats import find_caveats
from reports.load import load_sweep

NONE = [80.1, 81.3, 79.7]
HARD = [82.9, 83.5, 82.1]
LARGE = {"val_images": 50_000, "train_images": 1_281_167}


def caveats(path: Path) -> dict[str, str]:
    sweep = load_sweep(path)
    return {caveat.code: caveat.text for caveat in find_caveats(sweep, analyse(sweep))}


@pytest.fixture
def clean(writer: SweepWriter, monkeypatch: pytest.MonkeyPatch) -> SweepWriter:
    """Summaries of a large data set, so that only what a test adds is worth a caveat."""
    writer.summary = dict(LARGE)
    folder = {"source": "image_folder", "root": "/data/imagenet"}
    monkeypatch.setitem(__import__("sweep_writer").CONFIG, "data", folder)
    return writer


def test_a_clean_sweep_has_none(clean: SweepWriter, kinds: KindsWriter) -> None:
    assert caveats(kinds(none=NONE, hard=HARD)) == {}


@pytest.mark.parametrize(
    ("outcomes", "code", "words"),
    [
        ({"none": NONE[:2], "hard": HARD[:2]}, "few_seeds", "kind=none (2) and kind=hard (2)"),
        ({"none": NONE, "hard": HARD[:2]}, "unequal_seeds", "did not finish the same seeds"),
        (
            {"none": NONE, "hard": [*HARD, "failed", "missing", "running"]},
            "incomplete",
            "3 of 9 trials have no result (1 failed, 1 missing, 1 running)",
        ),
        ({"soft": NONE, "hard": HARD}, "baseline_absent", "cannot say whether"),
        ({"none": ["failed"] * 3, "hard": HARD}, "baseline_absent", "No seed of the baseline"),
        (
            {"none": [80.0, 80.01, 80.02, 80.0], "hard": [60.0, 90.0, 70.0, 85.0]},
            "unequal_spread",
            "uses the variant's own spread",
        ),
        (
            {"none": [80.0, 80.5, 81.0], "hard": [80.0, 83.0, 90.0]},
            "unequal_spread",
            "Bartlett p = 0.022; seed sd 0.5 to 5.1 points). The intervals assume equal spread; if "
            "it is not, those of kind=hard are too narrow",
        ),
        ({"none": [80.0] * 3, "hard": [81.0] * 3}, "no_spread", "chance cannot be measured"),
        (
            {"none": NONE, "soft": HARD, "hard": [100 * 39_900 / 79_700] * 3},
            "no_spread",
            "All seeds gave the same accuracy: kind=hard. That is no certainty, as one of 50,000 "
            "val images is a step of 0.002 points; their intervals use the spread of the other",
        ),
        (
            {
                "none": [80.0, 80.01, 80.02, 80.0],
                "soft": [60.0, 90.0, 70.0, 85.0],
                "hard": [10.0] * 4,
            },
            "no_spread",
            "they get no interval",
        ),
    ],
)
def test_caveats_about_seeds(
    clean: SweepWriter, kinds: KindsWriter, outcomes: dict[str, Any], code: str, words: str
) -> None:
    assert words in caveats(kinds(**outcomes))[code]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"device_name": "NVIDIA H100"}, "device CPU and NVIDIA H100"),
        ({"versions": {"torch": "2.6.0"}}, "torch 2.13.0 and 2.6.0"),
        ({"git_sha": "f" * 40}, "git commit 0123456789 and ffffffffff"),
    ],
)
def test_mixed_environments(
    clean: SweepWriter, kinds: KindsWriter, changed: dict[str, Any], words: str
) -> None:
    path = kinds(none=NONE, hard=HARD)
    run_dir = RunDir(path / "trials" / clean.planned[-1].trial_id)
    env = run_dir.read_env()
    assert env is not None
    run_dir.write_env(EnvRecord(**(env.model_dump() | changed)))
    assert words in caveats(path)["mixed_conditions"]


def test_dirty_tree(clean: SweepWriter, kinds: KindsWriter) -> None:
    clean.env = {"git_dirty": True}
    assert "6 trials ran from a git tree" in caveats(kinds(none=NONE, hard=HARD))["dirty_tree"]


def test_unreadable_images(clean: SweepWriter, kinds: KindsWriter) -> None:
    clean.summary["unreadable_images"] = 2
    text = caveats(kinds(none=NONE, hard=HARD))["unreadable_images"]
    assert text == "2 images could not be read and were left out, in 6 trials."


def test_unreadable_images_of_some_trials(clean: SweepWriter) -> None:
    clean.variant({"distill.kind": "none"}, NONE)
    clean.summary["unreadable_images"] = 1
    for run_dir in clean.variant({"distill.kind": "hard"}, HARD):
        status = run_dir.read_status()
        run_dir.write_status(
            status.model_copy(update={"first_unreadable": "/data/train/cat/7.jpg"})
        )
    text = caveats(clean.finish())["unreadable_images"]
    assert text == (
        "Up to 1 image could not be read and was left out, in 3 trials: /data/train/cat/7.jpg."
    )


def test_small_val_set(clean: SweepWriter, kinds: KindsWriter) -> None:
    clean.summary["val_images"] = 360
    assert "± 3.9 points" in caveats(kinds(none=NONE, hard=HARD))["small_val"]


def test_small_data(kinds: KindsWriter) -> None:
    found = caveats(kinds(none=NONE, hard=HARD))
    assert found["small_data"].startswith("Small data (digits, 300 training images)")


def test_the_best_of_many(clean: SweepWriter) -> None:
    for depth in range(5):
        clean.variant({"model.depth": depth + 1}, [x + depth for x in NONE])
    assert "best of 5 variants" in caveats(clean.finish())["best_of_many"]


def test_a_failed_teacher(clean: SweepWriter, kinds: KindsWriter) -> None:
    found = caveats(kinds(none=NONE, hard=HARD, teacher="failed"))
    assert found == {"incomplete": "The teacher's own run is failed."}


def test_a_variant_without_a_baseline_is_named(clean: SweepWriter) -> None:
    clean.variant({"distill.kind": "none", "model.depth": 4}, NONE)
    clean.variant({"distill.kind": "hard", "model.depth": 6}, HARD)
    found = caveats(clean.finish())["baseline_absent"]
    assert "there is no comparison: kind=hard, depth=6; --baseline chooses one" in found
