"""The stream: any step at once, ranks as rows of one batch, the reference's own order."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file
from torch.utils.data import DistributedSampler

from deit_core.config import parse_run_config
from deit_core.data.shard import Shard
from deit_core.data.stream import SampleRef, TrainStream, repeated_augmentation_indices
from deit_core.errors import DataError
from deit_core.identity import resolve

GOLDEN = Path(__file__).parents[1] / "golden"
SAMPLERS: list[dict[str, Any]] = json.loads((GOLDEN / "recipe.json").read_text())["ra_sampler"]
TENSORS = load_file(GOLDEN / "recipe.safetensors")

streams = st.builds(
    lambda images, batch, seed: TrainStream(max(images, batch), batch, seed),
    st.integers(1, 200),
    st.integers(1, 40),
    st.integers(0, 2**32 - 1),
)


def epoch_refs(stream: TrainStream, epoch: int = 0) -> list[SampleRef]:
    first = epoch * stream.steps_per_epoch
    steps = range(first, first + stream.steps_per_epoch)
    return [ref for step in steps for ref in stream.sample_refs(step)]


@given(streams, st.integers(0, 3))
def test_an_epoch_shows_no_image_twice_and_drops_less_than_a_batch(stream, epoch):
    refs = epoch_refs(stream, epoch)
    seen = {ref.index for ref in refs}
    assert len(seen) == len(refs) > stream.num_images - stream.batch_size
    assert seen <= set(range(stream.num_images))
    assert {(ref.epoch, ref.view) for ref in refs} == {(epoch, 0)}


@given(streams, st.integers(0, 500), st.integers(1, 5))
def test_rows_of_all_ranks_make_up_the_batch(stream, step, ranks):
    batch = stream.sample_refs(step)
    rows = np.array_split(np.arange(stream.batch_size), ranks)
    joined = [ref for part in rows for ref in stream.sample_refs(step, part)]
    assert joined == batch


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("repeats", [1, 3])
def test_shards_of_a_batch_are_its_rows(paired, repeats):
    stream = TrainStream(100, 24, seed=3, repeats=repeats)
    batch = stream.sample_refs(5)
    for rank in range(4):
        rows = Shard(rank, 4).rows(24, paired=paired)
        assert stream.sample_refs(5, rows) == [batch[row] for row in rows]


def test_order_differs_by_epoch_and_seed_and_repeats_by_step():
    stream = TrainStream(100, 100, seed=1)
    first = [ref.index for ref in stream.sample_refs(0)]
    assert first != [ref.index for ref in stream.sample_refs(1)]
    assert first != [ref.index for ref in TrainStream(100, 100, seed=2).sample_refs(0)]
    stream.sample_refs(7)
    assert first == [ref.index for ref in stream.sample_refs(0)]
    assert stream.sample_refs(3)[0] == SampleRef(stream.sample_refs(3)[0].index, epoch=3, view=0)


def test_a_batch_larger_than_the_data_is_refused_with_both_numbers():
    with pytest.raises(DataError, match=r"a batch of 16 .* 10 training images.*at most 10"):
        TrainStream(10, 16, seed=0)


def test_a_config_says_batch_seed_repeats_and_order():
    config = {
        "seed": 7,
        "data": {"source": "digits", "order": "reference"},
        "augment": {"repeats": 3},
        "train": {"global_batch_size": 64},
    }
    stream = TrainStream.of(resolve(parse_run_config(config)), 1000)
    assert stream == TrainStream(1000, 64, seed=7, repeats=3, order="reference")


# Repeated augmentation


@given(streams, st.integers(2, 4), st.integers(0, 2))
def test_repeats_are_views_of_fewer_images_side_by_side(stream, repeats, epoch):
    repeated = TrainStream(stream.num_images, stream.batch_size, stream.seed, repeats)
    refs = epoch_refs(repeated, epoch)
    assert repeated.steps_per_epoch == stream.steps_per_epoch
    assert len(refs) == stream.steps_per_epoch * stream.batch_size
    assert [ref.view for ref in refs] == [place % repeats for place in range(len(refs))]
    counts = Counter(ref.index for ref in refs)
    assert sorted(counts.values(), reverse=True)[: len(refs) // repeats] == [repeats] * (
        len(refs) // repeats
    )
    once = [ref.index for ref in epoch_refs(stream, epoch)]
    assert [ref.index for ref in refs[::repeats]] == once[: len(refs[::repeats])]


def reference_indices(case: dict[str, Any]) -> list[int]:
    """What our sampler gives under a case's settings."""
    settings = {key: case[key] for key in ("world", "rank", "epoch", "repeats", "shuffle")}
    return repeated_augmentation_indices(case["len"], **settings).tolist()


@pytest.mark.parametrize(
    "case", [case for case in SAMPLERS if case.get("yielded")], ids=lambda case: case["id"]
)
def test_indices_equal_the_reference_samplers(case):
    indices = reference_indices(case)
    assert len(indices) == case["yielded"] == case["num_selected"]
    stored = TENSORS[f"{case['id']}/indices"].tolist()
    assert indices[: len(stored)] == stored
    assert (len(set(indices)), sum(indices)) == (case["unique"], case["index_sum"])


@pytest.mark.parametrize(
    "case", [case for case in SAMPLERS if not case.get("yielded")], ids=lambda case: case["id"]
)
def test_small_data_has_an_epoch_where_the_reference_has_none(case):
    """Its epoch is empty below 256 images, and it fails an assertion on one image for 8 ranks."""
    assert case["len"] < 256
    indices = reference_indices(case)
    assert len(indices) == -(-case["len"] // case["world"])
    assert set(indices) <= set(range(case["len"]))


def test_small_data_is_dealt_out_as_timm_does():
    from deit_core.models.timm_import import timm

    sampler = timm.data.distributed_sampler.RepeatAugSampler
    for images, world, rank, epoch in ((255, 2, 1, 0), (100, 3, 2, 4), (17, 4, 0, 1)):
        timms = sampler(range(images), num_replicas=world, rank=rank)
        timms.set_epoch(epoch)
        ours = repeated_augmentation_indices(images, world=world, rank=rank, epoch=epoch)
        assert ours.tolist() == [int(index) for index in timms]


@pytest.mark.parametrize(("images", "batch"), [(1000, 32), (1000, 64), (513, 128), (256, 256)])
@pytest.mark.parametrize("world", [1, 2, 4, 8])
def test_batches_in_the_references_order_are_those_of_its_ranks_together(images, batch, world):
    stream = TrainStream(images, batch, seed=5, repeats=3, order="reference")
    share = batch // world
    for epoch in (0, 3):
        ranks = [
            repeated_augmentation_indices(images, world=world, rank=rank, epoch=epoch)
            for rank in range(world)
        ]
        assert stream.steps_per_epoch == len(ranks[0]) // share
        for step in range(stream.steps_per_epoch):
            together = [i for rank in ranks for i in rank[step * share :][:share].tolist()]
            refs = stream.sample_refs(epoch * stream.steps_per_epoch + step)
            assert sorted(ref.index for ref in refs) == sorted(together)


@pytest.mark.parametrize("world", [1, 4])
def test_without_repeats_the_references_order_is_torchs_distributed_sampler(world):
    stream = TrainStream(300, 20, seed=5, order="reference")
    assert stream.steps_per_epoch == 15
    share = 20 // world
    for epoch in (0, 2):
        samplers = [DistributedSampler(range(300), world, rank) for rank in range(world)]
        for sampler in samplers:
            sampler.set_epoch(epoch)
        ranks = [list(sampler) for sampler in samplers]
        for step in range(15):
            together = [i for rank in ranks for i in rank[step * share :][:share]]
            refs = stream.sample_refs(epoch * 15 + step)
            assert sorted(ref.index for ref in refs) == sorted(together)


def test_the_references_order_is_the_same_for_every_seed_and_leaves_torchs_generator_alone():
    state = torch.get_rng_state()
    orders = [epoch_refs(TrainStream(300, 16, seed, 3, "reference")) for seed in (1, 2)]
    assert orders[0] == orders[1]
    assert torch.equal(torch.get_rng_state(), state)


def test_the_references_order_drops_what_fills_no_block_of_256():
    assert TrainStream(700, 64, 0, 3, "reference").steps_per_epoch == 512 // 64
    assert TrainStream(700, 64, 0, 3, "keyed").steps_per_epoch == 700 // 64
    assert TrainStream(200, 64, 0, 3, "reference").steps_per_epoch == 200 // 64
    with pytest.raises(DataError, match=r"a batch of 300 .* 400 .*takes 256 an epoch.*at most 256"):
        TrainStream(400, 300, 0, 3, "reference")


@pytest.mark.parametrize(("images", "world", "rank"), [(0, 1, 0), (10, 2, 2), (10, 2, -1)])
def test_a_rank_that_is_none_is_refused(images, world, rank):
    with pytest.raises(DataError, match=rf"{images} images for process {rank} of {world}"):
        repeated_augmentation_indices(images, world=world, rank=rank, epoch=0)
