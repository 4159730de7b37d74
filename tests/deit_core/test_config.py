"""The config tree: strict, with errors a user can act on, and an identity to rely on."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deit_core.config import RunConfig, parse_run_config
from deit_core.duration import parse_duration
from deit_core.errors import ConfigError
from deit_core.identity import (
    canonical,
    group_id_of,
    resolve,
    stream_key,
    teacher_key,
    trial_id_of,
)

DIGITS = {"data": {"source": "digits"}, "model": {"img_size": 8, "patch_size": 2, "in_chans": 1}}


def config_with(**sections: object) -> RunConfig:
    values: dict[str, object] = {key: dict(value) for key, value in DIGITS.items()}
    for key, value in sections.items():
        old = values.get(key)
        merged = isinstance(old, dict) and isinstance(value, dict)
        values[key] = {**old, **value} if merged else value  # type: ignore[dict-item]
    return parse_run_config(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"distill": {"kidn": "soft"}}, 'distill.kidn: unknown key; did you mean "kind"?'),
        ({"modle": {}}, 'modle: unknown key; did you mean "model"?'),
        (
            {"distill": {"kind": "sofd"}},
            """distill.kind: 'sofd' is not valid; did you mean "soft"?""",
        ),
        ({"optim": {"lr": "fast"}}, "optim.lr: should be a valid number, but 'fast' is given"),
        ({"optim": {"lr": 0.0}}, "optim.lr: should be greater than 0, but 0.0 is given"),
        ({"train": {"global_batch_size": 2.5}}, "train.global_batch_size: .*integer"),
        ({"train": {"duration": "300"}}, 'train.duration: .*"300ep" or steps as "5000step"'),
        ({"train": {"duration": "0ep"}}, "train.duration: .*longer than nothing"),
        ({"data": {"root": "${NO_SUCH_VARIABLE_HERE}/x"}}, "NO_SUCH_VARIABLE_HERE is not set"),
        ({"distill": {"kind": "hard"}}, "'hard' distillation needs a teacher; add a `teacher:`"),
        ({"model": {"name": "deit_tinny_patch16_224"}}, 'did you mean "deit_tiny_patch16_224"'),
        ({"model": {"patch_size": 3}}, "8 pixels cannot be cut into patches of 3"),
        ({"model": {"embed_dim": 100}}, "embed_dim 100 is no multiple of num_heads 3"),
        (
            {"model": {"name": "resnet18", "patch_size": None, "depth": 4}},
            "model.name: 'resnet18' is none .* takes no model.depth; set that to null",
        ),
        ({"model": {"in_chans": 2}}, "2 is given; valid: 1, 3"),
        ({"train": {"global_batch_size": 15}}, "15 is odd, but mixup and CutMix pair"),
        ({"teacher": {"name": "resnet18"}}, "exactly one of pretrained, checkpoint, trial; none"),
        (
            {"teacher": {"name": "resnet18", "pretrained": True, "checkpoint": "/x"}},
            "pretrained and checkpoint are set; set teacher.pretrained: false",
        ),
        (
            {"teacher": {"name": "resnet18", "trial": "a", "checkpoint": "/x"}},
            "checkpoint and trial are set; set teacher.checkpoint: null",
        ),
        ({"optim": {"lr": None}}, "optim.lr: should be a valid number, but null is given"),
        ({"model": None}, "model: is a section with fields of its own, but null is given"),
        ({"model": {"depth": True}}, "model.depth: should be a valid integer, but true is given"),
        ({"teacher": {"pretrained": True}}, "teacher.name: pretrained needs the name"),
        ({"data": {"source": "image_folder"}}, "data.root: image_folder needs a folder"),
        ({"optim": {"betas": [0.9, 1.0]}}, r"optim\.betas\.1: should be less than 1"),
        ({"optim": {"betas": [1.0, 0.9]}}, r"optim\.betas\.0: should be less than 1"),
        ({"augment": {"crop_scale": [0.9, 0.5]}}, r"crop_scale: \[0.9, 0.5\] .*low comes first"),
        ({"augment": {"crop_scale": [0.0, 0.0]}}, "crop_scale: .* leaves nothing of an image"),
        ({"augment": {"cutmix_minmax": [0.9, 0.5]}}, "cutmix_minmax: .*low comes first"),
        ({"data": {"mean": [float("nan")]}}, r"data\.mean\.0: should be"),
        ({"data": {"mean": [127.5]}}, r"data\.mean\.0: should be less than or equal to 1"),
        ({"model": {"mlp_ratio": 0.001}}, "mlp_ratio: 0.001 of embed_dim 192 leaves an MLP no"),
        ({"train": {"duration": "9" * 400 + "ep"}}, "train.duration: .*beyond all numbers"),
    ],
)
def test_what_is_wrong_is_said(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        config_with(**values)
    assert "\n" not in str(caught.value)


def test_a_plain_student_cannot_distil_with_a_token() -> None:
    with pytest.raises(ConfigError, match=r"use model\.name: deit_tiny_distilled_patch16_224"):
        config_with(
            model={"name": "deit_tiny_patch16_224"},
            distill={"kind": "soft"},
            teacher={"trial": "0" * 12},
        )


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        config_with(distill={"kidn": 1}, optim={"lr": "x"}, seed="one")
    assert {problem.path for problem in caught.value.problems} == {
        ("distill", "kidn"),
        ("optim", "lr"),
        ("seed",),
    }


def test_paths_take_home_and_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("DATA", "/data")
    assert config_with(data={"root": "~/images"}).data.root == "/home/someone/images"
    assert config_with(data={"root": "${DATA}/images"}).data.root == "/data/images"


def test_the_config_survives_json() -> None:
    config = resolve(config_with(distill={"kind": "soft"}, teacher={"trial": "0" * 12}))
    assert parse_run_config(config.model_dump(mode="json")) == config


def test_strength_one_is_the_deit_recipe() -> None:
    augment = resolve(config_with(augment={"strength": 1.0})).augment
    assert augment.rand_augment_magnitude == 9
    assert (augment.mixup_alpha, augment.cutmix_alpha) == (0.8, 1.0)
    assert augment.erasing_probability == 0.25


def test_each_part_of_the_augmentation_can_be_set_alone() -> None:
    augment = resolve(config_with(augment={"strength": 0.0, "cutmix_alpha": 0.3})).augment
    assert augment.cutmix_alpha == 0.3
    assert augment.mixup_alpha == augment.erasing_probability == augment.rand_augment_magnitude == 0


TEACHER = {"trial": "0" * 12}
SOFT = {"distill": {"kind": "soft"}, "teacher": TEACHER}


@pytest.mark.parametrize(
    "sections",
    [
        {"data": {"workers": 3}},
        {"logging": {"every_steps": 7, "tensorboard": False}},
        {"train": {"threads": 2, "checkpoint_every_s": 1.0, "checkpoint_every_epochs": 5}},
        {"model": {"depth": 12, "num_classes": 10}},
        {"augment": {"mixup_alpha": 0.8}},
        {"train": {"duration": "300 epochs"}},
        {"teacher": TEACHER},
        {"distill": {"temperature": 7.0, "alpha": 0.9}},
        {"data": {"root": "/some/where", "subset_seed": 7}},
        {"augment": {"crop_scale": [0.5, 1.0]}},
        {"eval": {"crop_ratio": 1.0}},
    ],
    ids=str,
)
def test_what_cannot_change_the_result_does_not_change_the_id(sections: dict[str, object]) -> None:
    assert trial_id_of(config_with(**sections)) == trial_id_of(config_with())


@pytest.mark.parametrize(
    "sections",
    [
        {"seed": 1},
        {"model": {"depth": 6}},
        {"optim": {"lr": 1e-3}},
        {"augment": {"strength": 0.5}},
        {"data": {"train_images": 300}},
        {"train": {"precision": "bf16"}},
        SOFT,
    ],
    ids=str,
)
def test_what_can_change_the_result_changes_the_id(sections: dict[str, object]) -> None:
    assert trial_id_of(config_with(**sections)) != trial_id_of(config_with())


def test_hard_distillation_ignores_temperature() -> None:
    hard = {"kind": "hard"}
    cold = config_with(teacher=TEACHER, distill=hard)
    warm = config_with(teacher=TEACHER, distill={**hard, "temperature": 5.0})
    assert trial_id_of(cold) == trial_id_of(warm)
    soft = {"kind": "soft", "temperature": 5.0}
    assert trial_id_of(config_with(**SOFT)) != trial_id_of(
        config_with(teacher=TEACHER, distill=soft)
    )


def test_seeds_of_one_variant_share_a_group() -> None:
    assert group_id_of(config_with(seed=0)) == group_id_of(config_with(seed=1))
    assert group_id_of(config_with()) != group_id_of(config_with(model={"depth": 6}))


def test_the_id_does_not_depend_on_the_process() -> None:
    """Pinned: a change here re-trains every finished trial of every user; raise the schema then."""
    assert trial_id_of(config_with()) == "6ca0ed3e8272"


def test_streams_are_shared_across_students_not_across_seeds_or_augmentation() -> None:
    base = config_with()
    for student in ({"model": {"depth": 2}}, {"optim": {"lr": 0.1}}, SOFT):
        assert stream_key(config_with(**student)) == stream_key(base)
    for other in ({"seed": 1}, {"augment": {"strength": 0.5}}, {"train": {"duration": "9ep"}}):
        assert stream_key(config_with(**other)) != stream_key(base)


def test_a_student_without_distillation_has_no_teacher() -> None:
    assert teacher_key(config_with(teacher=TEACHER)) is None
    assert canonical(config_with(teacher=TEACHER)).teacher is None
    assert teacher_key(config_with(**SOFT)) is not None


@given(value=st.integers(1, 10**12), per_epoch=st.integers(1, 10_000))
def test_durations(value: int, per_epoch: int) -> None:
    assert parse_duration(f"{value}ep").steps(per_epoch) == value * per_epoch
    assert parse_duration(f"{value}step").steps(per_epoch) == value
    assert parse_duration(str(parse_duration(f" {value} epochs "))) == parse_duration(f"{value}ep")


@given(value=st.floats(1e-9, 1e12))
def test_a_duration_in_its_one_spelling_is_the_duration(value: float) -> None:
    duration = parse_duration(f"{value:.12f}ep")
    assert parse_duration(str(duration)) == duration


def test_half_a_step_is_no_duration() -> None:
    with pytest.raises(ValueError, match="whole number of steps"):
        parse_duration("1.5step")


def test_timm_models_ignore_our_initialisation() -> None:
    convnet = {"name": "resnet18", "patch_size": None}
    assert trial_id_of(config_with(model=convnet)) == trial_id_of(
        config_with(model={**convnet, "init": "fan_in", "pos_embed_std": 0.2})
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            {"augment": {"mix_probability": 0.0}},
            {"augment": {"mixup_alpha": 0.0, "cutmix_alpha": 0.0}},
        ),
        (
            {"augment": {"cutmix_alpha": 0.0, "mix_switch_probability": 0.1}},
            {"augment": {"cutmix_alpha": 0.0}},
        ),
        (
            {"augment": {"rand_augment_magnitude": 0.0, "rand_augment_ops": 5}},
            {"augment": {"rand_augment_magnitude": 0.0}},
        ),
        (
            {"augment": {"crop": "random_resized", "crop_padding": 3}},
            {"augment": {"crop": "random_resized"}},
        ),
        (
            {"optim": {"warmup": "0step", "warmup_lr": 0.5}},
            {"optim": {"warmup": "0ep"}},
        ),
    ],
    ids=["no mixing", "one kind of mixing", "no RandAugment", "no padding", "no warm-up"],
)
def test_what_another_field_turns_off_does_not_change_the_id(
    one: dict[str, object], other: dict[str, object]
) -> None:
    assert trial_id_of(config_with(**one)) == trial_id_of(config_with(**other))
    assert trial_id_of(config_with(**one)) != trial_id_of(config_with())


def test_a_link_to_the_data_is_the_data(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "images")
    folders = [
        config_with(data={"source": "image_folder", "root": str(tmp_path / name)})
        for name in ("images", "link")
    ]
    assert trial_id_of(folders[0]) == trial_id_of(folders[1])
