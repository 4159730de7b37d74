"""Hugging Face data: splits and columns are found, and what is missing is said in one line."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from source_files import MAKERS, VAL, hub_dataset, picture

from deit_core.config import DataConfig
from deit_core.data.sources import ImageSource, UnreadableImageError, open_source
from deit_core.data_layout import count_classes, count_images
from deit_core.errors import DataError

datasets = pytest.importorskip("datasets")
pytestmark = pytest.mark.usefixtures("own_hub_cache")

NUMBERS = datasets.Value("int32")


def save(root: Path, **splits: Any) -> DataConfig:
    datasets.DatasetDict(splits).save_to_disk(root)
    return DataConfig(source="huggingface", root=str(root))


def opened(data: DataConfig, split: str = "train", **columns: str) -> ImageSource:
    data = data.model_copy(update=columns)
    return open_source(data, in_chans=3, split=split)


def refusal(data: DataConfig, **columns: str) -> str:
    """The message, which the launcher and the job must both give."""
    data = data.model_copy(update=columns)
    with pytest.raises(DataError) as error:
        opened(data)
    with pytest.raises(DataError) as at_submit:
        count_classes(data)
    assert str(at_submit.value) == str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", ["validation", "val", "valid", "test"])
def test_val_has_several_names(tmp_path: Path, name: str) -> None:
    data = save(tmp_path, **{"train": hub_dataset(range(3)), name: hub_dataset(range(5, 9))})
    source = opened(data, "val")
    assert len(source) == 4
    assert source.describe(2) == f"{tmp_path} {name}[2]"
    assert source.class_names == ("even", "odd")


def test_validation_comes_before_test(tmp_path: Path) -> None:
    parts = {"train": 2, "test": 3, "validation": 4}
    data = save(tmp_path, **{name: hub_dataset(range(count)) for name, count in parts.items()})
    assert len(opened(data, "val")) == 4
    assert count_images(data, "val", enough=100) == 4


def test_a_single_split_is_refused(tmp_path: Path) -> None:
    data = save(tmp_path / "dict", train=hub_dataset(range(3)))
    assert "has the splits train; it needs train, and one of validation, " in refusal(data)
    hub_dataset(range(3)).save_to_disk(tmp_path / "alone")
    alone = DataConfig(source="huggingface", root=str(tmp_path / "alone"))
    assert "is one split, saved alone" in refusal(alone)


def test_columns_are_found_by_type_or_named(tmp_path: Path) -> None:
    def table(numbers: range) -> Any:
        count = len(numbers)
        return hub_dataset(
            numbers,
            depth=(datasets.Image(), [picture(n + 50) for n in numbers]),
            count=(NUMBERS, [n % 3 for n in numbers]),
            place=(datasets.ClassLabel(names=["in", "out", "on"]), [n % 3 for n in numbers]),
            title=(datasets.Value("string"), ["a"] * count),
        )

    data = save(tmp_path, train=table(range(6)), test=table(range(6, 9)))
    ambiguous = "more than one column of images; set data.image_column: valid: image, depth"
    assert ambiguous in refusal(data)
    ambiguous = "more than one column of class labels or integers; set data.label_column: "
    assert f"{ambiguous}valid: label, place" in refusal(data, image_column="depth")
    source = opened(data, image_column="depth", label_column="place")
    assert source.class_names == ("in", "out", "on")
    assert source.image(1).tobytes() == picture(51).tobytes()
    numbered = opened(data, image_column="image", label_column="count")
    assert numbered.class_names == ("0", "1", "2")
    assert numbered.labels.tolist() == [0, 1, 2, 0, 1, 2]
    wrong = refusal(data, image_column="title", label_column="place")
    assert wrong.startswith("data.image_column: 'title' holds no images; valid: image, depth")
    wrong = refusal(data, image_column="picture", label_column="place")
    assert "'picture' is no column of the data; valid: " in wrong
    wrong = refusal(data, image_column="image", label_column="title")
    assert "'title' holds no class labels or integers; valid: label, place, count" in wrong


@pytest.mark.parametrize("layout", ["saved", "parquet"])
def test_integers_without_names_are_labels(tmp_path: Path, layout: str) -> None:
    splits = {}
    for name, numbers in (("train", range(9)), ("validation", range(20, 22))):
        table = hub_dataset(numbers, kind=(NUMBERS, [n % 4 for n in numbers]))
        splits[name] = table.remove_columns("label")
    data = DataConfig(source="huggingface", root=str(tmp_path / "data"))
    if layout == "saved":
        save(tmp_path / "data", **splits)
    else:
        for name, table in splits.items():
            (tmp_path / "data" / name).mkdir(parents=True)  # the Hub also knows folders
            table.to_parquet(tmp_path / "data" / name / "0000.parquet")
    assert count_classes(data) == 4
    assert opened(data, "val").class_names == ("0", "1", "2", "3")
    assert opened(data, "val").labels.tolist() == [0, 1]


def test_parquet_files_of_other_programs_are_read(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    def encoded(number: int) -> bytes:
        file = io.BytesIO()
        picture(number).save(file, "PNG")
        return file.getvalue()

    for name, numbers in (("train", range(5)), ("test", range(5, 8))):
        table = pa.table(
            {"picture": [encoded(n) for n in numbers], "species": [n % 2 for n in numbers]}
        )
        parquet.write_table(table, tmp_path / f"{name}.parquet")
    source = opened(DataConfig(source="huggingface", root=str(tmp_path)))
    assert source.labels.tolist() == [0, 1, 0, 1, 0]
    assert source.image(3).tobytes() == picture(3).tobytes()


def test_images_may_lie_beside_the_table(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    picture(1).save(tmp_path / "a.png")
    cells = [{"bytes": None, "path": str(tmp_path / name)} for name in ("a.png", "b.png")]
    (tmp_path / "data").mkdir()
    for name in ("train", "test"):
        kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        table = pa.table({"image": pa.array(cells, kind), "label": [0, 1]})
        parquet.write_table(table, tmp_path / "data" / f"{name}.parquet")
    source = opened(DataConfig(source="huggingface", root=str(tmp_path / "data")))
    assert source.image(0).tobytes() == picture(1).tobytes()
    with pytest.raises(UnreadableImageError, match=r"b\.png cannot be read"):
        source.image(1)


def test_broken_and_empty_images_are_named(tmp_path: Path) -> None:
    table = hub_dataset(range(2)).cast_column("image", datasets.Image(decode=False))
    cells = [{"bytes": b"no image", "path": None}, None]
    broken = table.remove_columns("image").add_column("image", cells)
    broken = broken.cast_column("image", datasets.Image())
    source = opened(save(tmp_path, train=broken, test=broken))
    for index, reason in ((0, "no known image format"), (1, "the cell is empty")):
        with pytest.raises(UnreadableImageError, match=rf"train\[{index}\] .*{reason}") as error:
            source.image(index)
        assert error.value.name == f"{tmp_path} train[{index}]"


def test_empty_and_hidden_labels_are_refused(tmp_path: Path) -> None:
    some = hub_dataset(range(3), kind=(NUMBERS, [0, None, 1]), hidden=(NUMBERS, [0, -1, 1]))
    data = save(tmp_path, train=some, test=some)
    empty = data.model_copy(update={"label_column": "kind"})
    with pytest.raises(DataError, match=r"1 of the 3 labels in the split train of .* are empty"):
        opened(empty)
    hidden = data.model_copy(update={"label_column": "hidden"})
    with pytest.raises(DataError, match=r"train\[1\] has the label -1, but there are 2 classes"):
        opened(hidden)


def test_no_images_and_one_class_are_refused(tmp_path: Path) -> None:
    none = hub_dataset(range(0))
    saved = save(tmp_path / "saved", train=none, test=none)
    (tmp_path / "files").mkdir()
    for name in ("train", "test"):
        none.to_parquet(tmp_path / "files" / f"{name}.parquet")
    files = saved.model_copy(update={"root": str(tmp_path / "files")})
    for data in (saved, files):
        with pytest.raises(DataError, match="cannot be read"):  # not by `datasets` either
            opened(data)
    one = hub_dataset(range(3), kind=(NUMBERS, [0, 0, 0]))
    data = save(tmp_path / "one", train=one, test=one)
    assert "has 1 class; a classifier needs at least two" in refusal(data, label_column="kind")


def test_other_folders_are_refused(tmp_path: Path) -> None:
    data = DataConfig(source="huggingface", root=str(tmp_path))
    assert "holds no Hugging Face data; it must be a folder of" in refusal(data)
    missing = data.model_copy(update={"root": str(tmp_path / "none")})
    assert "is no folder; it must be" in refusal(missing)


@pytest.mark.parametrize("name", ["huggingface, saved", "huggingface, parquet"])
def test_damaged_files_are_one_line(name: str, tmp_path: Path) -> None:
    data = MAKERS[name](tmp_path)
    for path in [*tmp_path.rglob("*.arrow"), *tmp_path.rglob("*.parquet")]:
        path.write_bytes(path.read_bytes()[:100])
    assert f"the Hugging Face data in {tmp_path} cannot be read (" in refusal(data)


def test_new_rows_under_the_same_names_are_seen(tmp_path: Path) -> None:
    data = MAKERS["huggingface, parquet"](tmp_path)
    assert len(opened(data)) == 7
    path = tmp_path / "data" / "train-00001-of-00002.parquet"
    hub_dataset(range(3, 9)).to_parquet(path)
    assert len(opened(data)) == 9
    assert count_images(data, "train", enough=100) == 9
    assert len(opened(data, "val")) == VAL


def test_without_the_extra_its_name_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = MAKERS["huggingface, saved"](tmp_path)
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert refusal(data).endswith("pip install 'deit-sweeps[hf]'")
