"""Mixup and CutMix: the reference's numbers, box geometry, keyed draws."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from deit_core.config import AugmentConfig
from deit_core.data.geometry import Box
from deit_core.data.mixing import UNMIXED, Mix, cutmix, draw_mix, mix_images, mix_targets

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = json.loads((GOLDEN / "mixing.json").read_text())["cases"]
TENSORS = load_file(GOLDEN / "mixing.safetensors")


def golden_mix(case):
    if not case["cutmix"]:
        return Mix(case["lambda"])
    top, bottom, left, right = case["box_top_bottom_left_right"]
    return Mix(case["lambda"], Box(top, left, bottom - top, right - left))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_images_and_targets_equal_the_reference(case):
    given = {name: TENSORS[f"{case['id']}/{name}"] for name in ("x", "labels", "x_out", "targets")}
    mix = golden_mix(case)
    before = given["x"].clone()
    torch.testing.assert_close(mix_images(given["x"], mix), given["x_out"], rtol=0, atol=1e-6)
    targets = mix_targets(
        given["labels"], mix, num_classes=case["num_classes"], smoothing=case["smoothing"]
    )
    torch.testing.assert_close(targets, given["targets"], rtol=0, atol=1e-6)
    assert torch.equal(given["x"], before)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case["cutmix"]], ids=lambda case: case["id"]
)
def test_box_and_corrected_share_equal_the_reference(case):
    numpy_global = np.random.RandomState(case["numpy_seed"])
    numpy_global.rand()
    if case["mixup_alpha"] > 0:
        numpy_global.rand()
    share = numpy_global.beta(case["cutmix_alpha"], case["cutmix_alpha"])
    assert share == case["drawn_lambda"]
    height, width = case["height"], case["width"]
    centre = numpy_global.randint(0, height), numpy_global.randint(0, width)
    mix = cutmix(height, width, share, centre)
    expected = golden_mix(case)
    assert mix.box == expected.box
    assert mix.share == pytest.approx(expected.share, abs=1e-12)


@given(st.integers(1, 64), st.integers(1, 64), st.floats(0, 1), st.data())
def test_a_box_stays_inside_and_its_area_is_the_partners_share(height, width, share, data):
    centre = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    mix = cutmix(height, width, share, centre)
    assert mix.box is not None
    top, left, box_height, box_width = mix.box
    assert 0 <= top <= top + box_height <= height
    assert 0 <= left <= left + box_width <= width
    assert box_height * box_width <= (1 - share) * height * width + 1e-6
    assert mix.share == pytest.approx(1 - box_height * box_width / (height * width))


def draw(step=0, seed=0, **augment):
    values = {"mixup_alpha": 0.8, "cutmix_alpha": 1.0, **augment}
    return draw_mix(AugmentConfig(**values), height=16, width=12, seed=seed, global_step=step)


def test_draws_are_keyed_by_seed_and_step():
    np.random.seed(1)
    first = draw(step=5)
    np.random.seed(2)
    assert draw(step=5) == first
    assert draw(step=6) != first
    assert draw(step=5, seed=1) != first


def test_shares_of_mixed_batches_are_as_configured():
    mixes = [draw(step, mix_probability=0.6, mix_switch_probability=0.25) for step in range(2000)]
    mixed = [mix for mix in mixes if mix != UNMIXED]
    cut = [mix for mix in mixed if mix.box is not None]
    assert len(mixed) / len(mixes) == pytest.approx(0.6, abs=0.04)
    assert len(cut) / len(mixed) == pytest.approx(0.25, abs=0.05)
    assert np.mean([mix.share for mix in mixed if mix.box is None]) == pytest.approx(0.5, abs=0.04)


def test_one_alpha_alone_is_always_used_and_none_mixes_nothing():
    assert all(draw(step, cutmix_alpha=0.0).box is None for step in range(50))
    assert all(draw(step, mixup_alpha=0.0).box is not None for step in range(50))
    assert draw(mixup_alpha=0.0, cutmix_alpha=0.0) == UNMIXED
    images = torch.randn(3, 1, 4, 4)
    assert torch.equal(mix_images(images, UNMIXED), images)


def test_unmixed_targets_are_smoothed_one_hot():
    targets = mix_targets(torch.tensor([2, 0]), UNMIXED, num_classes=4, smoothing=0.1)
    expected = torch.tensor([[0.025, 0.025, 0.925, 0.025], [0.925, 0.025, 0.025, 0.025]])
    torch.testing.assert_close(targets, expected)
    assert targets.dtype == torch.float32
