"""Policies by name: timm's operators and tables, our draws, keys that repeat them."""

import random
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from deit_core.config import parse_run_config
from deit_core.data.augment import TrainAugment, fill
from deit_core.data.auto_augment import AutoAugment, imagenet_policy
from deit_core.data.geometry import to_image, to_pixels
from deit_core.data.operators import Operators, operator_arguments
from deit_core.data.rand_augment import OPERATORS, RandAugment
from deit_core.data.stream import SampleRef
from deit_core.data.three_augment import ColorJitter, ThreeAugment
from deit_core.identity import resolve

POLICIES = ["rand_augment", "auto_augment", "three_augment", "none"]


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
                "augment": augment,
            }
        )
    )


FIRST = SampleRef(0, 0)


def augmented(image, ref=FIRST, **options):
    augment = TrainAugment(config(**options))
    return augment(augment.prepare(image), ref)


def colour(mode):
    return fill((0.3,)) if mode == "L" else fill((0.485, 0.456, 0.406))


@pytest.fixture(scope="module")
def timm_augment():
    from deit_core.models.timm_import import timm

    return timm.data.auto_augment


# Keys


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("crop", ["pad", "random_resized", "simple_random"])
def test_augmentation_is_keyed_by_every_counter(policy, crop):
    """The view too, so the looks of repeated augmentation differ."""
    image = noise_image(0, "RGB", 40, 40)
    options = {"policy": policy, "crop": crop, "img_size": 32, "in_chans": 3, "color_jitter": 0.3}
    refs = [SampleRef(0, 0), SampleRef(1, 0), SampleRef(0, 1), SampleRef(0, 0, view=1)]
    seen = {augmented(image, ref, **options).tobytes() for ref in refs}
    seen.add(augmented(image, seed=1, **options).tobytes())
    assert len(seen) == 5


@pytest.mark.parametrize("policy", POLICIES)
def test_augmentation_neither_reads_nor_moves_global_generators(policy):
    image = noise_image(0, "RGB", 40, 40)
    options = {"policy": policy, "img_size": 32, "in_chans": 3, "color_jitter": 0.3}

    def many():
        return [augmented(image, SampleRef(i, 0), **options).tobytes() for i in range(30)]

    random.seed(1)
    np.random.seed(1)
    first = many()
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    assert many() == first
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    assert torch.get_rng_state().tolist() == states[2]
    random.seed(2)
    assert many() == first


# All policies


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize(
    "policy",
    [
        lambda colour: RandAugment(9.0, 2, colour),
        lambda colour: RandAugment(10.0, 2, colour),
        AutoAugment,
        lambda _: ThreeAugment(),
        lambda _: ColorJitter(1.5),
    ],
    ids=["rand_augment_9", "rand_augment_10", "auto_augment", "three_augment", "color_jitter"],
)
def test_policies_never_raise_and_keep_size_and_mode(mode, policy):
    change = policy(colour(mode))
    for seed in range(1000):
        image = noise_image(seed, mode, 5 + seed % 7, 4 + seed % 5)
        result = change(image, random.Random(seed))
        assert (result.size, result.mode) == (image.size, mode)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_trains_on_grey_and_colour(policy, mode):
    image = noise_image(0, mode, 9, 8)
    channels = len(image.getbands())
    pixels = augmented(image, policy=policy, in_chans=channels)
    assert (pixels.shape, pixels.dtype) == ((8, 8, channels), np.uint8)


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_is_off_at_strength_zero(policy):
    image = noise_image(0, "L")
    options = {"policy": policy, "strength": 0.0, "crop_padding": 0, "hflip_probability": 0.0}
    pixels = [augmented(image, SampleRef(index, 0), **options)[..., 0] for index in range(20)]
    assert all(np.array_equal(one, np.asarray(image)) for one in pixels)


def test_every_policy_but_none_changes_images():
    image = noise_image(0, "L")
    options = {"crop_padding": 0, "hflip_probability": 0.0}

    def changes(policy):
        looks = [augmented(image, SampleRef(i, 0), policy=policy, **options) for i in range(60)]
        return sum(not np.array_equal(one[..., 0], np.asarray(image)) for one in looks)

    assert {policy: changes(policy) > 0 for policy in POLICIES} == {
        "rand_augment": True,
        "auto_augment": True,
        "three_augment": True,
        "none": False,
    }


# Operators


NAMES = [*OPERATORS, "PosterizeOriginal", "Solarize", "Color", "Contrast", "Sharpness"]


def test_the_tested_operators_are_all_that_policies_use():
    assert {step.name for steps in imagenet_policy() for step in steps} < set(NAMES)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("name", NAMES)
def test_every_operator_takes_grey_and_colour_at_any_strength(name, mode):
    operators = Operators(colour(mode))
    image = noise_image(3, mode, 12, 12)
    for strength in (0.0, 0.5, 1.0):
        for sign in (-1, 1):
            result = operators(image, name, *operator_arguments(name, strength, sign))
            assert (result.size, result.mode) == (image.size, mode)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("magnitude", [0.0, 3.3, 7.4, 9.0])
def test_operator_arguments_equal_timms(name, magnitude, timm_augment, monkeypatch):
    level_to_arguments = timm_augment.LEVEL_TO_ARG[name]
    for sign, drawn in ((-1, 1.0), (1, 0.0)):
        monkeypatch.setattr(timm_augment.random, "random", lambda value=drawn: value)
        expected = level_to_arguments(magnitude, {}) if level_to_arguments else ()
        assert tuple(operator_arguments(name, magnitude / 10, sign)) == pytest.approx(expected)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("magnitude", [2.0, 6.0, 9.0])
def test_operations_on_an_image_equal_timms(name, magnitude, timm_augment, monkeypatch):
    image = noise_image(5, "RGB", 20, 16)
    hparams = {"img_mean": colour("RGB"), "interpolation": Image.Resampling.BICUBIC}
    for sign, drawn in ((-1, 1.0), (1, 0.0)):
        monkeypatch.setattr(timm_augment.random, "random", lambda value=drawn: value)
        step = timm_augment.AugmentOp(name, prob=1.0, magnitude=magnitude, hparams=hparams)
        arguments = operator_arguments(name, magnitude / 10, sign)
        ours = Operators(colour("RGB"))(image, name, *arguments)
        assert np.array_equal(np.asarray(ours), np.asarray(step(image)))


# RandAugment


def test_operators_are_timms_increasing_set(timm_augment):
    assert list(OPERATORS) == timm_augment.rand_augment_choices("", increasing=True)


def test_full_strength_posterizing_keeps_a_bit():
    assert operator_arguments("PosterizeIncreasing", 1.0, 1) == (1,)


def test_rand_augment_is_off_at_magnitude_zero():
    image = noise_image(0, "L")
    options = {"crop_padding": 0, "hflip_probability": 0.0, "rand_augment_magnitude": 0.0}
    assert np.array_equal(augmented(image, **options)[..., 0], np.asarray(image))


# AutoAugment


def test_the_table_is_timms_original_policy(timm_augment):
    table = timm_augment.auto_augment_policy("original")
    assert [[tuple(step) for step in steps] for steps in imagenet_policy()] == [
        [(step.name, step.prob, step.magnitude) for step in steps] for steps in table
    ]
    assert len(imagenet_policy()) == 25


def test_auto_augment_applies_operations_as_often_as_the_table_says(monkeypatch):
    applied = Counter()
    monkeypatch.setattr(
        Operators, "__call__", lambda _, image, name, *__: applied.update([name]) or image
    )
    change, image = AutoAugment(0), noise_image(0, "L")
    draws = 20000
    for seed in range(draws):
        change(image, random.Random(seed))
    expected = Counter()
    for steps in imagenet_policy():
        for step in steps:
            expected[step.name] += step.probability / 25
    assert set(applied) == {name for name, rate in expected.items() if rate}
    for name, count in applied.items():
        assert count / draws == pytest.approx(expected[name], abs=0.015)


# 3-Augment and colour jitter


def test_three_augment_is_grey_solarised_or_blurred_each_a_third():
    image = noise_image(0, "RGB", 16, 16)
    grey, solarised = image.convert("L").convert("RGB"), ImageOps.solarize(image)
    kinds = Counter()
    for seed in range(3000):
        result = ThreeAugment()(image, random.Random(seed))
        kinds[{grey.tobytes(): "grey", solarised.tobytes(): "solarised"}.get(result.tobytes())] += 1
    assert [kinds[kind] / 3000 for kind in ("grey", "solarised", None)] == pytest.approx(
        [1 / 3] * 3, abs=0.04
    )


def test_blur_is_gaussian_of_a_radius_between_its_limits():
    # A single white pixel keeps most of itself at 0.1 pixels, and little at 2.
    image = Image.fromarray(np.pad(np.full((1, 1), 255, dtype=np.uint8), 8))
    blurred = [ThreeAugment()(image, random.Random(seed)) for seed in range(600)]
    peaks = [np.asarray(one).max() for one in blurred]
    # solarised it is black, in grey it stays as it is
    blurs = [peak for peak, one in zip(peaks, blurred, strict=True) if peak and one != image]
    assert 8 < min(blurs) < 12
    assert max(blurs) > 240


def test_jitter_equals_torchvisions_for_the_same_draws(timm_augment, monkeypatch):
    from torchvision.transforms import ColorJitter as Torchvisions

    image = noise_image(2, "RGB", 12, 10)
    names = ("Brightness", "Contrast", "Color")
    for seed in range(40):
        rng = random.Random(seed)
        order = rng.sample(names, k=3)
        factors = {name: rng.uniform(0.7, 1.3) for name in order}
        drawn = (
            torch.tensor([names.index(name) for name in order]),
            *(factors[name] for name in names),
            None,
        )
        monkeypatch.setattr(Torchvisions, "get_params", staticmethod(lambda *_, d=drawn: d))
        expected = Torchvisions(0.3, 0.3, 0.3)(image)
        assert ColorJitter(0.3)(image, random.Random(seed)) == expected


def test_jitter_of_more_than_one_keeps_factors_above_zero(monkeypatch):
    factors = []
    monkeypatch.setattr(
        Operators, "__call__", lambda _, image, __, factor: factors.append(factor) or image
    )
    for seed in range(500):
        ColorJitter(1.5)(noise_image(0, "L"), random.Random(seed))
    assert 0.0 <= min(factors) < 0.05
    assert 2.45 < max(factors) <= 2.5


def test_jitter_follows_any_policy_and_is_on_by_itself_under_three_augment_alone():
    assert config(policy="three_augment").augment.color_jitter == 0.3
    image = noise_image(0, "L")
    options = {"policy": "none", "crop_padding": 0, "hflip_probability": 0.0}
    pixels = augmented(image, color_jitter=0.4, **options)
    assert not np.array_equal(pixels[..., 0], np.asarray(image))
    assert np.array_equal(augmented(image, **options)[..., 0], np.asarray(image))


def test_policies_see_the_flipped_crop():
    """Crop, flip, policy, jitter: the order of the reference."""
    image = noise_image(0, "RGB", 8, 8)
    options = {"crop_padding": 0, "hflip_probability": 1.0, "in_chans": 3, "color_jitter": 0.0}
    flipped = to_image(to_pixels(image)[:, ::-1])
    looks = [
        augmented(image, SampleRef(index, 0), policy="three_augment", **options)
        for index in range(30)
    ]
    assert any(np.array_equal(look, to_pixels(ImageOps.solarize(flipped))) for look in looks)
