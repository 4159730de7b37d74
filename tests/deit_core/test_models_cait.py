"""CaiT with and without a distillation token: heads, symmetry of its tokens, noise, settings."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from deit_core.config import ModelConfig, parse_run_config
from deit_core.errors import UserError
from deit_core.identity import resolve
from deit_core.models import (
    Cait,
    DistilledCait,
    DistilledLogits,
    build_model,
    create_model,
    fuse,
    head_logits,
)
from deit_core.models.noise import Dropout, DropPath

SMALL = {"img_size": 8, "patch_size": 4, "in_chans": 1, "embed_dim": 16, "depth": 3, "num_heads": 4}
PLAIN = "cait_xxs24_224"
DISTILLED = "cait_xxs24_distilled_224"


def small(name: str = DISTILLED, *, spread: float = 0.3, **values: Any) -> Cait:
    """A small model whose every weight is far enough from 0 to matter."""
    torch.manual_seed(0)
    model = create_model(name, num_classes=5, **(SMALL | values))
    assert isinstance(model, Cait)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(spread * torch.randn(parameter.shape))
    return model


def images(count: int = 3) -> Tensor:
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(1))


# two tokens, two heads --------------------------------------------------------------------------


@pytest.mark.parametrize("fusion", ["logits", "softmax"])
def test_it_returns_a_pair_to_train_on_and_their_fusion_to_predict(fusion: Any) -> None:
    model = small(fusion=fusion)
    pair = model.train()(images())
    assert isinstance(pair, DistilledLogits)
    assert pair.cls_logits.shape == pair.dist_logits.shape == (3, 5)
    assert not torch.allclose(pair.cls_logits, pair.dist_logits)
    torch.testing.assert_close(model.eval()(images()), fuse(*pair, fusion))


@pytest.mark.parametrize("training", [True, False])
def test_head_logits_are_the_same_in_both_modes(training: bool) -> None:
    model = small()
    heads = head_logits(model.train(training), images())
    expected = model.train()(images())
    torch.testing.assert_close(heads.cls_logits, expected.cls_logits)
    torch.testing.assert_close(heads.dist_logits, expected.dist_logits)


@pytest.mark.parametrize("training", [True, False])
def test_the_original_model_has_one_head(training: bool) -> None:
    model = small(PLAIN).train(training)
    assert model(images()).shape == (3, 5)
    assert head_logits(model, images()).dist_logits is None


def test_the_two_class_type_tokens_are_treated_alike() -> None:
    """Exchanging them together with their heads exchanges the logits and changes nothing else."""
    model = small()
    assert isinstance(model, DistilledCait)
    before = head_logits(model, images())
    state = model.state_dict()
    pairs = {"cls_token": "dist_token", "head.weight": "head_dist.weight"}
    pairs["head.bias"] = "head_dist.bias"
    exchanged = {b: state[a].clone() for a, b in pairs.items()}
    exchanged |= {a: state[b].clone() for a, b in pairs.items()}
    model.load_state_dict(state | exchanged)
    after = head_logits(model, images())
    torch.testing.assert_close(after.cls_logits, before.dist_logits)
    torch.testing.assert_close(after.dist_logits, before.cls_logits)


def test_each_class_type_token_sees_the_other_and_the_patches() -> None:
    model = small()
    assert isinstance(model, DistilledCait)
    model.train()(images()).cls_logits.sum().backward()
    assert model.dist_token.grad is not None
    assert float(model.dist_token.grad.abs().sum()) > 0
    assert model.pos_embed.grad is not None
    assert float(model.pos_embed.grad.abs().sum()) > 0
    assert model.head_dist.weight.grad is None


def test_class_attention_leaves_the_patches_as_they_are() -> None:
    model, seen = small(depth_token_only=3), []
    for block in model.blocks_token_only:
        block.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    model(images())
    assert [patches.shape for patches in seen] == [(3, 4, 16)] * 3
    assert all(patches is seen[0] for patches in seen)


def test_the_distillation_token_is_decayed_as_by_the_reference() -> None:
    model = small()
    assert model.no_weight_decay() == {"pos_embed", "cls_token"}
    assert model.no_weight_decay() < set(model.state_dict())


# noise ------------------------------------------------------------------------------------------


def test_noise_is_in_every_self_attention_block_with_masks_of_its_own() -> None:
    model = create_model(DISTILLED, drop_rate=0.1, drop_path_rate=0.2, **SMALL)
    for kind, count, rate in ((Dropout, 1 + 3 * 3, 0.1), (DropPath, 2 * 3, 0.2)):
        layers = [module for module in model.modules() if isinstance(module, kind)]
        assert len({layer.site for layer in layers}) == len(layers) == count
        assert {layer.rate for layer in layers} == {rate}
    assert not [m for m in model.blocks_token_only.modules() if isinstance(m, Dropout | DropPath)]


def test_a_block_that_stochastic_depth_skips_changes_nothing() -> None:
    model = small(PLAIN, drop_path_rate=1.0).train()
    tokens = model.patch_embed(images())
    assert torch.equal(model.blocks[0](tokens), tokens)


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_half_precision_agrees_with_float32(precision: torch.dtype) -> None:
    model = small(spread=0.1).eval()
    with torch.no_grad():
        expected = model(images())
        with torch.autocast("cpu", precision):
            actual = model(images())
    torch.testing.assert_close(actual.float(), expected, atol=0.05, rtol=0.05)


# settings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [0.5, 1, 2.5, 3.7, 4, 4.3])
def test_class_attention_keeps_its_mlp_ratio_as_in_the_original(ratio: float) -> None:
    """Each loads the other's state dict strictly, so parameters are as many."""
    from deit_core.models.timm_import import timm

    ours = create_model(PLAIN, mlp_ratio=ratio, **SMALL)
    theirs = timm.create_model(PLAIN, mlp_ratio=ratio, **SMALL)
    spread_out = {key: torch.randn(value.shape) for key, value in ours.state_dict().items()}
    ours.load_state_dict(spread_out)
    theirs.load_state_dict(ours.state_dict())
    ours.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(ours.eval()(images()), theirs.eval()(images()), atol=1e-3, rtol=1e-4)
    assert ours.blocks[0].mlp.fc1.out_features == int(16 * ratio)
    assert ours.blocks_token_only[0].mlp.fc1.out_features == 64


def test_every_override_takes_effect() -> None:
    model = small(
        mlp_ratio=2.0, depth_token_only=4, init_scale=0.5, spread=0.0, drop_rate=0.1, patch_size=2
    )
    assert (len(model.blocks), len(model.blocks_token_only)) == (3, 4)
    assert model.pos_embed.shape == (1, 16, 16)
    assert model.blocks[0].attn.proj_l.weight.shape == (4, 4)
    assert model.blocks_token_only[3].attn.num_heads == 4
    assert model.blocks[2].mlp.fc1.out_features == 32
    assert model.pos_drop.rate == model.blocks[2].mlp.drop2.rate == 0.1
    gammas = [p for name, p in model.named_parameters() if "gamma" in name]
    assert len(gammas) == 2 * (3 + 4)
    assert all((gamma == 0.5).all() for gamma in gammas)


@pytest.mark.parametrize(
    ("name", "depth", "scale"),
    [
        ("cait_xxs24_224", None, 1e-5),
        ("cait_xxs36_224", None, 1e-5),  # the code's, where the rule by depth says 1e-6
        ("cait_m48_448", 48, 1e-6),
        ("cait_xxs24_224", 12, 0.1),
        ("cait_xxs36_224", 24, 1e-5),
        ("cait_xxs24_224", 36, 1e-6),
    ],
)
def test_layer_scale_follows_the_depth(name: str, depth: int | None, scale: float) -> None:
    sizes = {"img_size": 16, "embed_dim": 16, "num_heads": 1}
    model = create_model(name, **sizes, **({} if depth is None else {"depth": depth}))
    assert float(model.blocks[0].gamma_1.detach()[0]) == pytest.approx(scale)
    assert float(model.blocks_token_only[1].gamma_2.detach()[0]) == pytest.approx(scale)


def config_of(**values: Any) -> ModelConfig:
    section = {"name": DISTILLED, **SMALL, **values}
    return resolve(parse_run_config({"data": {"source": "digits"}, "model": section})).model


def test_a_config_decides_all_of_it() -> None:
    config = config_of(depth_token_only=1, init_scale=0.2, fusion="softmax", drop_path_rate=0.3)
    model = build_model(config, num_classes=10, seed=0)
    assert isinstance(model, DistilledCait)
    assert len(model.blocks_token_only) == 1
    assert float(model.blocks[1].gamma_2.detach()[3]) == pytest.approx(0.2)
    assert model.fusion == "softmax"
    assert [block.drop_path1.rate for block in model.blocks] == [0.3] * 3
    assert model.eval()(images()).shape == (3, 10)


def test_fan_in_keeps_the_variance_of_every_linear_layer() -> None:
    config = config_of(init="fan_in", embed_dim=64, num_heads=16, init_scale=0.1)
    model = build_model(config, num_classes=100, seed=0)
    for name, inputs in {
        "patch_embed.proj": 16,
        "blocks.0.attn.qkv": 64,
        "blocks.0.attn.proj_l": 16,
        "blocks.2.attn.proj_w": 16,
        "blocks_token_only.1.attn.k": 64,
        "blocks_token_only.0.mlp.fc2": 256,
        "head_dist": 64,
    }.items():
        layer = model.get_submodule(name)
        spread = float(layer.weight.detach().std())
        assert spread == pytest.approx(inputs**-0.5, rel=0.15), name
        assert not layer.bias.detach().any()
    assert float(model.get_parameter("dist_token").detach().std()) == pytest.approx(0.02, rel=0.3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"depth_token_only": 0}, "depth_token_only is 0; give a positive whole number"),
        ({"init_scale": -1e-5}, "init_scale is -1e-05; give a positive number"),
        ({"widht": 3}, "has no 'widht' to override; valid: patch_size.*init_scale"),
        ({"embed_dim": 50}, "embed_dim 50 is no multiple of num_heads 4"),
    ],
)
def test_settings_that_cannot_be(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        create_model(PLAIN, **values)
