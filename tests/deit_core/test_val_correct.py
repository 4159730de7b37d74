"""val_correct.json: a bit for each image of the last evaluation, the same from every way there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deit_core.correct_records import ValCorrectRecord, image_list_key
from deit_core.errors import SchemaError
from deit_core.run_dir import RunDir
from deit_core.train.student import Student
from tests.deit_core.rank_processes import train

Job = Callable[..., Any]
RunFactory = Callable[..., RunDir]
TWO_EPOCHS = {"duration": "2ep"}


def record_of(run: RunDir) -> ValCorrectRecord:
    record = run.read_val_correct()
    assert record is not None
    return record


def assert_says_the_accuracy(run: RunDir) -> None:
    record, summary = record_of(run), run.read_summary()
    assert summary is not None
    hits = record.hits()
    assert record.trial_id == summary.trial_id
    assert len(hits) == record.images == summary.val_images
    assert int(hits.sum()) == record.correct
    assert 100 * (record.correct / record.images) == summary.val_top1  # to the last bit
    assert 0 < record.correct < record.images


@given(st.lists(st.booleans(), max_size=40))
def test_bits_come_back_as_they_were(outcomes: list[bool]) -> None:
    hits = np.array(outcomes, dtype=np.bool_)
    values = json.loads(json.dumps(ValCorrectRecord.of("t", hits, "key").model_dump(mode="json")))
    record = ValCorrectRecord.from_json(values, "file")
    assert record.hits().tolist() == outcomes
    assert (record.images, record.correct) == (len(outcomes), sum(outcomes))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bits": "?"}, "not base64"),
        ({"bits": "é"}, "not base64"),
        ({"images": 99}, "expected 2 of 99"),
        ({"correct": 3}, "2 ones"),
        ({"schema_version": 999}, "newer|version"),
        ({"head": "dist"}, "head"),
    ],
)
def test_a_record_that_contradicts_itself_is_named(change: dict[str, Any], words: str) -> None:
    record = ValCorrectRecord.of("t", np.array([True, False, True]), "key")
    with pytest.raises(SchemaError, match=words) as error:
        ValCorrectRecord.from_json(record.model_dump(mode="json") | change, "runs/x/val_correct")
    assert str(error.value).startswith("runs/x/val_correct")


def test_the_key_tells_lists_of_images_apart() -> None:
    key = image_list_key("val", np.array([0, 1, 2]))
    others = [("other", [0, 1, 2]), ("val", [0, 1]), ("val", [0, 2, 1])]
    keys = [image_list_key(fingerprint, np.array(indices)) for fingerprint, indices in others]
    assert len({key, *keys}) == 4


def test_a_run_says_which_images_are_right(make_run: RunFactory, job: Job) -> None:
    run = make_run("run", train=TWO_EPOCHS)
    assert run.read_val_correct() is None
    job(run)
    assert_says_the_accuracy(run)
    again = make_run("again", train=TWO_EPOCHS)
    job(again)
    assert again.val_correct_file.read_bytes() == run.val_correct_file.read_bytes()


def test_the_bits_are_those_of_each_image(
    make_run: RunFactory, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bit of image i is whether its own prediction is its own label."""
    from deit_core.train.evaluate import HeadScore, ModelScore

    seen: dict[int, bool] = {}
    original = ModelScore.add

    def add(self: Any, batch: Any) -> None:
        def note(score: Any, logits: Any, labels: Any) -> Any:
            if score is self._scores["fused"]:
                right = (logits.argmax(dim=1) == labels).tolist()
                seen.update(zip(batch.indices.tolist(), right, strict=True))
            return count(score, logits, labels)

        count = HeadScore.add
        with monkeypatch.context() as patch:
            patch.setattr(HeadScore, "add", note)
            original(self, batch)

    monkeypatch.setattr(ModelScore, "add", add)
    run = make_run("run", train=TWO_EPOCHS)
    job(run)
    assert record_of(run).hits().tolist() == [seen[i] for i in range(50)]


def test_students_of_a_cohort_have_their_own(make_run: RunFactory, job: Job) -> None:
    first = make_run("first", train=TWO_EPOCHS)
    second = make_run("second", train=TWO_EPOCHS, optim={"lr": 3e-3})
    alone = make_run("alone", train=TWO_EPOCHS, optim={"lr": 3e-3})
    job(first, second)
    job(alone)
    for run in (first, second):
        assert_says_the_accuracy(run)
    assert record_of(first).val_key == record_of(second).val_key
    assert record_of(first).bits != record_of(second).bits
    assert alone.val_correct_file.read_bytes() == second.val_correct_file.read_bytes()


def test_other_images_have_another_key(make_run: RunFactory, job: Job) -> None:
    run = make_run("run", train={"duration": "1ep"})
    fewer = make_run("fewer", train={"duration": "1ep"}, data={"val_images": 40})
    job(run)
    job(fewer)
    assert record_of(run).val_key != record_of(fewer).val_key


def test_killed_between_the_bits_and_the_end(
    make_run: RunFactory, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the last row or checkpoint is there or not, the resumed run has the same file."""
    whole = make_run("whole", train=TWO_EPOCHS)
    job(whole)
    for method in ("emit", "finish"):
        run = make_run(method, train=TWO_EPOCHS)
        original = getattr(Student, method)

        def die(student: Student, *args: Any, original: Any = original, **values: Any) -> None:
            if student.at_end:
                raise RuntimeError("power cut")
            original(student, *args, **values)

        with monkeypatch.context() as patch:
            patch.setattr(Student, method, die)
            with pytest.raises(RuntimeError, match="power cut"):
                job(run)
        job(run)
        assert_says_the_accuracy(run)
        assert run.val_correct_file.read_bytes() == whole.val_correct_file.read_bytes()


def test_an_unreadable_image_is_left_out(
    make_run: RunFactory, job: Job, image_folder: Path
) -> None:
    run = make_run("run", **of_folder(image_folder))
    job(run)
    assert_says_the_accuracy(run)
    next((image_folder / "val").rglob("*.png")).write_bytes(b"broken")
    broken = make_run("broken", **of_folder(image_folder))
    job(broken)
    assert_says_the_accuracy(broken)
    assert record_of(broken).images == record_of(run).images - 1
    assert record_of(broken).val_key != record_of(run).val_key


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Two classes of noise that differ in brightness, 24 and 15 images each."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for split, count in (("train", 24), ("val", 15)):
        for label in range(2):
            folder = tmp_path / "images" / split / f"class{label}"
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 156, size=(8, 8), dtype=np.uint8) + np.uint8(60 * label)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "images"


def of_folder(folder: Path) -> dict[str, Any]:
    data = {
        "source": "image_folder",
        "root": str(folder),
        "train_images": None,
        "val_images": None,
        "workers": 0,
    }
    return {"data": data, "train": {"duration": "1ep"}, "eval": {"batch_size": 7}}


@pytest.mark.parametrize("world", [2, 3])
def test_several_processes_write_them_in_order(make_run: RunFactory, world: int) -> None:
    """Batches of 7 are dealt out in turn, the last to some processes only: 50 = 7 x 7 + 1."""
    batch = {"global_batch_size": 24, "duration": "2ep"}
    common: dict[str, Any] = {"train": batch, "eval": {"batch_size": 7}}
    alone, ranks = make_run("alone", **common), make_run("ranks", **common)
    train(1, alone)
    train(world, ranks)
    assert_says_the_accuracy(ranks)
    one, other = record_of(alone), record_of(ranks)
    assert one.val_key == other.val_key
    differing = int((one.hits() != other.hits()).sum())  # sums differ in their last digits
    assert differing <= 1
