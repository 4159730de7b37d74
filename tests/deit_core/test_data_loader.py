"""Batches: the same bits whatever made them, from any step; broken files named, never fatal."""

import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from deit_core.config import parse_run_config
from deit_core.data import loader
from deit_core.data.loader import EvalLoader, train_batches
from deit_core.data.sources import open_source
from deit_core.data.stream import TrainStream
from deit_core.errors import DataError
from deit_core.identity import resolve

CPU = torch.device("cpu")


def make_config(data, workers=None, seed=0, in_chans=3, **sections):
    augment = {"rand_augment_magnitude": 9.0, **sections.pop("augment", {})}
    return resolve(
        parse_run_config(
            {
                "seed": seed,
                "data": {"workers": workers, **data},
                "model": {"img_size": 16, "patch_size": 4, "in_chans": in_chans},
                "augment": augment,
                "train": {"global_batch_size": 8},
                "eval": {"batch_size": 8},
                **sections,
            }
        )
    )


@pytest.fixture(scope="module")
def mixed_folder(tmp_path_factory):
    """Digits as a user might have them: any size, mode and format; train 0 has a truncated file."""
    root = tmp_path_factory.mktemp("images")
    digits = load_digits()
    modes = ("L", "RGB", "RGBA", "P", "LA")
    sizes = ((16, 16), (20, 31), (9, 8))
    for number in range(45):
        split = "train" if number < 30 else "val"
        folder = root / split / str(digits.target[number] % 3)
        folder.mkdir(parents=True, exist_ok=True)
        pixels = Image.fromarray((digits.images[number] * 15).astype(np.uint8))
        mode = modes[number % len(modes)]
        image = pixels.resize(sizes[number % len(sizes)]).convert("RGB").convert(mode)
        image.save(folder / f"{number:02}.{'jpg' if mode in ('L', 'RGB') else 'png'}")
    for split in ("train", "val"):
        broken = min((root / split / "0").glob("*.jpg"))
        broken.write_bytes(broken.read_bytes()[:200])
    return root


def folder_data(root):
    return {"source": "image_folder", "root": str(root)}


def open_train(config):
    return open_source(config.data, in_chans=config.model.in_chans, split="train")


def batches(config, first=0, last=8, num_classes=10):
    return list(
        train_batches(
            open_train(config),
            config,
            num_classes=num_classes,
            first_step=first,
            last_step=last,
            device=CPU,
        )
    )


def assert_equal(one, other):
    assert len(one) == len(other) > 0
    for left, right in zip(one, other, strict=True):
        assert torch.equal(left.images, right.images)
        assert torch.equal(left.targets, right.targets)
        assert torch.equal(left.labels, right.labels)
        assert left.unreadable == right.unreadable


@pytest.mark.parametrize("crop", ["pad", "random_resized"])
def test_batches_have_the_same_bits_for_0_1_and_3_workers_and_from_any_step(mixed_folder, crop):
    def made_by(workers, first=0):
        augment = {"crop": crop}
        return batches(make_config(folder_data(mixed_folder), workers, augment=augment), first)

    here = made_by(0)
    assert_equal(made_by(1), here)
    assert_equal(made_by(3), here)
    assert_equal(made_by(3, first=5), here[5:])
    assert_equal(made_by(0, first=5), here[5:])


def test_embedded_images_have_the_same_bits_for_0_and_2_workers():
    data = {"source": "digits", "train_images": 30}
    here = batches(make_config(data, in_chans=1))
    assert_equal(batches(make_config(data, workers=2, in_chans=1)), here)


def test_embedded_images_that_are_not_kept_have_the_same_bits(monkeypatch):
    config = make_config({"source": "digits", "train_images": 30}, in_chans=1)
    kept = batches(config)
    monkeypatch.setattr("deit_core.data.fetch.CACHE_LIMIT_BYTES", 0)
    assert_equal(batches(config), kept)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_neither_read_nor_move_global_generators(mixed_folder, workers):
    config = make_config(folder_data(mixed_folder), workers)
    first = batches(config)
    random.seed(7)
    np.random.seed(7)
    torch.manual_seed(7)
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    assert_equal(batches(config), first)
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    assert after == states


def test_batches_differ_by_seed_and_step(mixed_folder):
    zero = batches(make_config(folder_data(mixed_folder)))
    one = batches(make_config(folder_data(mixed_folder), seed=1))
    assert not torch.equal(zero[0].images, one[0].images)
    assert not torch.equal(zero[0].images, zero[3].images)


def test_a_batch_is_normalised_pixels_and_soft_targets(mixed_folder):
    config = make_config({"source": "digits", "train_images": 30}, in_chans=1)
    for batch in batches(config):
        assert batch.images.shape == (8, 1, 16, 16)
        assert batch.images.dtype == batch.targets.dtype == torch.float32
        assert batch.labels.dtype == torch.int64
        torch.testing.assert_close(batch.targets.sum(dim=1), torch.ones(8))
        assert batch.unreadable == ()


def test_plain_batches_are_the_sources_pixels_normalised():
    config = make_config(
        {"source": "digits", "train_images": 30, "mean": [0.25], "std": [0.5]},
        in_chans=1,
        augment={"strength": 0.0, "rand_augment_magnitude": 0.0, "crop_padding": 0},
    )
    config = config.model_copy(
        update={"augment": config.augment.model_copy(update={"hflip_probability": 0.0})}
    )
    source = open_train(config)
    stream = TrainStream(len(source), 8, config.seed)
    for step, batch in enumerate(batches(config)):
        for ref, image, label in zip(
            stream.sample_refs(step), batch.images, batch.labels, strict=True
        ):
            resized = source.image(ref.index).resize((16, 16), Image.Resampling.BICUBIC)
            expected = (np.asarray(resized, dtype=np.float32) / 255 - 0.25) / 0.5
            np.testing.assert_allclose(image[0].numpy(), expected, atol=1e-6)
            assert label == source.labels[ref.index]


def test_a_broken_training_file_is_named_and_the_next_one_takes_its_place(mixed_folder):
    config = make_config(
        folder_data(mixed_folder),
        augment={"strength": 0.0, "rand_augment_magnitude": 0.0, "crop_padding": 0},
    )
    source = open_train(config)
    stream = TrainStream(len(source), 8, config.seed)
    broken = next(i for i in range(len(source)) if source.labels[i] == 0 and is_broken(source, i))
    named = []
    for step, batch in enumerate(batches(config, last=9)):
        named += batch.unreadable
        for ref, label in zip(stream.sample_refs(step), batch.labels, strict=True):
            shown = broken + 1 if ref.index == broken else ref.index
            assert label == source.labels[shown]
    seen = sum(ref.index == broken for step in range(9) for ref in stream.sample_refs(step))
    assert named == [source.describe(broken)] * seen
    assert seen >= 2


def is_broken(source, index):
    try:
        source.image(index)
    except DataError:
        return True
    return False


@pytest.mark.parametrize("workers", [0, 2])
def test_broken_val_files_are_left_out_and_named(mixed_folder, workers):
    config = make_config(folder_data(mixed_folder), workers)
    source = open_source(config.data, in_chans=3, split="val")
    evaluation = EvalLoader(source, config, device=CPU)
    for _ in range(2):  # decoded, then kept
        made = list(evaluation)
        assert [len(batch.labels) for batch in made] == [7, 7]
        assert [name for batch in made for name in batch.unreadable] == [source.describe(0)]
        labels = torch.cat([batch.labels for batch in made])
        assert labels.tolist() == source.labels[1:].tolist()
        assert all(batch.images.shape[1:] == (3, 16, 16) for batch in made)
    assert len(evaluation) == 2


@pytest.fixture
def all_broken(tmp_path):
    for split in ("train", "val"):
        for number in range(9):
            path = tmp_path / split / ("a" if number < 8 else "b") / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("broken")
    return tmp_path


@pytest.mark.parametrize("workers", [0, 2])
def test_data_without_one_readable_image_is_refused_in_one_line(all_broken, workers):
    config = make_config(folder_data(all_broken), workers)
    with pytest.raises(DataError, match=r"none of the 9 training images can be read") as error:
        batches(config)
    assert "\n" not in str(error.value)
    val = open_source(config.data, in_chans=3, split="val")
    with pytest.raises(DataError, match=r"none of the 9 val images can be read"):
        list(EvalLoader(val, config, device=CPU))


def test_a_wholly_broken_val_batch_is_empty_but_named(all_broken):
    Image.new("RGB", (8, 8)).save(all_broken / "val" / "a" / "9.png")
    config = make_config(folder_data(all_broken), 0)
    val = open_source(config.data, in_chans=3, split="val")
    made = list(EvalLoader(val, config, device=CPU))
    assert [len(batch.labels) for batch in made] == [0, 1]
    assert [len(batch.unreadable) for batch in made] == [8, 1]


def test_large_val_sets_are_decoded_anew_each_time(mixed_folder, monkeypatch):
    monkeypatch.setattr(loader, "CACHE_LIMIT_BYTES", 0)
    config = make_config(folder_data(mixed_folder), 0)
    source = open_source(config.data, in_chans=3, split="val")
    evaluation = EvalLoader(source, config, device=CPU)
    first, second = list(evaluation), list(evaluation)
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.images, other.images)


def test_an_evaluation_that_is_broken_off_does_not_spoil_the_next(mixed_folder):
    config = make_config(folder_data(mixed_folder), 0)
    source = open_source(config.data, in_chans=3, split="val")
    evaluation = EvalLoader(source, config, device=CPU)
    next(iter(evaluation))
    assert sum(len(batch.labels) for batch in evaluation) == 14


def test_more_classes_than_outputs_are_refused(mixed_folder):
    config = make_config(folder_data(mixed_folder), 0)
    with pytest.raises(DataError, match=r"data has 3 classes, the model 2; set model.num_classes"):
        batches(config, num_classes=2)


def test_a_batch_larger_than_the_data_is_refused():
    config = make_config({"source": "digits", "train_images": 7}, in_chans=1)
    with pytest.raises(DataError, match="batch of 8 cannot be filled from 7"):
        batches(config)


def test_normalisation_needs_a_value_per_channel():
    config = make_config({"source": "digits", "mean": [0.1, 0.2, 0.3]}, in_chans=1)
    with pytest.raises(DataError, match=r"data.mean has 3 values, but images have 1 channel"):
        batches(config)


def test_no_steps_are_no_batches(mixed_folder):
    assert batches(make_config(folder_data(mixed_folder), 2), first=4, last=4) == []


def test_timm_is_not_imported_without_rand_augment():
    code = """
import sys, torch
from deit_core.config import parse_run_config
from deit_core.data.loader import train_batches
from deit_core.data.sources import open_source
from deit_core.identity import resolve
config = resolve(parse_run_config({
    "data": {"source": "digits"},
    "model": {"img_size": 8, "patch_size": 2, "in_chans": 1},
    "augment": {"rand_augment_magnitude": 0.0},
    "train": {"global_batch_size": 8},
}))
source = open_source(config.data, in_chans=1, split="train")
options = dict(num_classes=10, first_step=0, last_step=2, device=torch.device("cpu"))
assert len(list(train_batches(source, config, **options))) == 2
assert "timm" not in sys.modules and "torchvision" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
