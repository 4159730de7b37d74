"""What every source promises, tried on each of them."""

from __future__ import annotations

import pickle
import typing
from pathlib import Path

import numpy as np
import pytest
import torch
from source_files import MAKERS, VAL

from deit_core.config import DataConfig, Source, parse_run_config
from deit_core.data.loader import EvalLoader, train_batches
from deit_core.data.sources import ImageSource, open_source
from deit_core.data_layout import KNOWN_SIZES, count_classes, count_images
from deit_core.identity import resolve

TRAIN = 7


def make(name: str, root: Path, train: int = TRAIN) -> DataConfig:
    """A source of a name in MAKERS or KNOWN_SIZES; embedded ones have no files."""
    return MAKERS[name](root, train) if name in MAKERS else DataConfig(source=name)


@pytest.fixture(params=MAKERS)
def data(request: pytest.FixtureRequest, tmp_path: Path, own_hub_cache: Path) -> DataConfig:
    return make(request.param, tmp_path / "data")


def opened(data: DataConfig, split: str = "train", in_chans: int = 3) -> ImageSource:
    return open_source(data, in_chans=in_chans, split=split)


def test_every_source_is_under_contract() -> None:
    tried = {name.partition(",")[0] for name in MAKERS}
    assert tried | {"digits", "fashion_mnist"} == set(typing.get_args(Source))


def test_labels_images_and_names(data: DataConfig) -> None:
    for split, count in (("train", TRAIN), ("val", VAL)):
        source = opened(data, split)
        assert len(source) == count
        assert source.labels.shape == (count,)
        assert source.labels.dtype == np.int64
        assert source.labels.min() >= 0
        assert source.labels.max() < len(source.class_names)
        assert len(set(source.class_names)) == len(source.class_names)
        assert len({source.describe(index) for index in range(count)}) == count
        for in_chans, mode in ((1, "L"), (3, "RGB")):
            images = [opened(data, split, in_chans).image(index) for index in range(count)]
            assert {image.mode for image in images} == {mode}
            assert len({image.tobytes() for image in images}) == count


def test_train_and_val_have_the_same_classes_and_no_image_in_common(data: DataConfig) -> None:
    train, val = opened(data), opened(data, "val")
    assert train.class_names == val.class_names
    seen = {train.image(index).tobytes() for index in range(len(train))}
    if data.source not in ("image_folder", "imagenet", "stanford_cars"):  # whose makers repeat them
        assert not seen & {val.image(index).tobytes() for index in range(len(val))}
    assert not set(map(train.describe, range(TRAIN))) & set(map(val.describe, range(VAL)))


def test_the_launcher_counts_what_the_job_will_find(data: DataConfig) -> None:
    assert count_classes(data) == len(opened(data).class_names)
    if data.source in KNOWN_SIZES:
        return
    for split in ("train", "val"):
        assert count_images(data, split, enough=100) == len(opened(data, split))


@pytest.mark.parametrize("name", MAKERS)
def test_one_more_image_changes_the_fingerprint(
    name: str, tmp_path: Path, own_hub_cache: Path
) -> None:
    first, same, more = (
        opened(make(name, tmp_path / folder / "data", count)).fingerprint()
        for folder, count in (("a", TRAIN), ("b", TRAIN), ("c", TRAIN + 1))
    )
    assert first == same
    assert first != more


def test_sources_travel_to_other_processes(data: DataConfig) -> None:
    source = opened(data)
    copy = pickle.loads(pickle.dumps(source))
    assert copy.image(3).tobytes() == source.image(3).tobytes()
    assert copy.fingerprint() == source.fingerprint()


def test_loader_processes_make_the_same_batches(data: DataConfig) -> None:
    batches: list[list[torch.Tensor]] = []
    for workers in (0, 2):
        values = {
            "data": {**data.model_dump(), "workers": workers},
            "model": {"img_size": 16, "patch_size": 4},
            "augment": {"rand_augment_magnitude": 0.0},
            "train": {"global_batch_size": 2},
            "eval": {"batch_size": 2},
        }
        config = resolve(parse_run_config(values))
        train, val = opened(data), opened(data, "val")
        made = train_batches(
            train,
            config,
            num_classes=len(train.class_names),
            first_step=0,
            last_step=2,
            device=torch.device("cpu"),
        )
        evaluated = EvalLoader(val, config, device=torch.device("cpu"))
        batches.append([batch.images for batch in [*made, *evaluated]])
    assert len(batches[0]) == 4
    for one, other in zip(*batches, strict=True):
        assert torch.equal(one, other)


def test_subsets_work_on_every_source(data: DataConfig) -> None:
    part = opened(data.model_copy(update={"train_images": 4}))
    assert len(part) == 4
    whole = {opened(data).describe(index) for index in range(TRAIN)}
    assert {part.describe(index) for index in range(4)} < whole
