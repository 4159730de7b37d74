"""The parts of the recipe together: batches that do not depend on the number of processes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from deit_core.config import RunConfig, parse_run_config
from deit_core.data.augment import TrainAugment
from deit_core.data.fetch import TrainFetcher
from deit_core.data.loader import TrainBatch, train_batches
from deit_core.data.shard import Shard
from deit_core.data.sources import open_source
from deit_core.data.stream import TrainStream
from deit_core.identity import resolve


def config_of(order: str = "keyed", batch_size: int = 16, **augment: Any) -> RunConfig:
    return resolve(
        parse_run_config(
            {
                "data": {"source": "digits", "train_images": 300, "order": order},
                "augment": augment,
                "train": {"global_batch_size": batch_size},
            }
        )
    )


def batches(config: RunConfig, shard: Shard, last_step: int = 2) -> list[TrainBatch]:
    source = open_source(config.data, in_chans=3, split="train")
    steps = {"first_step": 0, "last_step": last_step, "device": torch.device("cpu")}
    return list(train_batches(source, config, num_classes=10, shard=shard, **steps))


@pytest.mark.parametrize(
    "recipe",
    [
        {"mix_mode": "batch", "repeats": 3},
        {"mix_mode": "pair", "repeats": 3, "order": "reference"},
        {"mix_mode": "elem", "policy": "three_augment", "crop": "simple_random"},
        {"mix_mode": "elem", "cutmix_minmax": [0.2, 0.8], "policy": "auto_augment"},
        {"mix_probability": 0.0, "repeats": 2},
    ],
    ids=["batch", "pair", "elem", "range", "unmixed"],
)
@pytest.mark.parametrize("world", [2, 4])
def test_processes_together_make_the_batch_of_one(recipe: dict[str, Any], world: int) -> None:
    config = config_of(**recipe)
    whole = batches(config, Shard())
    parts = [batches(config, Shard(rank, world)) for rank in range(world)]
    for step, batch in enumerate(whole):
        rows = np.concatenate([part[step].rows for part in parts])
        assert sorted(rows.tolist()) == list(range(16))
        for name in ("images", "targets", "labels"):
            together = torch.cat([getattr(part[step], name) for part in parts])
            assert torch.equal(together, getattr(batch, name)[rows])


def test_looks_at_one_image_differ_but_not_their_labels() -> None:
    config = config_of(repeats=4, mix_probability=0.0)
    (batch,) = batches(config, Shard(), last_step=1)
    for first in range(0, 16, 4):
        looks = batch.images[first : first + 4]
        assert len({look.numpy().tobytes() for look in looks}) == 4
        assert len(set(batch.labels[first : first + 4].tolist())) == 1


class CountedSource:
    """Images on disk, as far as a fetcher can tell, that count how often each is read."""

    class_names = ("a", "b")
    in_memory = False
    labels = np.zeros(32, dtype=np.int64)

    def __init__(self) -> None:
        self.reads: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> Image.Image:
        self.reads[index] += 1
        return Image.new("RGB", (8, 8), (index, 0, 0))

    def describe(self, index: int) -> str:
        return str(index)

    def fingerprint(self) -> str:
        return ""


def test_repeats_of_an_image_are_decoded_once() -> None:
    source = CountedSource()
    stream = TrainStream(32, 12, seed=0, repeats=3)
    fetcher = TrainFetcher(source, stream, TrainAugment(config_of()))
    assert len(fetcher[0].labels) == 12
    assert source.reads == Counter({ref.index: 1 for ref in stream.sample_refs(0)})
    assert len(fetcher[0].labels) == 12  # no more than one is kept
    assert source.reads == Counter({ref.index: 2 for ref in stream.sample_refs(0)})


def test_targets_of_bce_are_not_smoothed() -> None:
    values = {"data": {"source": "digits"}, "train": {"loss": "bce", "global_batch_size": 16}}
    (batch,) = batches(resolve(parse_run_config(values)), Shard(), last_step=1)
    assert int((batch.targets > 0).sum(dim=1).max()) <= 2
