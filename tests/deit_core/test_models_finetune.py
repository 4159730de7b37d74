"""Weights fitted to another resolution, other classes, another token; misfits are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from golden_models import REFERENCE, golden_tensors
from torch import Tensor, nn

from deit_core.errors import CheckpointError
from deit_core.models import (
    Adaptation,
    TokenClassifier,
    create_model,
    head_logits,
    load_for_finetuning,
    resize_pos_embed,
    save_weights,
)

PLAIN = "deit_tiny_patch16_224"
DISTILLED = "deit_tiny_distilled_patch16_224"
CAIT = "cait_xxs24_224"
DISTILLED_CAIT = "cait_xxs24_distilled_224"
SMALL = {"patch_size": 4, "in_chans": 1, "embed_dim": 8, "depth": 2, "num_heads": 2}


def small(name: str, img_size: int | tuple[int, int] = 8, classes: int = 4) -> TokenClassifier:
    """A small model, every weight of it drawn anew."""
    model = create_model(name, num_classes=classes, img_size=img_size, **SMALL)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return model


def adapt(source: nn.Module, target: nn.Module, folder: Path, **options: Any) -> Adaptation:
    """Start the target from the source's weights."""
    save_weights(source, folder / "w.safetensors")
    return load_for_finetuning(target, folder / "w.safetensors", **options)


def differing(one: nn.Module, other: nn.Module) -> set[str]:
    """Names whose values are not equal in both, or are in one only."""
    left, right = one.state_dict(), other.state_dict()
    alone = left.keys() ^ right.keys()
    return alone | {k for k in left.keys() & right.keys() if not same(left[k], right[k])}


def same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one, other)


# the reference's vectors ------------------------------------------------------------------------

CASES = {case["id"]: case for case in REFERENCE["pos_embed"]}
BY_TOKENS = {0: CAIT, 1: PLAIN, 2: DISTILLED}


@pytest.mark.parametrize(
    "case_id", [case_id for case_id in CASES if "raises" not in CASES[case_id]]
)
def test_position_embeddings_are_resized_as_by_the_reference(case_id: str, tmp_path: Path) -> None:
    case, tensors = CASES[case_id], golden_tensors("pos_embed.safetensors", case_id)
    before, after = ((case[key],) * 2 for key in ("old_grid", "new_grid"))
    tokens, dim = case["extra_tokens_model"], tensors["pos_in"].shape[2]
    resized = resize_pos_embed(tensors["pos_in"], prefix_tokens=tokens, grid=after)
    torch.testing.assert_close(resized, tensors["pos_out"], atol=1e-5, rtol=0)

    sizes = SMALL | {"patch_size": 2, "embed_dim": dim}
    name, classes = BY_TOKENS[tokens], (case["ncls_ckpt"], case["ncls_model"])
    source = create_model(name, num_classes=classes[0], img_size=2 * before[0], **sizes)
    target = create_model(name, num_classes=classes[1], img_size=2 * after[0], **sizes)
    initial = target.head.weight.detach().clone()
    with torch.no_grad():
        source.pos_embed.copy_(tensors["pos_in"])
    adaptation = adapt(source, target, tmp_path)
    torch.testing.assert_close(target.pos_embed.detach(), tensors["pos_out"], atol=1e-5, rtol=0)
    assert adaptation.resized == (None if before == after else (before, after))
    assert bool(adaptation.reset_heads) == case["head_left_at_init"]
    assert torch.equal(target.head.weight, initial) == case["head_left_at_init"]
    assert same(target.head.weight, source.head.weight) == case["head_loaded"]


@pytest.mark.parametrize("case_id", [case_id for case_id in CASES if "raises" in CASES[case_id]])
def test_a_plain_checkpoint_for_a_distilled_model_is_adapted(case_id: str, tmp_path: Path) -> None:
    """Where the reference raises (`raises` says what)."""
    case, tensors = CASES[case_id], golden_tensors("pos_embed.safetensors", case_id)
    assert (case["extra_tokens_checkpoint"], case["extra_tokens_model"]) == (1, 2)
    side = 4 * case["old_grid"]
    source, target = small(PLAIN, side), small(DISTILLED, side)
    with torch.no_grad():
        source.pos_embed.copy_(tensors["pos_in"])
    assert adapt(source, target, tmp_path).distillation_token == "added"
    cls, patches = tensors["pos_in"][:, :1], tensors["pos_in"][:, 1:]
    assert torch.equal(target.pos_embed, torch.cat((cls, cls, patches), dim=1))


def test_equal_grids_give_the_input_back() -> None:
    pos_embed = torch.randn(1, 2 + 9, 4)
    assert resize_pos_embed(pos_embed, prefix_tokens=2, grid=(3, 3)) is pos_embed


def test_half_precision_is_resized_in_single() -> None:
    pos_embed = torch.randn(1, 1 + 16, 4)
    resized = resize_pos_embed(pos_embed.half(), prefix_tokens=1, grid=(6, 6))
    assert resized.dtype == torch.float16
    exact = resize_pos_embed(pos_embed.half().float(), prefix_tokens=1, grid=(6, 6))
    assert torch.equal(resized, exact.half())


# grids that are not square ----------------------------------------------------------------------


def ramp(rows: int, columns: int) -> Tensor:
    """Positions whose two numbers are their row and column, in [0, 1]: (1, rows * columns, 2)."""
    y = ((torch.arange(rows) + 0.5) / rows)[:, None].expand(rows, columns)
    x = ((torch.arange(columns) + 0.5) / columns).expand(rows, columns)
    return torch.stack((y, x), dim=-1).reshape(1, rows * columns, 2)


@pytest.mark.parametrize(("before", "after"), [((8, 8), (8, 16)), ((8, 8), (12, 9))])
def test_a_square_checkpoint_fits_other_shapes(
    before: tuple[int, int], after: tuple[int, int]
) -> None:
    resized = resize_pos_embed(ramp(*before), prefix_tokens=0, grid=after)
    torch.testing.assert_close(resized, ramp(*after), atol=0.03, rtol=0)  # flat at the borders


def test_a_source_that_is_not_square_is_named() -> None:
    resized = resize_pos_embed(ramp(8, 18), prefix_tokens=0, grid=(8, 9), source_grid=(8, 18))
    torch.testing.assert_close(resized, ramp(8, 9), atol=0.03, rtol=0)
    # 144 patches would else be taken for 12 x 12
    assumed = resize_pos_embed(ramp(8, 18), prefix_tokens=0, grid=(8, 9))
    assert not torch.allclose(assumed, ramp(8, 9), atol=0.1)


def test_as_many_patches_that_are_no_square_are_the_same_grid() -> None:
    pos_embed = torch.randn(1, 1 + 6, 4)
    assert resize_pos_embed(pos_embed, prefix_tokens=1, grid=(2, 3)) is pos_embed


@pytest.mark.parametrize(
    ("source_grid", "message"),
    [
        (None, "7 positions are 1 of tokens and 6 of patches, which are not a square; give source"),
        ((2, 2), "7 positions are 1 of tokens and 6 of patches, which are not 2 x 2; give source"),
    ],
)
def test_a_grid_that_cannot_be(source_grid: tuple[int, int] | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resize_pos_embed(
            torch.randn(1, 7, 4), prefix_tokens=1, grid=(4, 4), source_grid=source_grid
        )


@pytest.mark.parametrize("name", [PLAIN, DISTILLED, CAIT])
def test_as_many_patches_as_the_model_has_lie_as_the_model_s(name: str, tmp_path: Path) -> None:
    """Also where their number is a square: 2 x 8 patches are no 4 x 4."""
    source, target = small(name, (8, 32)), small(name, (8, 32))
    assert adapt(source, target, tmp_path) == Adaptation()
    assert differing(source, target) == set()
    assert resize_pos_embed(ramp(2, 8), prefix_tokens=0, grid=(2, 8)).equal(ramp(2, 8))
    named = resize_pos_embed(ramp(4, 4), prefix_tokens=0, grid=(2, 8), source_grid=(4, 4))
    assert not named.equal(ramp(4, 4))


def test_models_that_are_not_square_are_fine_tuned(tmp_path: Path) -> None:
    source, target = small(DISTILLED, (8, 12)), small(DISTILLED, (16, 12))
    with pytest.raises(CheckpointError, match=r"6 of patches, which are not a square; give source"):
        adapt(source, target, tmp_path)
    adaptation = adapt(source, target, tmp_path, source_grid=(2, 3))
    assert adaptation == Adaptation(resized=((2, 3), (4, 3)))
    assert differing(source, target) == {"pos_embed"}


# models -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [PLAIN, DISTILLED, CAIT, DISTILLED_CAIT])
def test_another_resolution_changes_the_position_embedding_alone(name: str, tmp_path: Path) -> None:
    source, target = small(name, 8), small(name, 16)
    adaptation = adapt(source, target, tmp_path)
    assert adaptation == Adaptation(resized=((2, 2), (4, 4)))
    assert str(adaptation) == "position embedding resized from 2x2 to 4x4 patches"
    assert differing(source, target) == {"pos_embed"}


@pytest.mark.parametrize("name", [PLAIN, DISTILLED, CAIT, DISTILLED_CAIT])
def test_a_model_of_the_same_shape_gets_all_weights(name: str, tmp_path: Path) -> None:
    source, target = small(name), small(name)
    adaptation = adapt(source, target, tmp_path)
    assert adaptation == Adaptation()
    assert str(adaptation) == "all weights as stored"
    assert differing(source, target) == set()


@pytest.mark.parametrize("name", [DISTILLED, DISTILLED_CAIT])
def test_other_classes_leave_the_heads_as_they_were_made(name: str, tmp_path: Path) -> None:
    source, target = small(name), small(name, classes=9)
    before = {key: value.clone() for key, value in target.state_dict().items()}
    adaptation = adapt(source, target, tmp_path)
    assert str(adaptation) == "new weights in head and head_dist"
    heads = {f"{head}.{part}" for head in ("head", "head_dist") for part in ("weight", "bias")}
    assert differing(source, target) == heads
    assert all(torch.equal(target.state_dict()[name], before[name]) for name in heads)


@pytest.mark.parametrize(("plain", "distilled"), [(PLAIN, DISTILLED), (CAIT, DISTILLED_CAIT)])
def test_a_distillation_token_starts_as_a_second_class_token(
    plain: str, distilled: str, tmp_path: Path
) -> None:
    source, target = small(plain, 8), small(distilled, 16)
    adaptation = adapt(source, target, tmp_path)
    assert adaptation == Adaptation(resized=((2, 2), (4, 4)), distillation_token="added")
    assert "distillation token started as a copy of the class token" in str(adaptation)
    heads = head_logits(target.eval(), torch.randn(3, 1, 16, 16))
    assert heads.dist_logits is not None
    torch.testing.assert_close(heads.dist_logits, heads.cls_logits)


def test_a_distillation_token_is_added_for_other_classes_too(tmp_path: Path) -> None:
    source, target = small(PLAIN), small(DISTILLED, classes=9)
    initial = target.get_parameter("head_dist.weight").detach().clone()
    adaptation = adapt(source, target, tmp_path)
    assert adaptation.reset_heads == ("head", "head_dist")
    assert adaptation.distillation_token == "added"
    assert torch.equal(target.get_parameter("head_dist.weight"), initial)


@pytest.mark.parametrize(("plain", "distilled"), [(PLAIN, DISTILLED), (CAIT, DISTILLED_CAIT)])
def test_a_distillation_token_is_dropped(plain: str, distilled: str, tmp_path: Path) -> None:
    source, target = small(distilled), small(plain)
    adaptation = adapt(source, target, tmp_path)
    assert str(adaptation) == "distillation token dropped"
    second = {"dist_token", "head_dist.weight", "head_dist.bias"}
    positions = {"pos_embed"} if plain == PLAIN else set()
    assert differing(source, target) == second | positions
    if positions:
        assert torch.equal(target.pos_embed[:, 0], source.pos_embed[:, 0])
        assert torch.equal(target.pos_embed[:, 1:], source.pos_embed[:, 2:])


@pytest.mark.parametrize("shape", [(8,), (5, 8), (2, 5, 8)])
def test_no_token_is_added_to_positions_of_another_shape(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    torch.save(small(PLAIN).state_dict() | {"pos_embed": torch.ones(shape)}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=r"pos_embed is|missing: dist_token"):
        load_for_finetuning(small(DISTILLED), tmp_path / "w.pth")


@pytest.mark.parametrize("name", [PLAIN, DISTILLED, CAIT, DISTILLED_CAIT])
def test_a_model_without_classes_takes_no_head(name: str, tmp_path: Path) -> None:
    source, target = small(name), small(name, classes=0)
    adaptation = adapt(source, target, tmp_path)
    heads = ("head", "head_dist") if name in (DISTILLED, DISTILLED_CAIT) else ("head",)
    assert adaptation == Adaptation(dropped_heads=heads)
    assert str(adaptation) == f"{' and '.join(heads)} dropped"
    parts = {f"{head}.{part}" for head in heads for part in ("weight", "bias")}
    assert differing(source, target) == parts


def test_a_timm_model_gets_new_classes_and_another_resolution(tmp_path: Path) -> None:
    from deit_core.models.timm_import import timm

    sizes = {"patch_size": 4, "embed_dim": 8, "depth": 1, "num_heads": 2}
    source = timm.create_model("vit_tiny_patch16_224", img_size=8, num_classes=4, **sizes)
    target = timm.create_model("vit_tiny_patch16_224", img_size=16, num_classes=9, **sizes)
    assert adapt(source, target, tmp_path) == Adaptation(((2, 2), (4, 4)), ("head",))
    assert differing(source, target) == {"pos_embed", "head.weight", "head.bias"}
    bare = timm.create_model("vit_tiny_patch16_224", img_size=8, num_classes=0, **sizes)
    assert adapt(source, bare, tmp_path) == Adaptation(dropped_heads=("head",))
    convnets = (timm.create_model("resnet10t", num_classes=classes) for classes in (4, 9))
    assert adapt(*convnets, tmp_path) == Adaptation(reset_heads=("fc",))


# errors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("norm.bias"), "1 missing: norm.bias"),
        (lambda s: s.pop("head.bias"), "1 missing: head.bias"),
        (lambda s: s.pop("pos_embed"), "1 missing: pos_embed"),
        (lambda s: s.update(extra=torch.ones(1)), "1 unexpected: extra"),
        (
            lambda s: s.update(cls_token=torch.ones(1, 1, 7)),
            r"1 of another shape: cls_token is \(1, 1, 7\), not \(1, 1, 8\)",
        ),
        (lambda s: s.update(pos_embed=torch.ones(5, 8)), r"pos_embed is \(5, 8\), not \(1, 5, 8\)"),
        (lambda s: s.update(pos_embed=torch.ones(8)), r"pos_embed is \(8,\), not \(1, 5, 8\)"),
        (
            lambda s: s.update(pos_embed=torch.ones(2, 10, 8)),
            r"pos_embed is \(2, 10, 8\), not \(1, 5, 8\)",
        ),
        (
            lambda s: s.update({"head.weight": torch.tensor(1.0)}),
            r"1 of another shape: head.weight is \(\), not \(4, 8\)",
        ),
        (lambda s: s.update(pos_embed=torch.ones(1, 0, 8)), "pos_embed: 0 positions are 1 of"),
        (lambda s: s.update(pos_embed=torch.ones(1, 4, 8)), "pos_embed: 4 positions are 1 of"),
    ],
)
def test_whatever_else_does_not_fit_is_named_and_nothing_is_loaded(
    change: Any, message: str, tmp_path: Path
) -> None:
    source, target = small(PLAIN), small(PLAIN)
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    state = dict(source.state_dict())
    change(state)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=message) as error:
        load_for_finetuning(target, tmp_path / "w.pth")
    assert "\n" not in str(error.value)
    assert str(tmp_path / "w.pth") in str(error.value)
    assert all(torch.equal(t, before[name]) for name, t in target.state_dict().items())


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (CAIT, PLAIN, r"unexpected: blocks\.0\.attn\.proj_l"),
        (CAIT, DISTILLED, r"unexpected: blocks\.0\.attn\.proj_l"),
        (PLAIN, CAIT, r"missing: blocks\.0\.gamma_1"),
        (DISTILLED, CAIT, r"missing: blocks\.0\.gamma_1"),
    ],
)
def test_another_family_is_refused(source: str, target: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=message):
        adapt(small(source), small(target), tmp_path)


def test_another_width_is_refused_although_the_heads_differ_too(tmp_path: Path) -> None:
    wide = create_model(PLAIN, num_classes=9, img_size=8, **(SMALL | {"embed_dim": 16}))
    with pytest.raises(CheckpointError, match=r"of another shape: cls_token is \(1, 1, 16\)"):
        adapt(wide, small(PLAIN), tmp_path)
