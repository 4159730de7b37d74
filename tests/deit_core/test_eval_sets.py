"""ReaL labels follow the published file names; ImageNet-V2's folders are numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from source_files import MAKERS, save_picture

from deit_core.config import parse_run_config
from deit_core.data.eval_sets import load_real_labels, open_imagenet_v2
from deit_core.data.loader import EvalLoader
from deit_core.data.sources import ImageSource, open_source
from deit_core.errors import DataError
from deit_core.identity import resolve

REAL = [[0, 2], [], [1], [2, 1, 0]]
"""Of ILSVRC2012_val_00000001 to 4."""


def val(root: Path, name: str = "imagenet, devkit folder", **limits: Any) -> ImageSource:
    data = MAKERS[name](root).model_copy(update=limits)
    return open_source(data, in_chans=3, split="val")


def write_real(folder: Path, content: Any = REAL) -> str:
    path = folder / "real.json"
    path.write_text(json.dumps(content))
    return str(path)


@pytest.mark.parametrize("name", ["imagenet", "imagenet, devkit folder", "image_folder"])
def test_labels_follow_the_number_in_the_name(tmp_path: Path, name: str) -> None:
    source = val(tmp_path / "data", name)
    real = load_real_labels(write_real(tmp_path), source)
    for index in range(len(source)):
        number = int(Path(source.describe(index)).stem[-8:])
        hits = [real.matches(np.array([label]), np.array([index])).hits for label in range(3)]
        assert hits == [int(label in REAL[number - 1]) for label in range(3)]


def test_images_without_a_label_are_not_counted(tmp_path: Path) -> None:
    real = load_real_labels(write_real(tmp_path), val(tmp_path / "data"))
    predictions, indices = [2, 0, 0, 1], [0, 1, 2, 3]
    assert real.matches(np.array(predictions), np.array(indices)) == (2, 3)
    assert real.matches(torch.tensor(predictions), torch.tensor(indices)) == (2, 3)
    assert real.matches(np.array([-1, -1]), np.array([1, 2])) == (0, 1)
    assert real.matches(np.array([1]), np.array([2])) == (1, 1)
    none = np.array([], dtype=np.int64)
    assert real.matches(none, none) == (0, 0)


def test_batches_add_up_to_what_a_plain_loop_counts() -> None:
    class Named:
        class_names = tuple(map(str, range(1000)))

        def __len__(self) -> int:
            return 500

        def describe(self, index: int) -> str:
            return f"/data/val/ILSVRC2012_val_{500 - index:08d}.JPEG"

    rng = np.random.default_rng(0)
    content = [rng.choice(1000, rng.integers(0, 6), replace=False).tolist() for _ in range(500)]
    predictions = np.array([x[0] if x and rng.random() < 0.6 else 7 for x in content[::-1]])
    path = Path(__file__).with_name("never written")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda _: json.dumps(content).encode())
        real = load_real_labels(str(path), Named())  # type: ignore[arg-type]
    parts = [real.matches(predictions[part], part) for part in np.array_split(np.arange(500), 7)]
    hits = sum(p in labels for p, labels in zip(predictions, content[::-1], strict=True))
    assert sum(part.hits for part in parts) == hits
    assert sum(part.counted for part in parts) == sum(map(bool, content))


def test_a_subset_of_val_has_its_own_rows(tmp_path: Path) -> None:
    source = val(tmp_path / "data", val_images=2)
    real = load_real_labels(write_real(tmp_path), source)
    numbers = [int(Path(source.describe(index)).stem[-8:]) for index in range(2)]
    expected = [sorted(REAL[number - 1]) for number in numbers]
    assert [sorted(row[row >= 0].tolist()) for row in real.labels] == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (REAL[:3], r"val_00000004.JPEG is none of the 3 images of .*real.json; they must be named"),
        ([[0], [1], [2], [3]], r"names class 3, but the data has 3 classes"),
        ({"a": 1}, "is no list of lists of labels; get real.json from https://github.com/google"),
        ([0, 1, 2, 3], "is no list of lists of labels"),
        ([[], [], [], []], "has no label for any of the images of val"),
        ([[0], [-1], [2], [2]], "is no list of lists of labels"),
        ([[0], [True], [2], [2]], "is no list of lists of labels"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    path = write_real(tmp_path, content)
    with pytest.raises(DataError, match=message) as error:
        load_real_labels(path, val(tmp_path / "data"))
    assert str(error.value).startswith("eval.real_labels: ")
    assert "\n" not in str(error.value)


def test_files_that_are_missing_or_no_json_are_named(tmp_path: Path) -> None:
    source = val(tmp_path / "data")
    with pytest.raises(DataError, match=r"none\.json cannot be read \(No such file"):
        load_real_labels(str(tmp_path / "none.json"), source)
    (tmp_path / "real.json").write_text("{")
    with pytest.raises(DataError, match=r"real\.json is no list of lists"):
        load_real_labels(str(tmp_path / "real.json"), source)


def test_images_of_other_names_are_refused(tmp_path: Path) -> None:
    source = open_source(MAKERS["cifar10"](tmp_path), in_chans=3, split="val")
    with pytest.raises(DataError, match=r"cifar10 val\[0\] is none of the 4 images"):
        load_real_labels(write_real(tmp_path), source)


# ImageNet-V2


def make_v2(root: Path, labels: tuple[int, ...] = (0, 2, 10, 999)) -> str:
    for label in labels:
        for number in range(2):
            save_picture(root / str(label) / f"{label}-{number}.jpeg", label + number)
    return str(root)


def test_folders_are_labels_not_words(tmp_path: Path) -> None:
    source = open_imagenet_v2(make_v2(tmp_path), 3)
    assert source.labels.tolist() == [0, 0, 2, 2, 10, 10, 999, 999]
    assert source.labels.dtype == np.int64
    assert len(source.class_names) == 1000
    assert source.describe(4) == str(tmp_path / "10" / "10-0.jpeg")
    assert open_imagenet_v2(str(tmp_path), 1).image(3).mode == "L"


def test_the_evaluation_reads_it(tmp_path: Path) -> None:
    values = {"data": {"source": "imagenet", "root": str(tmp_path), "workers": 0}}
    config = resolve(parse_run_config({**values, "model": {"img_size": 48, "patch_size": 16}}))
    loader = EvalLoader(open_imagenet_v2(make_v2(tmp_path), 3), config, device=torch.device("cpu"))
    (batch,) = loader
    assert batch.images.shape == (8, 3, 48, 48)
    assert batch.labels.tolist() == [0, 0, 2, 2, 10, 10, 999, 999]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / "n01440764").mkdir(), "has the folder n01440764; valid: 0 to 999"),
        (lambda root: (root / "1000").mkdir(), "has class 1000, but the model 1000 classes"),
        (lambda root: (root / "-1").mkdir(), "has the folder -1"),
        (lambda root: (root / "5").mkdir(), "holds no image"),
    ],
)
def test_other_folders_are_refused(tmp_path: Path, spoil: Any, message: str) -> None:
    path = make_v2(tmp_path)
    spoil(tmp_path)
    with pytest.raises(DataError, match=message) as error:
        open_imagenet_v2(path, 3)
    assert "\n" not in str(error.value)


def test_a_missing_folder_and_a_smaller_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"eval.imagenet_v2: .*none is no folder; get one from"):
        open_imagenet_v2(str(tmp_path / "none"), 3)
    with pytest.raises(DataError, match="has class 999, but the model 100 classes"):
        open_imagenet_v2(make_v2(tmp_path), 3, 100)
