"""The stream: each image once an epoch, any step at once, ranks as slices of one batch."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deit_core.data.stream import SampleRef, TrainStream
from deit_core.errors import DataError

streams = st.builds(
    lambda images, batch, seed: TrainStream(max(images, batch), batch, seed),
    st.integers(1, 200),
    st.integers(1, 40),
    st.integers(0, 2**32 - 1),
)


@given(streams, st.integers(0, 3))
def test_an_epoch_shows_no_image_twice_and_drops_less_than_a_batch(stream, epoch):
    steps = range(epoch * stream.steps_per_epoch, (epoch + 1) * stream.steps_per_epoch)
    refs = [ref for step in steps for ref in stream.sample_refs(step)]
    seen = {ref.index for ref in refs}
    assert len(seen) == len(refs) > stream.num_images - stream.batch_size
    assert seen <= set(range(stream.num_images))
    assert {ref.epoch for ref in refs} == {epoch}


@given(streams, st.integers(0, 500), st.integers(1, 5))
def test_rank_slices_make_up_the_batch(stream, step, ranks):
    edges = [stream.batch_size * rank // ranks for rank in range(ranks + 1)]
    joined = [
        ref
        for first, last in pairwise(edges)
        for ref in stream.sample_refs(step, first=first, count=last - first)
    ]
    assert joined == stream.sample_refs(step)


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
