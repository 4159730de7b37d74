"""Published data sets: where they are looked for, what their labels mean, damage named."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import source_files
from PIL import Image
from source_files import MAKERS, TAXONOMY, VAL, WNIDS, cifar_pixels, val_wnid

from deit_core import data_layout
from deit_core.config import DataConfig
from deit_core.data import download
from deit_core.data.sources import ImageSource, open_source
from deit_core.data_layout import count_classes, count_images
from deit_core.errors import DataError


def opened(data: DataConfig, split: str = "train") -> ImageSource:
    return open_source(data, in_chans=3, split=split)


def refusal(data: DataConfig, split: str = "train") -> str:
    with pytest.raises(DataError) as error:
        opened(data, split)
    assert "\n" not in str(error.value)
    return str(error.value)


PUBLISHED = ("cifar10", "cifar100", "flowers102", "stanford_cars")


@pytest.mark.parametrize("name", PUBLISHED)
def test_downloads_are_found_by_themselves(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(MAKERS[name](tmp_path).root or "")
    (own_folder,) = folder.iterdir()
    monkeypatch.setattr(data_layout, "DOWNLOADS", folder)
    for root in (None, str(folder), str(own_folder)):
        data = DataConfig(source=name, root=root)
        assert len(opened(data)) == 7
        assert count_classes(data) == len(opened(data).class_names)


@pytest.mark.parametrize("name", PUBLISHED)
def test_missing_and_incomplete_sets_say_how_to_get_them(name: str, tmp_path: Path) -> None:
    empty = DataConfig(source=name, root=str(tmp_path / "none"))
    ways = "pytorch/vision issue 7545" if name == "stanford_cars" else f"download {name}`"
    with pytest.raises(DataError, match=f"is not in .*none; .*{ways}.*data.root"):
        count_classes(empty)
    assert "is not in" in refusal(empty)
    data = MAKERS[name](tmp_path / "data")
    (folder,) = Path(data.root or "").iterdir()
    first = data_layout.PUBLISHED[name].files[-1]
    (folder / first).unlink()
    with pytest.raises(DataError, match=f"is incomplete, {first} is missing; .*{ways}"):
        count_classes(data)


# CIFAR


class Python2Pickler(pickle._Pickler):
    """Writes text and bytes as Python 2 did, of which the published files are."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_string(self, value: str | bytes) -> None:
        encoded = value if isinstance(value, bytes) else value.encode()
        self.write(pickle.BINSTRING + struct.pack("<i", len(encoded)) + encoded)

    dispatch[str] = dispatch[bytes] = save_string


def test_the_files_of_python_2_are_read(tmp_path: Path) -> None:
    data = MAKERS["cifar10"](tmp_path)
    path = tmp_path / "cifar-10-batches-py" / "test_batch"
    pixels = np.array([cifar_pixels(1), cifar_pixels(2)])
    with path.open("wb") as file:
        Python2Pickler(file, protocol=2).dump({"data": pixels, "labels": [3, 9]})
    path.write_bytes(path.read_bytes().replace(b"numpy._core", b"numpy.core"))
    source = opened(data, "val")
    assert source.labels.tolist() == [3, 9]
    assert np.array_equal(np.asarray(source.image(1)), planes(pixels[1]))


def planes(pixels: np.ndarray) -> np.ndarray:
    """Rows of red, green and blue values, one after the other, as an image."""
    return np.stack([part.reshape(32, 32) for part in np.split(pixels, 3)], axis=2)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_every_protocol_of_pickle_is_read(tmp_path: Path, protocol: int) -> None:
    data = MAKERS["cifar100"](tmp_path)
    path = tmp_path / "cifar-100-python" / "train"
    batch = {"data": cifar_pixels(5)[None], "fine_labels": [42], "coarse_labels": [7]}
    source_files.write_pickle(path, batch, protocol)
    source = opened(data)
    assert source.labels.tolist() == [42]
    assert source.class_names[42] == "fine 42"
    assert np.array_equal(np.asarray(source.image(0)), planes(cifar_pixels(5)))


class Harmful:
    """A pickle that would make a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return open, (str(self.path), "w")


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_code_in_a_pickle_is_never_run(tmp_path: Path, protocol: int) -> None:
    data = MAKERS["cifar10"](tmp_path)
    path = tmp_path / "cifar-10-batches-py" / "data_batch_2"
    source_files.write_pickle(path, {"data": Harmful(tmp_path / "harm")}, protocol)
    assert "data_batch_2 is no file of CIFAR-10 (" in refusal(data)
    assert "open is not allowed" in refusal(data)
    assert not (tmp_path / "harm").exists()
    pickle.loads(path.read_bytes())["data"].close()  # it would have
    assert (tmp_path / "harm").exists()


GOOD = {"data": np.zeros((2, 3072), dtype=np.uint8), "labels": [1, 2]}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "pickle exhausted"),
        (b"\x80\x04no pickle", "is no file of CIFAR-10"),
        (pickle.dumps(GOOD)[:-900], "but only [0-9]+ remain"),
        (pickle.dumps([1, 2]), "holds no mapping"),
        (pickle.dumps({"data": [1]}), "no images and labels"),
        (pickle.dumps({**GOOD, "labels": [1]}), r"1 labels for data of shape \(2, 3072\)"),
        (pickle.dumps({**GOOD, "labels": ["a", "b"]}), "no images and labels"),
        (pickle.dumps({**GOOD, "labels": [1, 2**70]}), "no images and labels"),
        (pickle.dumps({**GOOD, "data": np.zeros((2, 3072))}), "no images and labels"),
        (pickle.dumps({**GOOD, "data": np.zeros((2, 3072), dtype=np.int8)}), "no images and"),
        (pickle.dumps({**GOOD, "data": np.zeros((2, 3072), dtype=object)}), "no images and"),
        (pickle.dumps({**GOOD, "labels": [1, 10]}), r"label 10, but there are 10 classes, 0 to 9"),
    ],
)
def test_damaged_batches_are_named(tmp_path: Path, content: bytes, reason: str) -> None:
    data = MAKERS["cifar10"](tmp_path)
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(content)
    with pytest.raises(DataError, match=reason) as error:
        opened(data, "val")
    assert "\n" not in str(error.value)


# Flowers and Cars


def test_flowers_train_on_train_and_validation_images(tmp_path: Path) -> None:
    train, val = (opened(MAKERS["flowers102"](tmp_path / s), s) for s in ("train", "val"))
    names = [Path(train.describe(index)).name for index in range(len(train))]
    assert names == [f"image_{number:05d}.jpg" for number in range(VAL + 1, VAL + 8)]
    assert train.labels.tolist() == [number * 7 % 102 for number in range(VAL + 1, VAL + 8)]
    assert Path(val.describe(0)).name == "image_00001.jpg"


def test_cars_are_labelled_from_zero_and_named(tmp_path: Path) -> None:
    data = MAKERS["stanford_cars"](tmp_path)
    train = opened(data)
    assert train.labels[:2].tolist() == [195, 194]
    assert train.class_names[194] == "car 194"
    assert train.describe(1).endswith("cars_train/00002.jpg")
    test = tmp_path / "stanford_cars" / "cars_test_annos_withlabels.mat"
    test.rename(test.parent / "devkit" / test.name)  # where some mirrors put it
    assert len(opened(data, "val")) == VAL
    (test.parent / "devkit" / test.name).unlink()
    with pytest.raises(DataError, match=r"annos_withlabels\.mat is missing"):
        count_classes(data)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("flowers102", "setid.mat"),
        ("flowers102", "imagelabels.mat"),
        ("stanford_cars", "devkit/cars_train_annos.mat"),
        ("stanford_cars", "devkit/cars_meta.mat"),
    ],
)
def test_damaged_label_files_are_named(tmp_path: Path, name: str, file: str) -> None:
    data = MAKERS[name](tmp_path)
    (folder,) = tmp_path.iterdir()
    content = (folder / file).read_bytes()
    for damaged in (b"", b"no MATLAB file" * 40, content[:150], content[: len(content) // 2]):
        (folder / file).write_bytes(damaged)
        assert file.rpartition("/")[2] in refusal(data)
    source_files.savemat(folder / file, {"other": 1})
    assert "as published" in refusal(data)


@pytest.mark.parametrize("name", ["flowers102", "stanford_cars", "inaturalist_2018"])
def test_images_that_are_not_unpacked_are_named(tmp_path: Path, name: str) -> None:
    data = MAKERS[name](tmp_path)
    for path in tmp_path.rglob("*.jpg"):
        path.unlink()
    assert ".jpg is missing; " in refusal(data)


# ImageNet

FLAT = ("imagenet, devkit folder", "imagenet, devkit archive", "imagenet, meta.bin")


@pytest.mark.parametrize("name", FLAT)
def test_a_flat_val_has_the_labels_of_class_folders(tmp_path: Path, name: str) -> None:
    source = opened(MAKERS[name](tmp_path / "data"), "val")
    assert source.class_names == WNIDS
    expected = [WNIDS.index(val_wnid(number)) for number in range(1, VAL + 1)]
    assert source.labels.tolist() == expected


def test_a_part_of_val_keeps_its_labels(tmp_path: Path) -> None:
    data = MAKERS["imagenet, devkit folder"](tmp_path)
    (tmp_path / "val" / "ILSVRC2012_val_00000002.JPEG").unlink()
    source = opened(data, "val")
    expected = [WNIDS.index(val_wnid(number)) for number in (1, 3, 4)]
    assert source.labels.tolist() == expected


def test_reading_imagenet_writes_nothing(tmp_path: Path) -> None:
    data = MAKERS["imagenet, devkit archive"](tmp_path / "data")
    before = sorted(path.name for path in (tmp_path / "data").iterdir())
    opened(data, "val")
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == before


def _remove(*names: str) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        for name in names:
            shutil.rmtree(root / name)

    return spoil


TRUTH = "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_remove("train"), r"has no train/; get ILSVRC2012_img_train.tar"),
        (_remove("ILSVRC2012_devkit_t12"), "put the development kit there"),
        (_remove("train/n01443537"), r"images of n01443537, for which .*no class folder"),
        (lambda root: (root / TRUTH).write_text("1\n2\n"), "classes of 2 val images, but .*0004"),
        (lambda root: (root / TRUTH).write_text("1\nx\n"), "no development kit of ImageNet 2012"),
        (lambda root: (root / TRUTH).unlink(), "no development kit of ImageNet 2012"),
        (
            lambda root: (root / TRUTH).with_name("meta.mat").write_bytes(b"no"),
            "no development kit of ImageNet 2012",
        ),
    ],
)
def test_incomplete_imagenet_is_one_line(
    tmp_path: Path, spoil: Callable[[Path], Any], message: str
) -> None:
    data = MAKERS["imagenet, devkit folder"](tmp_path)
    spoil(tmp_path)
    with pytest.raises(DataError, match=message) as error:
        opened(data, "val")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["meta.bin", "ILSVRC2012_devkit_t12.tar.gz"])
def test_damaged_kits_are_named_and_their_code_is_not_run(tmp_path: Path, name: str) -> None:
    root = tmp_path / "data"
    data = MAKERS["imagenet, meta.bin"](root)
    (root / "meta.bin").unlink()
    for content in (b"", b"no kit", pickle.dumps(Harmful(tmp_path / "harm"), protocol=2)):
        (root / name).write_bytes(content)
        message = refusal(data, "val")
        assert f"{name} is no development kit" in message
        assert "weights_only" not in message
    assert not (tmp_path / "harm").exists()


# iNaturalist


def test_classes_are_numbered_by_their_first_train_annotation(tmp_path: Path) -> None:
    data = MAKERS["inaturalist_2018"](tmp_path)
    source = opened(data)
    assert source.class_names == ("Turdus merula", "Pica pica", "Rosa canina")
    assert source.describe(0) == str(tmp_path / "train_val2018/Aves/2/0.jpg")
    kingdoms = data.model_copy(update={"category": "kingdom"})
    assert opened(kingdoms).class_names == ("Animalia", "Plantae")
    assert opened(kingdoms).labels.tolist() == [0, 0, 1, 0, 0, 1, 0]
    assert count_classes(kingdoms) == 2
    assert count_classes(data) == 3
    assert count_images(data, "val", enough=1000) == VAL


def test_one_class_is_refused_here_and_by_the_launcher(tmp_path: Path) -> None:
    data = MAKERS["inaturalist_2019"](tmp_path).model_copy(update={"category": "kingdom"})
    animals = [{**item, "kingdom": "Animalia"} for item in TAXONOMY]
    (tmp_path / "categories.json").write_text(json.dumps(animals))
    assert "has 1 class; a classifier needs at least two" in refusal(data)
    with pytest.raises(DataError, match="a classifier needs at least two"):
        count_classes(data)


@pytest.mark.parametrize("file", ["train2018.json", "val2018.json", "categories.json"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is missing; get the images"),
        ("{", "is no JSON"),
        ("[1]", "is not laid out as the competition published it"),
        ('{"images": [{"file_name": "a.jpg"}], "annotations": [{}]}', "is not laid out as"),
    ],
)
def test_malformed_annotations_are_named(
    tmp_path: Path, file: str, content: str | None, message: str
) -> None:
    data = MAKERS["inaturalist_2018"](tmp_path)
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_text(content)
    assert f"{tmp_path / file} {message}" in refusal(data, "val")


def test_a_val_class_without_train_images_is_refused(tmp_path: Path) -> None:
    data = MAKERS["inaturalist_2018"](tmp_path, train=2)
    assert "images of 'Rosa canina', a name without train annotations" in refusal(data, "val")


# Downloads


@pytest.mark.parametrize("name", download.TORCHVISION)
def test_downloads_go_through_torchvision(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import deit_core.models.timm_import  # noqa: F401, I001 - before torchvision
    from torchvision import datasets

    asked = []
    class_name, folder = download.TORCHVISION[name]

    def fake(root: str, download: bool) -> None:
        asked.append((root, download))

    assert hasattr(datasets, class_name)
    monkeypatch.setattr(datasets, class_name, fake)
    monkeypatch.setattr(sys, "argv", ["download", name, "--root", str(tmp_path)])
    assert download.main() == 0
    assert asked == [(str(tmp_path), True)]
    told = f"{name} is in {tmp_path / folder}; set data.root: {tmp_path}\n"
    assert capsys.readouterr().out == told


def test_torchvision_uses_the_folders_that_are_looked_in() -> None:
    import deit_core.models.timm_import  # noqa: F401, I001 - before torchvision
    from torchvision.datasets import CIFAR10, CIFAR100

    for name, dataset in (("cifar10", CIFAR10), ("cifar100", CIFAR100)):
        facts = data_layout.PUBLISHED[name]
        names = [file for file, _ in dataset.train_list + dataset.test_list]
        assert dataset.base_folder == facts.folder
        assert {*names, dataset.meta["filename"]} == set(facts.files)


@pytest.mark.parametrize("name", download.BY_HAND)
def test_what_cannot_be_downloaded_is_explained(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["download", name])
    assert download.main() == 2
    message = capsys.readouterr().err
    assert message.startswith(f"error: {name} cannot be downloaded by a program: ")
    assert message.count("\n") == 1
    assert "get" in message


def test_grey_models_see_grey_cifar_images(tmp_path: Path) -> None:
    data = MAKERS["cifar10"](tmp_path)
    grey = open_source(data, in_chans=1, split="train").image(3)
    assert grey.tobytes() == Image.fromarray(planes(cifar_pixels(3))).convert("L").tobytes()
