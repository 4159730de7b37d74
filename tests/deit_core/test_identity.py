"""Every field of the config against the ids: what counts, what cohorts share, what counts not."""

from __future__ import annotations

import copy
import typing
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import BaseModel

from deit_core.config import RunConfig, parse_run_config
from deit_core.errors import ConfigError
from deit_core.identity import canonical, resolve, stream_key, trial_id_of

Sections = dict[str, Any]

BASE: Sections = {
    "data": {"source": "imagenet", "root": "/imagenet"},
    "teacher": {"name": "regnety_160", "checkpoint": "/teacher.pth"},
    "distill": {"kind": "soft"},
    "augment": {"strength": 1.0},
}


@dataclass(frozen=True)
class Change:
    """Another value of one field, beside others under which it has an effect."""

    counts: Literal["stream", "student", "never"]
    """`stream`: one for all students of a cohort; `student`: for the trial alone."""
    value: Any
    beside: Sections = field(default_factory=dict)
    also: Sections = field(default_factory=dict)
    """Fields that have to change with it."""


def stream(value: Any, **beside: Any) -> Change:
    return Change("stream", value, beside)


def student(value: Any, **beside: Any) -> Change:
    return Change("student", value, beside)


def never(value: Any) -> Change:
    return Change("never", value)


ALONE: Sections = {"distill": {"kind": "none"}, "teacher": None}
CONVNET: Sections = {**ALONE, "model": {"name": "resnet18"}}
CAIT: Sections = {**ALONE, "model": {"name": "cait_xxs24_224"}}
TUNED: Sections = {**ALONE, "finetune": {"checkpoint": "/a.pth"}}
SGD: Sections = {"optim": {"name": "sgd"}}

CHANGES: dict[str, Change] = {
    "seed": stream(1),
    "data.source": stream("image_folder"),
    "data.root": stream("/elsewhere"),
    "data.category": stream("order", data={"source": "inaturalist_2018"}),
    "data.image_column": stream("photo", data={"source": "huggingface"}),
    "data.label_column": stream("species", data={"source": "huggingface"}),
    "data.train_images": stream(1000),
    "data.val_images": stream(1000),
    "data.subset_seed": stream(1, data={"train_images": 1000}),
    "data.mean": stream([0.5, 0.5, 0.5]),
    "data.std": stream([0.5, 0.5, 0.5]),
    "data.order": stream("reference"),
    "data.workers": never(3),
    "model.name": student("deit_small_distilled_patch16_224"),
    "model.img_size": stream(112),
    "model.in_chans": stream(1),
    "model.num_classes": stream(10),
    "model.patch_size": student(32),
    "model.embed_dim": student(96),
    "model.depth": student(6),
    "model.depth_token_only": student(1, **CAIT),
    "model.num_heads": student(6),
    "model.mlp_ratio": student(2.0),
    "model.drop_rate": student(0.1),
    "model.drop_path_rate": student(0.2),
    "model.init_scale": student(0.5, **CAIT),
    "model.fusion": student("softmax"),
    "model.init": student("fan_in"),
    "model.pos_embed_std": student(0.1),
    "model.kwargs": student({"drop_block_rate": 0.1}, **CONVNET),
    "finetune.checkpoint": student("/b.pth", **TUNED),
    "finetune.eval_mode": student(True, **TUNED),
    "teacher.name": student("regnety_032"),
    "teacher.pretrained": Change("student", True, also={"teacher": {"checkpoint": None}}),
    "teacher.checkpoint": student("/other.pth"),
    "teacher.trial": Change("student", "0" * 12, also={"teacher": {"checkpoint": None}}),
    "teacher.kwargs": student({"drop_rate": 0.1}),
    "teacher.channels_last": student(True),
    "distill.kind": student("hard"),
    "distill.alpha": student(0.3),
    "distill.temperature": student(3.0),
    "distill.reduction": student("numel"),
    "distill.token": Change("student", False, also={"model": {"name": "deit_tiny_patch16_224"}}),
    "augment.strength": stream(0.5),
    "augment.policy": stream("three_augment"),
    "augment.rand_augment_magnitude": stream(5.0),
    "augment.rand_augment_ops": stream(3),
    "augment.color_jitter": stream(0.3),
    "augment.repeats": stream(3),
    "augment.mixup_alpha": stream(0.2),
    "augment.cutmix_alpha": stream(0.2),
    "augment.mix_probability": stream(0.5),
    "augment.mix_switch_probability": stream(0.3),
    "augment.mix_mode": stream("pair"),
    "augment.cutmix_minmax": stream([0.2, 0.8]),
    "augment.erasing_probability": stream(0.1),
    "augment.hflip_probability": stream(0.0),
    "augment.crop": stream("simple_random"),
    "augment.crop_scale": stream([0.5, 1.0]),
    "augment.crop_padding": stream(2, augment={"crop": "simple_random"}),
    "augment.label_smoothing": stream(0.2),
    "optim.name": student("sgd"),
    "optim.lr": student(1e-3),
    "optim.lr_reference_batch_size": student(None),
    "optim.weight_decay": student(0.1),
    "optim.momentum": student(0.5, **SGD),
    "optim.betas": student([0.9, 0.95]),
    "optim.eps": student(1e-6),
    "optim.warmup": student("1ep"),
    "optim.schedule": student("deit"),
    "optim.warmup_lr": student(1e-5),
    "optim.min_lr": student(0.0),
    "optim.clip_grad_norm": student(1.0),
    "train.duration": stream("100ep"),
    "train.global_batch_size": stream(512),
    "train.micro_batch_size": stream(64),
    "train.loss": student("bce", augment={"label_smoothing": 0.0}),
    "train.precision": stream("bf16"),
    "train.compile": student(True),
    "train.ema_decay": student(0.9),
    "train.device": never("cpu"),
    "train.threads": never(2),
    "train.checkpoint_every_s": never(1.0),
    "train.checkpoint_every_epochs": never(5),
    "eval.every": stream("2ep"),
    "eval.batch_size": stream(64),
    "eval.crop_ratio": stream(1.0),
    "eval.real_labels": stream("/real.json"),
    "eval.imagenet_v2": stream("/v2"),
    "logging.every_steps": never(7),
    "logging.tensorboard": never(False),
    "logging.wandb": never({"project": "p"}),
    "logging.mlflow": never({"tracking_uri": "http://localhost:5000"}),
}


def merged(*layers: Sections) -> Sections:
    """Later layers win, field by field."""
    values: Sections = {}
    for layer in layers:
        for key, value in copy.deepcopy(layer).items():
            both = isinstance(values.get(key), dict) and isinstance(value, dict)
            values[key] = {**values[key], **value} if both else value
    return values


def overlay(path: str) -> Sections:
    change = CHANGES[path]
    section, _, name = path.rpartition(".")
    return merged(change.also, {section: {name: change.value}} if section else {name: change.value})


def all_fields() -> set[str]:
    paths = set()
    for name, info in RunConfig.model_fields.items():
        sections = [
            kind
            for kind in (info.annotation, *typing.get_args(info.annotation))
            if isinstance(kind, type) and issubclass(kind, BaseModel)
        ]
        paths |= {f"{name}.{key}" for section in sections for key in section.model_fields}
        paths |= set() if sections else {name}
    return paths


def test_every_field_is_classified() -> None:
    assert set(CHANGES) == all_fields()


@pytest.mark.parametrize("path", CHANGES)
def test_what_a_field_counts_for(path: str) -> None:
    """Students of a cohort see one stream: it must know all that shapes it, and nothing else."""
    change = CHANGES[path]
    before = parse_run_config(merged(BASE, change.beside))
    after = parse_run_config(merged(BASE, change.beside, overlay(path)))
    assert (trial_id_of(after) != trial_id_of(before)) == (change.counts != "never")
    assert (stream_key(after) != stream_key(before)) == (change.counts == "stream")


@given(paths=st.lists(st.sampled_from(sorted(CHANGES)), max_size=8))
def test_the_canonical_config_is_a_config_of_the_same_trial(paths: list[str]) -> None:
    layers = [layer for path in paths for layer in (CHANGES[path].beside, overlay(path))]
    try:
        config = parse_run_config(merged(BASE, *layers))
    except ConfigError:
        assume(False)
    plain = canonical(config)
    assert canonical(plain) == plain
    assert trial_id_of(plain) == trial_id_of(config)
    assert stream_key(plain) == stream_key(config)
    assert trial_id_of(parse_run_config(plain.model_dump(mode="json"))) == trial_id_of(config)


EVAL_MODE = merged(TUNED, {"finetune": {"eval_mode": True}})


@pytest.mark.parametrize(
    ("beside", "without_effect"),
    [
        (ALONE, {"model": {"fusion": "softmax"}}),
        (CONVNET, {"model": {"fusion": "softmax"}}),
        (EVAL_MODE, {"model": {"drop_rate": 0.1, "drop_path_rate": 0.3}}),
        (TUNED, {"model": {"pos_embed_std": 0.5}}),
        (merged(TUNED, CAIT), {"model": {"init_scale": 0.5}}),
        ({"train": {"global_batch_size": 64}}, {"train": {"micro_batch_size": 64}}),
        ({"train": {"global_batch_size": 64}}, {"train": {"micro_batch_size": 100}}),
        (
            {"teacher": {"trial": "0" * 12, "checkpoint": None, "name": None}},
            {"teacher": {"name": "resnet18", "kwargs": {"drop_rate": 0.5}}},
        ),
        ({"distill": {"alpha": 0.0}}, {"distill": {"temperature": 3.0, "reduction": "numel"}}),
        ({"augment": {"mix_switch_probability": 0.0}}, {"augment": {"cutmix_alpha": 0.3}}),
        ({"augment": {"mix_switch_probability": 0.0}}, {"augment": {"cutmix_minmax": [0.1, 0.2]}}),
        ({"augment": {"mix_switch_probability": 1.0}}, {"augment": {"mixup_alpha": 0.3}}),
    ],
    ids=str,
)
def test_what_others_turn_off_does_not_count(beside: Sections, without_effect: Sections) -> None:
    before = parse_run_config(merged(BASE, beside))
    after = parse_run_config(merged(BASE, beside, without_effect))
    assert trial_id_of(after) == trial_id_of(before)
    assert stream_key(after) == stream_key(before)


def test_the_fusion_counts_where_both_heads_are_trained() -> None:
    softmax: Sections = {"model": {"fusion": "softmax"}}
    assert trial_id_of(parse_run_config(merged(BASE, EVAL_MODE))) != trial_id_of(
        parse_run_config(merged(BASE, EVAL_MODE, softmax))
    )


@pytest.mark.parametrize(
    ("width", "depth", "rate"),
    [
        pytest.param(192, 24, 0.05, id="XXS24"),
        pytest.param(192, 36, 0.1, id="XXS36"),
        pytest.param(288, 24, 0.05, id="XS24"),
        pytest.param(288, 36, 0.1, id="XS36"),
        pytest.param(384, 24, 0.1, id="S24"),
        pytest.param(384, 36, 0.2, id="S36"),
        pytest.param(384, 48, 0.3, id="S48"),
        pytest.param(768, 24, 0.2, id="M24"),
        pytest.param(768, 36, 0.3, id="M36"),
        pytest.param(768, 48, 0.4, id="M48"),
    ],
)
def test_cait_has_the_papers_stochastic_depth_by_width_and_depth(
    width: int, depth: int, rate: float
) -> None:
    """arXiv 2103.17239; LayerScale: 0.1, 1e-5, 1e-6 for 12, 24, 36 blocks."""
    sizes = {"embed_dim": width, "depth": depth, "num_heads": width // 48}
    model = {"name": "cait_xxs24_distilled_224", **sizes}
    config = resolve(parse_run_config({"data": {"source": "digits"}, "model": model}))
    assert config.model.drop_path_rate == pytest.approx(rate, abs=1e-9)
    assert config.model.init_scale == (1e-5 if depth == 24 else 1e-6)
