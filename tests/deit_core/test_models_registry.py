"""From a name or a config to a model: sizes, initial weights, errors."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from deit_core.config import ModelConfig, parse_run_config
from deit_core.errors import ConfigError, UserError
from deit_core.identity import resolve
from deit_core.models import (
    DistilledVisionTransformer,
    VisionTransformer,
    build_model,
    create_model,
    head_logits,
)
from deit_core.variants import VARIANTS

SMALL = {"img_size": 8, "patch_size": 4, "in_chans": 1, "embed_dim": 16, "depth": 2, "num_heads": 2}
DISTILLED = "deit_tiny_distilled_patch16_224"
PLAIN = "deit_tiny_patch16_224"


def model_config(name: str, **values: Any) -> ModelConfig:
    sizes = SMALL if name.startswith("deit") else {"img_size": 32, "in_chans": 1}
    section = {"name": name, **sizes, **values}
    return resolve(parse_run_config({"data": {"source": "digits"}, "model": section})).model


def build(name: str, *, seed: int = 0, classes: int = 10, **values: Any) -> nn.Module:
    return build_model(model_config(name, **values), num_classes=classes, seed=seed)


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    left, right = one.state_dict(), other.state_dict()
    return all(torch.equal(left[name], right[name]) for name in left)


# sizes and outputs ------------------------------------------------------------------------------


def test_every_override_takes_effect() -> None:
    model = create_model(
        DISTILLED,
        num_classes=7,
        img_size=12,
        drop_rate=0.1,
        drop_path_rate=0.2,
        patch_size=3,
        in_chans=1,
        embed_dim=24,
        depth=5,
        num_heads=3,
        mlp_ratio=2.0,
    )
    assert model.pos_embed.shape == (1, 2 + 16, 24)
    assert len(model.blocks) == 5
    assert model.blocks[0].attn.num_heads == 3
    assert model.blocks[0].mlp.fc1.out_features == 48
    assert model.pos_drop.rate == model.blocks[4].mlp.drop2.rate == 0.1
    assert model.blocks[4].drop_path1.rate == 0.2
    assert model.eval()(torch.zeros(2, 1, 12, 12)).shape == (2, 7)


def test_sizes_may_be_lists_and_numpys_numbers() -> None:
    expected = create_model(PLAIN, num_classes=7, **(SMALL | {"img_size": (8, 20)})).spec
    sizes = {key: np.int64(value) for key, value in SMALL.items()}
    for img_size in ([8, 20], (np.int64(8), np.int32(20))):
        model = create_model(
            PLAIN,
            num_classes=np.int64(7),
            mlp_ratio=np.float32(4),
            **(sizes | {"img_size": img_size}),
        )
        assert model.spec == expected
    assert create_model(PLAIN, **(SMALL | {"img_size": np.int64(8)})).spec.img_size == 8


@pytest.mark.parametrize("name", [PLAIN, DISTILLED, "cait_xxs24_224", "cait_xxs24_distilled_224"])
def test_without_classes_a_head_answers_with_its_token(name: str) -> None:
    model, images = create_model(name, num_classes=0, **SMALL), torch.rand(2, 1, 8, 8)
    assert not [key for key in model.state_dict() if key.startswith("head")]
    tokens = model.eval().forward_tokens(images)
    assert tokens.shape == (2, model.prefix_tokens, 16)
    torch.testing.assert_close(model(images), tokens.mean(dim=1))


@pytest.mark.parametrize("name", [PLAIN, DISTILLED, "cait_xxs24_224"])
def test_without_classes_timm_answers_alike(name: str) -> None:
    from deit_core.models.timm_import import timm

    ours, theirs = (
        make(name, num_classes=0, **SMALL) for make in (create_model, timm.create_model)
    )
    theirs.load_state_dict(ours.state_dict())
    images = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(ours.eval()(images), theirs.eval()(images))


@pytest.mark.parametrize("name", [PLAIN, DISTILLED, "cait_xxs24_224", "cait_xxs24_distilled_224"])
def test_images_need_not_be_square(name: str) -> None:
    model = create_model(name, num_classes=7, **(SMALL | {"img_size": (8, 20)}))
    images = torch.rand(2, 1, 8, 20)
    assert model.eval()(images).shape == (2, 7)
    convolved = model.patch_embed.proj(images)  # (2, 16, rows, columns)
    assert model.patch_embed.grid_size == tuple(convolved.shape[2:]) == (2, 5)
    row_major = convolved.flatten(2).transpose(1, 2)
    torch.testing.assert_close(model.patch_embed(images), row_major)
    with pytest.raises(ValueError, match=r"images are \(1, 20, 8\), the model takes \(1, 8, 20\)"):
        model(images.transpose(2, 3))


@pytest.mark.parametrize(
    ("original", "name"),
    [
        ("cait_XXS24_224", "cait_xxs24_224"),
        ("cait_XXS24", "cait_xxs24_384"),
        ("cait_S36", "cait_s36_384"),
        ("cait_M48", "cait_m48_448"),
    ],
)
def test_the_originals_names_are_known(original: str, name: str) -> None:
    with torch.device("meta"):
        ours, theirs = create_model(name), create_model(original)
    assert theirs.spec == ours.spec
    assert theirs.spec.img_size == VARIANTS[name].img_size


def test_a_distilled_model_returns_a_pair_to_train_on_and_their_mean_to_predict() -> None:
    model, images = build(DISTILLED, drop_path_rate=0.0), torch.rand(3, 1, 8, 8)
    cls_logits, dist_logits = model.train()(images)
    assert cls_logits.shape == dist_logits.shape == (3, 10)
    torch.testing.assert_close(model.eval()(images), (cls_logits + dist_logits) / 2)


@pytest.mark.parametrize("training", [True, False])
def test_head_logits_are_the_same_in_both_modes(training: bool) -> None:
    model, images = build(DISTILLED, drop_path_rate=0.0), torch.rand(3, 1, 8, 8)
    heads = head_logits(model.train(training), images)
    expected = model.train()(images)
    assert heads.dist_logits is not None
    torch.testing.assert_close(heads.cls_logits, expected.cls_logits)
    torch.testing.assert_close(heads.dist_logits, expected.dist_logits)


@pytest.mark.parametrize("name", [PLAIN, "resnet10t"])
@pytest.mark.parametrize("training", [True, False])
def test_other_models_have_one_head(name: str, training: bool) -> None:
    model = build(name).train(training)
    side = 8 if name == PLAIN else 32
    heads = head_logits(model, torch.rand(2, 1, side, side))
    assert heads.dist_logits is None
    assert heads.cls_logits.shape == (2, 10)


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"images are \(1, 12, 12\), the model takes \(1, 8, 8\)"):
        build(PLAIN)(torch.zeros(1, 1, 12, 12))


def test_parameters_without_weight_decay_are_the_references() -> None:
    model = create_model(DISTILLED, **SMALL)
    assert model.no_weight_decay() == {"pos_embed", "cls_token"}
    assert model.no_weight_decay() < set(model.state_dict())


# initial weights --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [DISTILLED, PLAIN, "resnet10t"])
def test_initial_weights_depend_on_the_seed_and_not_on_what_was_built_before(name: str) -> None:
    first = build(name, seed=1)
    torch.rand(5)
    build(PLAIN, seed=2, depth=1)
    assert same_weights(build(name, seed=1), first)
    assert not same_weights(build(name, seed=3), first)


@pytest.mark.parametrize("name", [DISTILLED, "resnet10t"])
def test_building_leaves_the_global_generator_alone(name: str) -> None:
    before = torch.get_rng_state()
    build(name)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_global_generator_is_left_alone_by_a_failed_build_too() -> None:
    before = torch.get_rng_state()
    with pytest.raises(ConfigError):
        build("resnet10t", kwargs={"nonsense": 1})
    assert torch.equal(torch.get_rng_state(), before)


def test_trunc_normal_is_the_references_distribution() -> None:
    torch.manual_seed(0)
    model = create_model(DISTILLED)
    for name, parameter in model.named_parameters():
        if ".proj." in name and name.startswith("patch_embed"):
            bound = (3 * 16 * 16) ** -0.5  # torch's own initial values of a convolution
            assert float(parameter.detach().abs().max()) <= bound
            if parameter.ndim > 1:
                assert float(parameter.detach().std()) == pytest.approx(bound / 3**0.5, rel=0.05)
        elif parameter.ndim > 1:
            few = parameter.numel() < 1000
            spread = float(parameter.detach().std())
            assert spread == pytest.approx(0.02, rel=0.2 if few else 0.05), name
        else:
            expected = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            assert (parameter == expected).all(), name


def test_fan_in_scales_every_linear_weight_by_its_inputs() -> None:
    model = build(DISTILLED, classes=100, init="fan_in", pos_embed_std=0.2, embed_dim=64, depth=3)
    assert isinstance(model, DistilledVisionTransformer)
    spreads = {
        "patch_embed.proj": 4,
        "blocks.1.attn.qkv": 8,
        "blocks.2.attn.proj": 8,
        "blocks.0.mlp.fc1": 8,
        "blocks.2.mlp.fc2": 16,
        "head": 8,
        "head_dist": 8,
    }
    for name, root_of_inputs in spreads.items():
        module = model.get_submodule(name)
        spread = float(module.weight.detach().std())
        assert spread == pytest.approx(1 / root_of_inputs, rel=0.1), name
        assert not module.bias.detach().any()
    assert float(model.pos_embed.detach().std()) == pytest.approx(0.2, rel=0.1)
    assert float(model.cls_token.detach().std()) == pytest.approx(0.02, rel=0.3)


def test_pos_embed_std_is_independent_of_the_scheme() -> None:
    model = build(PLAIN, embed_dim=64, pos_embed_std=0.5)
    assert isinstance(model, VisionTransformer)
    assert float(model.pos_embed.detach().std()) == pytest.approx(0.5, rel=0.15)
    assert float(model.head.weight.detach().std()) == pytest.approx(0.02, rel=0.1)


# timm's models ----------------------------------------------------------------------------------


def test_a_timm_model_takes_classes_channels_rates_and_its_own_arguments() -> None:
    model = build("resnet10t", drop_rate=0.3, drop_path_rate=0.2, kwargs={"stem_width": 8})
    assert model.drop_rate == 0.3
    assert any(getattr(module, "drop_prob", 0) > 0 for module in model.modules())
    assert model.get_submodule("conv1.0").in_channels == 1
    assert model.get_submodule("conv1.3").out_channels == 8
    assert model.eval()(torch.zeros(2, 1, 32, 32)).shape == (2, 10)


def test_a_timm_transformer_takes_the_image_size() -> None:
    model = build("vit_tiny_patch16_224", img_size=48, kwargs={"depth": 1})
    assert model.eval()(torch.zeros(1, 1, 48, 48)).shape == (1, 10)


def test_importing_the_models_does_not_import_timm() -> None:
    code = "import sys, deit_core.models; sys.exit('timm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# errors -----------------------------------------------------------------------------------------


def one_line(error: pytest.ExceptionInfo[UserError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def test_unknown_timm_name() -> None:
    with pytest.raises(
        ConfigError, match=r"^model: there is no model 'resnet18x'.*did you mean"
    ) as e:
        build("resnet18x")
    assert "resnet18" in one_line(e)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("resnet10t", {"kwargs": {"stem_widht": 8}}, "resnet10t takes no argument 'stem_widht'"),
        ("resnet10t", {"kwargs": {"stem_type": 3}}, r"timm cannot build resnet10t\(.*stem_type=3"),
        ("resnet10t", {"kwargs": {"in_chans": 3}}, r"'in_chans' is given; set model\.in_chans"),
        ("vgg11", {"drop_path_rate": 0.1}, "vgg11 takes no argument 'drop_path_rate'"),
    ],
)
def test_arguments_a_timm_model_refuses(name: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        build(name, **values)
    one_line(error)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("deit_tiny_pach16_224", {}, 'did you mean "deit_tiny_patch16_224"'),
        (PLAIN, {"widht": 3}, "has no 'widht' to override; valid: patch_size, in_chans"),
        (PLAIN, {"depth": 0}, "depth is 0; give a positive whole number"),
        (PLAIN, {"depth": 2.5}, "depth is 2.5; give a positive whole number"),
        (PLAIN, {"mlp_ratio": "4"}, "mlp_ratio is '4'; give a positive number"),
        (PLAIN, {"init_scale": 0.1}, "has no 'init_scale' to override; valid: patch_size"),
        (PLAIN, {"img_size": (32, 100)}, "an image of 32 x 100 pixels cannot be cut into patches"),
        (PLAIN, {"img_size": 0}, r"img_size is 0; give a positive whole number, or \(height"),
        (PLAIN, {"img_size": (32, 32, 32)}, r"img_size is \(32, 32, 32\); give a positive"),
        (PLAIN, {"img_size": "32"}, r"img_size is '32'; give a positive"),
        (PLAIN, {"img_size": [32, 0]}, r"img_size is \[32, 0\]; give a positive"),
        (PLAIN, {"num_classes": -1}, "num_classes is -1; give a whole number, or 0 for the token"),
        (PLAIN, {"num_classes": 2.5}, "num_classes is 2.5; give a whole number"),
        (PLAIN, {"mlp_ratio": 0.001}, "mlp_ratio 0.001 of embed_dim 192 leaves an MLP no width"),
        (PLAIN, {"mlp_ratio": float("nan")}, "mlp_ratio is nan; give a positive number"),
        (DISTILLED, {"fusion": "mean"}, "fusion is 'mean'; valid: logits, softmax"),
        (PLAIN, {"img_size": 100}, "an image of 100 pixels cannot be cut into patches of 16"),
        (PLAIN, {"embed_dim": 100}, "embed_dim 100 is no multiple of num_heads 3"),
    ],
)
def test_sizes_that_cannot_be(name: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        create_model(name, **values)
    one_line(error)


def test_a_config_that_was_never_checked_is_refused_with_its_section() -> None:
    config = model_config(PLAIN).model_copy(update={"img_size": 9})
    with pytest.raises(ConfigError, match=r"^model: an image of 9 pixels"):
        build_model(config, num_classes=10, seed=0)


@pytest.mark.parametrize("rates", [{"drop_path_rate": 1.5}, {"drop_rate": -0.1}])
def test_rates_are_probabilities(rates: dict[str, float]) -> None:
    with pytest.raises(UserError, match="give a probability, 0 to 1"):
        create_model(PLAIN, **SMALL, **rates)
