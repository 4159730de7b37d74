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
from deit_core.data.mixing import (
    UNMIXED,
    Mix,
    cutmix,
    draw_mix,
    mix_images,
    mix_targets,
    pasted,
    rows_of,
)
from deit_core.data.shard import Shard
from deit_core.errors import DataError

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = json.loads((GOLDEN / "mixing.json").read_text())["cases"]
TENSORS = load_file(GOLDEN / "mixing.safetensors")


def golden_mix(case):
    """The Mix of a case, or one for each image, from what the reference drew."""
    mode, shares, cuts = case["mode"], case["drawn_lambda"], case["use_cutmix"]
    if mode == "batch":
        shares, cuts = [shares], [cuts]
    boxes = iter(case["boxes_top_bottom_left_right_lambda"])
    drawn = []
    for share, cut in zip(shares, cuts, strict=True):
        if cut and share != 1.0:
            top, bottom, left, right, corrected = next(boxes)
            drawn.append(Mix(corrected, Box(top, left, bottom - top, right - left)))
        else:
            drawn.append(Mix(share))
    assert next(boxes, None) is None
    if mode == "batch":
        return drawn[0]
    return tuple(drawn + drawn[::-1]) if mode == "pair" else tuple(drawn)


def given_of(case):
    return {name: TENSORS[f"{case['id']}/{name}"] for name in ("x", "labels", "x_out", "targets")}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_images_and_targets_equal_the_reference(case):
    given = given_of(case)
    mix = golden_mix(case)
    before = given["x"].clone()
    torch.testing.assert_close(mix_images(given["x"], mix), given["x_out"], rtol=0, atol=1e-6)
    targets = mix_targets(
        given["labels"], mix, num_classes=case["num_classes"], smoothing=case["smoothing"]
    )
    torch.testing.assert_close(targets, given["targets"], rtol=0, atol=1e-6)
    assert torch.equal(given["x"], before)


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if len(TENSORS[f"{case['id']}/x"]) % 4 == 0],
    ids=lambda case: case["id"],
)
def test_two_processes_make_their_rows_of_the_reference(case):
    given = given_of(case)
    mix = golden_mix(case)
    for rank in range(2):
        rows = Shard(rank, 2).rows(len(given["x"]), paired=True)
        own = rows_of(mix, rows)
        images = mix_images(given["x"][rows], own)
        torch.testing.assert_close(images, given["x_out"][rows], rtol=0, atol=1e-6)
        classes = {"num_classes": case["num_classes"], "smoothing": case["smoothing"]}
        targets = mix_targets(given["labels"][rows], own, **classes)
        torch.testing.assert_close(targets, given["targets"][rows], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "case",
    [
        case
        for case in CASES
        if case["mode"] == "batch" and case["use_cutmix"] and case["cutmix_minmax"] is None
    ],
    ids=lambda case: case["id"],
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


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case["boxes_top_bottom_left_right_lambda"]],
    ids=lambda case: case["id"],
)
def test_share_is_what_the_references_boxes_leave(case):
    mix = golden_mix(case)
    for one in (mix,) if isinstance(mix, Mix) else mix:
        if one.box is not None:
            expected = pasted(case["height"], case["width"], one.box).share
            assert one.share == pytest.approx(expected, abs=1e-7)


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


def draw(step=0, seed=0, shape=(8, 16, 12), **augment):
    values = {"mixup_alpha": 0.8, "cutmix_alpha": 1.0, **augment}
    return draw_mix(AugmentConfig(**values), shape, seed=seed, global_step=step)


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
def test_draws_are_keyed_by_seed_and_step(mode):
    np.random.seed(1)
    first = draw(step=5, mix_mode=mode)
    np.random.seed(2)
    assert draw(step=5, mix_mode=mode) == first
    assert draw(step=6, mix_mode=mode) != first
    assert draw(step=5, seed=1, mix_mode=mode) != first


def all_draws(mode, **augment):
    """Single draws of many steps."""
    for step in range(2000 if mode == "batch" else 300):
        mix = draw(step, mix_mode=mode, **augment)
        yield from [mix] if isinstance(mix, Mix) else mix


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
def test_shares_of_mixed_images_are_as_configured(mode):
    mixes = list(all_draws(mode, mix_probability=0.6, mix_switch_probability=0.25))
    mixed = [mix for mix in mixes if mix != UNMIXED]
    cut = [mix for mix in mixed if mix.box is not None]
    assert len(mixed) / len(mixes) == pytest.approx(0.6, abs=0.05)
    assert len(cut) / len(mixed) == pytest.approx(0.25, abs=0.05)
    assert np.mean([mix.share for mix in mixed if mix.box is None]) == pytest.approx(0.5, abs=0.04)


def test_pairs_are_mixed_alike_and_elements_each_by_its_own_draw():
    pairs, elements = draw(mix_mode="pair"), draw(mix_mode="elem")
    assert pairs == pairs[::-1]
    assert (len(pairs), len(set(pairs)), len(elements), len(set(elements))) == (8, 4, 8, 8)


def test_an_element_is_mixed_with_its_partner_as_it_was():
    images = torch.arange(4.0)[:, None, None, None].expand(4, 1, 2, 2)
    mixes = (Mix(0.5), Mix(0.5, Box(0, 0, 1, 2)), UNMIXED, Mix(0.25))
    mixed = mix_images(images, mixes)
    expected = torch.tensor([[1.5] * 4, [2.0, 2.0, 1.0, 1.0], [2.0] * 4, [0.75] * 4])
    torch.testing.assert_close(mixed.flatten(1), expected)
    targets = mix_targets(torch.arange(4), mixes, num_classes=4, smoothing=0.0)
    rows = [[0.5, 0, 0, 0.5], [0, 0.5, 0.5, 0], [0, 0, 1, 0], [0.75, 0, 0, 0.25]]
    torch.testing.assert_close(targets, torch.tensor(rows))


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
def test_boxes_of_a_range_have_such_sides_anywhere_in_the_image(mode):
    options = {"cutmix_minmax": (0.25, 0.75), "mixup_alpha": 0.0, "cutmix_alpha": 0.0}
    mixes = list(all_draws(mode, shape=(8, 20, 12), **options))
    assert {mix.box.height for mix in mixes} == set(range(5, 15))
    assert {mix.box.width for mix in mixes} == set(range(3, 9))
    assert {mix.box.top + mix.box.height for mix in mixes} == set(range(5, 21))
    assert {mix.box.left for mix in mixes} == set(range(10))
    for mix in mixes:
        assert mix == pasted(20, 12, mix.box)


def test_a_range_narrower_than_a_pixel_is_one_size():
    mix = draw(cutmix_minmax=(0.5, 0.5), mixup_alpha=0.0)
    assert (mix.box.height, mix.box.width) == (8, 6)


def test_a_range_turns_cutmix_on_beside_mixup():
    options = {"cutmix_minmax": (0.2, 0.8), "cutmix_alpha": 0.0}
    mixes = list(all_draws("batch", **options))
    cut = [mix for mix in mixes if mix.box is not None]
    assert len(cut) / len(mixes) == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
def test_an_odd_batch_is_refused_in_one_line(mode):
    with pytest.raises(DataError, match=r"a batch of 7 .*even train.global_batch_size"):
        draw(shape=(7, 8, 8), mix_mode=mode)
    assert draw(shape=(7, 8, 8), mix_mode=mode, mix_probability=0.0) == UNMIXED


def test_one_alpha_alone_is_always_used_and_none_mixes_nothing():
    assert all(draw(step, cutmix_alpha=0.0).box is None for step in range(50))
    assert all(draw(step, mixup_alpha=0.0).box is not None for step in range(50))
    assert draw(mixup_alpha=0.0, cutmix_alpha=0.0) == UNMIXED
    images = torch.randn(3, 1, 4, 4)
    assert torch.equal(mix_images(images, UNMIXED), images)


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
def test_a_switch_that_never_or_always_cuts_is_one_kind_of_mixing(mode):
    """Equal draws: so the trial id takes them for one trial."""
    both = {"mixup_alpha": 0.8, "cutmix_alpha": 1.0}
    for switch, alphas in ((0.0, (0.8, 0.0)), (1.0, (0.0, 1.0))):
        one = list(all_draws(mode, **both, mix_switch_probability=switch))
        assert one == list(all_draws(mode, mixup_alpha=alphas[0], cutmix_alpha=alphas[1]))
        assert len(one) >= 300


def test_unmixed_targets_are_smoothed_one_hot():
    targets = mix_targets(torch.tensor([2, 0]), UNMIXED, num_classes=4, smoothing=0.1)
    expected = torch.tensor([[0.025, 0.025, 0.925, 0.025], [0.925, 0.025, 0.025, 0.025]])
    torch.testing.assert_close(targets, expected)
    assert targets.dtype == torch.float32
