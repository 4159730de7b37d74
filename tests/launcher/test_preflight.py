"""Bad input is refused before anything starts, in one line that says what to set."""

import re

import pytest
from sweeps_for_tests import TEACHER, write_sweep

from deit_core.config import DataConfig
from deit_core.data.sources import open_source
from deit_core.data_layout import KNOWN_SIZES, count_images
from deit_core.errors import UserError
from launcher.expand import expand
from launcher.preflight import check_inputs
from launcher.sweep import load_config_as_sweep, load_sweep


def make_folder(root, *, train=(3, 4), val=(1, 1)):
    for split, sizes in (("train", train), ("val", val)):
        for number, size in enumerate(sizes):
            folder = root / split / f"class{number}"
            folder.mkdir(parents=True)
            (folder / "notes.txt").touch()
            for image in range(size):
                (folder / f"{image}.JPG").touch()
    return root


def error_of(tmp_path, *overrides, text="data: {source: image_folder, root: images}\n"):
    config = tmp_path / "mine.yaml"
    config.write_text(text)
    with pytest.raises(UserError) as caught:
        check_inputs(expand(load_config_as_sweep(config, overrides=overrides)).trials)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return make_folder(tmp_path / "images")


def test_three_lines_on_a_small_folder_say_what_to_set(images, tmp_path):
    assert error_of(tmp_path) == (
        "train.global_batch_size: 1024 is more than the 7 training images; set it to 6 or less"
    )


def test_one_class_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_folder(tmp_path / "images", train=(9,), val=(3,))
    error = error_of(tmp_path, "train.global_batch_size=2")
    assert error.endswith("images has 1 class; a classifier needs at least two")


def test_part_of_a_known_set_needs_its_number_of_classes(images, tmp_path):
    text = "data: {source: imagenet, root: images}\ntrain: {global_batch_size: 4}\n"
    assert error_of(tmp_path, text=text).startswith("data.source imagenet has 1,000 classes, but ")
    assert "set model.num_classes: 2 to train on this part" in error_of(tmp_path, text=text)
    config = tmp_path / "mine.yaml"
    part = load_config_as_sweep(config, overrides=["model.num_classes=2"])
    check_inputs(expand(part).trials)
    wrong = error_of(tmp_path, "model.num_classes=3", text=text)
    assert wrong.startswith("model.num_classes: 3 is given for ")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("cifar10", "CIFAR-10 is not in .*none; run `python -m deit_core.data.download cifar10`"),
        ("stanford_cars", "Stanford Cars is not in .*none; its authors' page is gone: get "),
        ("imagenet", "data.root .*none does not exist; get ILSVRC2012_img_train.tar"),
        ("inaturalist_2018", "none/categories.json is missing; get the images"),
        ("huggingface", "data.root .*none is no folder; it must be a folder of DatasetDict"),
    ],
)
def test_missing_data_is_found_before_anything_starts(tmp_path, monkeypatch, source, message):
    monkeypatch.chdir(tmp_path)
    error = error_of(tmp_path, text=f"data: {{source: {source}, root: none}}\n")
    assert re.search(message, error)


def test_missing_files_beside_the_data(images, tmp_path):
    batch = "train.global_batch_size=2"
    error = error_of(tmp_path, batch, "eval.real_labels=real.json")
    assert error.startswith("eval.real_labels: there is no file ")
    error = error_of(tmp_path, batch, "eval.imagenet_v2=images/train")
    assert "train has the folder class0; valid: 0 to 999" in error
    (tmp_path / "real.json").write_text("[[0], [1]]")
    error = error_of(tmp_path, batch, "eval.real_labels=real.json")
    assert error.startswith(
        "eval.real_labels: the data has 2 classes, but ReaL's labels are numbers of ImageNet's"
    )


@pytest.mark.parametrize(
    ("field", "others"),
    [
        ("finetune.checkpoint", ()),
        ("teacher.checkpoint", ("teacher.name=resnet10t", "distill.kind=soft")),
    ],
)
def test_weights_that_are_no_file(images, tmp_path, field, others):
    def error(path):
        return error_of(tmp_path, "train.global_batch_size=2", *others, f"{field}={path}")

    (tmp_path / "empty.pth").touch()
    assert error("none.pth").startswith(f"{field}: there is no file {tmp_path}/none.pth; give a .")
    assert error("images").startswith(f"{field}: {tmp_path}/images is a folder; give a .")
    assert error("empty.pth").startswith(f"{field}: {tmp_path}/empty.pth is empty; give a .")


def test_a_subset_larger_than_the_data(images, tmp_path):
    batch = "train.global_batch_size=2"
    assert error_of(tmp_path, batch, "data.train_images=8").startswith(
        "data.train_images: 8 is more than the 7 images of train; set it to 7 or less"
    )
    assert error_of(tmp_path, batch, "data.val_images=3").startswith(
        "data.val_images: 3 is more than the 2 images of val"
    )


def test_a_batch_larger_than_the_subset(images, tmp_path):
    error = error_of(tmp_path, "train.global_batch_size=6", "data.train_images=4")
    assert error.startswith("train.global_batch_size: 6 is more than the 4 training images of data")


@pytest.mark.parametrize("split", ["train", "val"])
def test_an_empty_class(tmp_path, monkeypatch, split):
    monkeypatch.chdir(tmp_path)
    root = make_folder(tmp_path / "images", **{split: (5, 0)})
    error = error_of(tmp_path, "train.global_batch_size=2")
    assert error.startswith(f"the class folder {root / split / 'class1'} holds no image (.jpg")


def test_digits_alone(tmp_path):
    error = error_of(tmp_path, text="data: {source: digits}\nmodel: {img_size: 8, patch_size: 2}\n")
    assert "1024 is more than the 1,000 training images; set it to 1000 or less" in error


def test_the_teacher_is_checked_too(tmp_path):
    (tmp_path / "teacher.yaml").write_text(TEACHER.replace("16", "4000"))
    file = write_sweep(tmp_path, axes="distill.kind: [soft]")
    file.write_text(file.read_text() + "teacher: {base: teacher.yaml}\n")
    with pytest.raises(UserError, match=r"in the teacher's config, train\.global_batch_size: 4000"):
        check_inputs(expand(load_sweep(file)).trials)


def test_sizes_of_digits_are_what_the_source_has():
    data = DataConfig(source="digits")
    for split in ("train", "val"):
        assert len(open_source(data, in_chans=1, split=split)) == KNOWN_SIZES["digits"][split]


def test_counting_stops_when_enough_are_found(images):
    data = DataConfig(source="image_folder", root=str(images))
    assert [count_images(data, "train", enough=n) for n in (1, 5, 7, 100)] == [1, 5, 7, 7]


def test_a_valid_config_passes(images, tmp_path):
    config = tmp_path / "mine.yaml"
    config.write_text("data: {source: image_folder, root: images}\n")
    overrides = ["train.global_batch_size=6", "data.train_images=6", "data.val_images=2"]
    check_inputs(expand(load_config_as_sweep(config, overrides=overrides)).trials)
