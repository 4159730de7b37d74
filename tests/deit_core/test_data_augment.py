"""Crop, flip, erasing, the eval transform: geometry, keys, the reference's numbers."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import load_file

from deit_core.config import parse_run_config
from deit_core.data.augment import TrainAugment
from deit_core.data.erasing import erase_batch, erasing_box
from deit_core.data.geometry import eval_pixels, random_box, shorter_side_to, to_image, to_pixels
from deit_core.data.stream import SampleRef
from deit_core.identity import resolve

GOLDEN = Path(__file__).parents[1] / "golden"
EVAL = json.loads((GOLDEN / "eval_transform.json").read_text())


def noise_image(seed, mode, width=8, height=8):
    shape = (height, width) if mode == "L" else (height, width, 3)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return Image.fromarray(pixels)


def config(img_size=8, in_chans=1, seed=0, **augment):
    return resolve(
        parse_run_config(
            {
                "seed": seed,
                "data": {"source": "image_folder", "root": "/data"},
                "model": {"img_size": img_size, "patch_size": 2, "in_chans": in_chans},
                "augment": {"rand_augment_magnitude": 0.0, **augment},
            }
        )
    )


FIRST = SampleRef(0, 0)


def augmented(image, ref=FIRST, **options):
    augment = TrainAugment(config(**options))
    return augment(augment.prepare(image), ref)


# The eval transform


@pytest.mark.parametrize("case", EVAL["cases"], ids=lambda case: case["id"])
def test_eval_sizes_and_offsets_equal_the_reference(case):
    size = case["input_size"]
    for row in case["rows"]:
        image = Image.new("RGB", tuple(row["in_wh"]))
        assert eval_pixels(image, size, case["eval_crop_ratio"]).shape[::-1] == tuple(row["out"])
        if case["resize_shorter_side"] is None:
            continue
        shorter = int(size / case["eval_crop_ratio"])
        assert shorter == case["resize_shorter_side"]
        width, height = shorter_side_to(*row["in_wh"], shorter)
        assert [width, height] == row["resized_wh"]
        assert [round((height - size) / 2), round((width - size) / 2)] == row["crop_top_left"]


@pytest.mark.parametrize("case", EVAL["pixels"], ids=lambda case: case["id"])
def test_eval_pixels_equal_the_reference(case):
    golden = load_file(GOLDEN / "eval_transform.safetensors")
    image = Image.fromarray(golden["image_hwc_uint8"])
    pixels = eval_pixels(image, case["input_size"], case["eval_crop_ratio"])
    normalised = ((pixels / 255 - case["mean"]) / case["std"]).transpose(2, 0, 1)
    np.testing.assert_allclose(normalised, golden["out_chw"], atol=0.02)


def test_small_eval_images_are_shown_whole():
    image = noise_image(0, "L", 20, 10)
    expected = image.resize((32, 32), Image.Resampling.BICUBIC)
    assert np.array_equal(eval_pixels(image, 32, 0.875), to_pixels(expected))
    same = noise_image(0, "RGB", 32, 32)
    assert np.array_equal(eval_pixels(same, 32, 0.5), np.asarray(same))


# Crop and flip


def test_pad_crop_shows_a_window_of_the_black_framed_image():
    image = noise_image(0, "L")
    framed = np.pad(np.asarray(image), 1)
    windows = {framed[y : y + 8, x : x + 8].tobytes() for y in range(3) for x in range(3)}
    seen = {
        augmented(image, SampleRef(index, 0), hflip_probability=0.0).tobytes()
        for index in range(200)
    }
    assert seen == windows


def test_pad_crop_brings_other_sizes_to_the_models_first():
    image = noise_image(0, "RGB", 31, 17)
    pixels = augmented(image, in_chans=3, crop_padding=0, hflip_probability=0.0)
    assert np.array_equal(pixels, to_pixels(image.resize((8, 8), Image.Resampling.BICUBIC)))


def test_flip_is_a_mirror_image_as_often_as_configured():
    image = noise_image(0, "L")
    assert np.array_equal(
        augmented(image, crop_padding=0, hflip_probability=1.0)[:, ::-1, 0], np.asarray(image)
    )
    flipped = [
        not np.array_equal(
            augmented(image, SampleRef(0, epoch), crop_padding=0, hflip_probability=0.25)[..., 0],
            image,
        )
        for epoch in range(1000)
    ]
    assert np.mean(flipped) == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(48, 40), (40, 48), (8, 30)])
def test_simple_random_crop_shows_a_window_of_the_mirrored_image(mode, size):
    image = noise_image(0, mode, *size)
    channels = len(image.getbands())
    options = {"crop": "simple_random", "hflip_probability": 0.0, "in_chans": channels}
    short = min(size)
    resized = image.resize((size[0] * 8 // short, size[1] * 8 // short), Image.Resampling.BICUBIC)
    framed = np.pad(to_pixels(resized), ((4, 4), (4, 4), (0, 0)), mode="reflect")
    rows, columns = framed.shape[0] - 7, framed.shape[1] - 7
    windows = {framed[y : y + 8, x : x + 8].tobytes() for y in range(rows) for x in range(columns)}
    augment = TrainAugment(config(**options))
    prepared = augment.prepare(image)
    seen = {augment(prepared, SampleRef(index, 0)).tobytes() for index in range(1500)}
    assert seen <= windows
    assert len(seen) > 0.95 * len(windows)


def test_random_resized_crop_of_the_whole_square_is_a_resize():
    image = noise_image(0, "RGB", 48, 48)
    options = {"crop": "random_resized", "crop_scale": (1.0, 1.0), "hflip_probability": 0.0}
    expected = to_pixels(image.resize((8, 8), Image.Resampling.BICUBIC))
    seen = [augmented(image, SampleRef(0, epoch), in_chans=3, **options) for epoch in range(30)]
    assert any(np.array_equal(pixels, expected) for pixels in seen)
    assert {pixels.shape for pixels in seen} == {(8, 8, 3)}


@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
    st.integers(),
)
def test_random_boxes_lie_inside_the_image(width, height, one, other, seed):
    scale = (min(one, other), max(one, other))
    box = random_box(width, height, scale, random.Random(seed))
    assert 0 <= box.top <= box.top + box.height <= height
    assert 0 <= box.left <= box.left + box.width <= width
    assert box.height > 0
    assert box.width > 0


def test_random_boxes_keep_area_and_aspect():
    boxes = [random_box(1000, 1000, (0.1, 0.5), random.Random(seed)) for seed in range(500)]
    areas = [box.height * box.width / 1e6 for box in boxes]
    aspects = [box.width / box.height for box in boxes]
    assert 0.1 <= min(areas) < 0.12
    assert 0.48 < max(areas) <= 0.501
    assert 0.74 <= min(aspects) < 0.76
    assert 1.31 < max(aspects) <= 1.34


def test_pixels_and_images_convert_without_loss():
    for mode in ("L", "RGB"):
        image = noise_image(0, mode, 5, 3)
        back = to_image(to_pixels(image))
        assert back.mode == mode
        assert np.array_equal(np.asarray(back), np.asarray(image))


# Erasing


def erased(refs, probability, seed=0):
    images = torch.full((len(refs), 3, 16, 16), 7.0)
    erase_batch(images, refs, seed=seed, probability=probability)
    return images


def test_erasing_fills_one_box_with_noise_on_all_channels():
    images = erased([SampleRef(index, 0) for index in range(300)], 1.0)
    areas = []
    values = []
    for image in images:
        changed = (image != 7.0).all(dim=0)
        assert torch.equal(changed, (image != 7.0).any(dim=0))
        rows, columns = changed.any(dim=1).sum(), changed.any(dim=0).sum()
        assert changed.sum() == rows * columns
        areas.append(float(changed.float().mean()))
        values.append(image[:, changed].flatten())
    noise = torch.cat(values)
    assert 0.0 < min(areas) < 0.05
    assert 0.25 < max(areas) < 0.36
    assert float(noise.mean()) == pytest.approx(0, abs=0.02)
    assert float(noise.std()) == pytest.approx(1, abs=0.02)


def test_erasing_is_keyed_per_sample_and_as_frequent_as_configured():
    refs = [SampleRef(index, 4) for index in range(2000)]
    images = erased(refs, 0.25)
    touched = (images != 7.0).flatten(1).any(dim=1)
    assert float(touched.float().mean()) == pytest.approx(0.25, abs=0.03)
    assert torch.equal(erased(refs[10:20], 0.25), images[10:20])
    assert not torch.equal(erased(refs, 0.25, seed=1), images)
    assert bool((erased(refs, 0.0) == 7.0).all())


@given(st.integers(1, 64), st.integers(1, 64), st.integers())
def test_erasing_boxes_lie_inside_the_image(height, width, seed):
    box = erasing_box(height, width, random.Random(seed))
    if box is not None:
        assert 0 <= box.top <= box.top + box.height <= height
        assert 0 <= box.left <= box.left + box.width <= width


def test_erasing_boxes_have_the_references_aspects():
    """Log-uniform in 0.3 to 3.33, height over width; boxes that do not fit are drawn again."""
    rng = random.Random(0)
    boxes = [box for _ in range(4000) if (box := erasing_box(1000, 1000, rng))]
    logs = np.log([box.height / box.width for box in boxes])
    low, high = np.log(0.3), -np.log(0.3)
    assert low - 0.01 <= logs.min() < low + 0.05
    assert high - 0.05 < logs.max() <= high + 0.01
    assert logs.mean() == pytest.approx(0.0, abs=0.05)
    assert np.mean(np.abs(logs) < high / 2) == pytest.approx(0.5, abs=0.04)
