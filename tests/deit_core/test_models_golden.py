"""Our DeiT and CaiT compute what the reference computes: logits, tokens, gradients, sizes."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import pytest
import torch
from golden_models import FORWARD, REFERENCE, fill, golden_case, hashed_image
from torch import Tensor, nn

from deit_core.models import DistilledLogits, TokenClassifier, create_model, fuse, head_logits
from deit_core.models.vit import drop_path_rates
from deit_core.variants import ORIGINAL_NAMES, VARIANTS


def close(actual: Tensor, expected: Tensor, atol: float = 2e-5) -> None:
    torch.testing.assert_close(actual, expected, atol=atol, rtol=1e-4)


def record_outputs(model: TokenClassifier) -> dict[str, Tensor]:
    """Fills with what each named part puts out in the next forward pass."""
    parts: dict[str, nn.Module] = {
        "tokens_after_pos": model.pos_drop,
        "tokens_after_block0": model.blocks[0],
        "tokens_after_last_block": model.blocks[-1],
        "tokens_after_norm": model.norm,
    }
    for index, block in enumerate(getattr(model, "blocks_token_only", ())):
        parts[f"cls_after_blocks_token_only_{index}"] = block
    outputs: dict[str, Tensor] = {}
    for name, part in parts.items():
        part.register_forward_hook(lambda _, __, out, name=name: outputs.update({name: out}))
    return outputs


@pytest.mark.parametrize("case_id", FORWARD)
def test_logits_and_tokens_equal_the_references(case_id: str) -> None:
    model, expected = golden_case(case_id)
    outputs = record_outputs(model)
    with torch.no_grad():
        close(model.eval()(expected["x"]), expected["eval_logits"])
    named = {name for name in expected if name.startswith(("tokens_after", "cls_after"))}
    assert outputs.keys() == named
    for name, tokens in outputs.items():
        computed = tokens.shape[1]  # patches that no head reads are not computed at the end
        assert computed in (model.prefix_tokens, expected[name].shape[1])
        close(tokens, expected[name][:, :computed])


@pytest.mark.parametrize("case_id", FORWARD)
def test_logits_in_float64_tell_the_norms_eps_and_the_exact_gelu(case_id: str) -> None:
    """A LayerNorm eps of 1e-5 moves them by 1e-5 or more, tanh GELU by 2e-4."""
    model, expected = golden_case(case_id)
    with torch.no_grad():
        logits = model.double().eval()(expected["x"].double())
    torch.testing.assert_close(logits, expected["eval_logits_f64"], atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("case_id", FORWARD)
def test_gradients_equal_the_references(case_id: str) -> None:
    model, expected = golden_case(case_id)
    output = model.train()(expected["x"])
    if isinstance(output, DistilledLogits):
        close(output.cls_logits, expected["train_cls_logits"])
        close(output.dist_logits, expected["train_dist_logits"])
        loss = (output.cls_logits * expected["probe_cls"]).sum()
        loss = loss + (output.dist_logits * expected["probe_dist"]).sum()
    else:
        close(output, expected["train_logits"])
        loss = (output * expected["probe"]).sum()
    loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    norms = FORWARD[case_id]["grad_l2"]
    assert gradients.keys() == norms.keys()
    for name, norm in norms.items():
        # What a softmax cancels, as the biases of keys and of proj_l, has rounding for a gradient.
        assert float(gradients[name].norm()) == pytest.approx(norm, rel=1e-4, abs=1e-5), name
    whole = {k.removeprefix("grad/"): v for k, v in expected.items() if k.startswith("grad/")}
    assert whole
    for name, gradient in whole.items():
        close(gradients[name], gradient, atol=2e-5 * max(1.0, float(gradient.abs().max())))


DISTILLED = [case_id for case_id, case in FORWARD.items() if "argmax_softmax_sum" in case]


@pytest.mark.parametrize("case_id", DISTILLED)
@pytest.mark.parametrize("fusion", ["logits", "softmax"])
def test_both_fusions_equal_the_references_and_the_papers(case_id: str, fusion: Any) -> None:
    model, expected = golden_case(case_id, fusion=fusion)
    with torch.no_grad():
        fused = model.eval()(expected["x"])
    heads = head_logits(model, expected["x"])
    close(fuse(expected["train_cls_logits"], expected["train_dist_logits"], fusion), fused)
    close(heads.cls_logits, expected["train_cls_logits"])
    if fusion == "logits":
        assert fused.argmax(1).tolist() == FORWARD[case_id]["argmax_logit_average"]
    else:
        close(2 * fused.exp(), expected["softmax_sum_paper_fusion"])
        assert fused.argmax(1).tolist() == FORWARD[case_id]["argmax_softmax_sum"]


@pytest.mark.parametrize("case", REFERENCE["fill"], ids=lambda case: case["id"])
def test_a_published_size_computes_the_references_logits(case: dict[str, Any]) -> None:
    with torch.device("meta"):
        empty = create_model(case["model"])
    model = empty.to_empty(device="cpu")
    fill(model, case["salt"])
    image = hashed_image(case["img_size"], case["salt"])
    with torch.no_grad():
        heads = head_logits(model.eval(), image)
        logits = model(image)[0] if "train_cls_first8" in case else heads.cls_logits[0]
    close(logits[:8], torch.tensor(case["first8"]), atol=2e-4)
    assert int(logits.argmax()) == case["argmax"]
    assert float(logits.norm()) == pytest.approx(case["l2"], rel=1e-4)
    assert float(logits.mean()) == pytest.approx(case["mean"], abs=1e-5)
    assert float(logits.std()) == pytest.approx(case["std"], rel=1e-4)
    if heads.dist_logits is not None:
        close(heads.cls_logits[0, :8], torch.tensor(case["train_cls_first8"]), atol=2e-4)
        close(heads.dist_logits[0, :8], torch.tensor(case["train_dist_first8"]), atol=2e-4)
    if "first8_f64" in case:
        expected = torch.tensor(case["first8_f64"], dtype=torch.float64)
        with torch.no_grad():
            exact = model.double()(image.double())[0, :8]
        torch.testing.assert_close(exact, expected, atol=1e-11, rtol=0)


# shapes -----------------------------------------------------------------------------------------


@cache
def shapes_of(name: str) -> dict[str, list[int]]:
    """Of every tensor in the state dict, all of them parameters; none is allocated."""
    with torch.device("meta"):
        state = create_model(name).state_dict()
    return {key: list(tensor.shape) for key, tensor in state.items()}


def parameters_of(name: str) -> int:
    return sum(math.prod(shape) for shape in shapes_of(name).values())


@pytest.mark.parametrize("original", REFERENCE["variants"], ids="all_variants-{}".format)
def test_sizes_are_the_published_ones(original: str) -> None:
    name = ORIGINAL_NAMES.get(original, original)
    assert [parameters_of(name), len(shapes_of(name))] == REFERENCE["variants"][original]


def test_every_variant_is_a_published_one_or_distils_one() -> None:
    published = {ORIGINAL_NAMES.get(name, name) for name in REFERENCE["variants"]}
    ours = {name for name in VARIANTS if name not in published}
    assert ours == {name for name in VARIANTS if name.startswith("cait") and "distilled" in name}
    assert {name.replace("_distilled", "") for name in ours} == {
        name for name in published if name.startswith("cait")
    }


@pytest.mark.parametrize("name", [n for n in VARIANTS if "cait" in n and "distilled" in n])
def test_a_distilled_cait_has_one_token_and_one_head_more(name: str) -> None:
    width, classes = VARIANTS[name].embed_dim, 1000
    plain = name.replace("_distilled", "")
    assert parameters_of(name) == parameters_of(plain) + width + (width + 1) * classes
    more = {"dist_token": [1, 1, width], "head_dist.weight": [classes, width]}
    assert shapes_of(name) == shapes_of(plain) | more | {"head_dist.bias": [classes]}


@pytest.mark.parametrize("original", REFERENCE["state_dict"], ids="all_variants-{}".format)
def test_state_dict_keys_and_shapes_are_the_published_ones(original: str) -> None:
    assert shapes_of(original) == REFERENCE["state_dict"][original]


# stochastic depth and initial weights ----------------------------------------------------------


def rates_of(model: TokenClassifier) -> list[float]:
    rates = [block.drop_path1.rate for block in model.blocks]
    assert rates == [block.drop_path2.rate for block in model.blocks]
    return rates


@pytest.mark.parametrize(("last", "depth"), [(0.1, 12), (0.2, 24)], ids=["dpr-12", "dpr-24"])
def test_stochastic_depth_rises_linearly_from_zero(last: float, depth: int) -> None:
    expected = REFERENCE["drop_path_rates"][f"deit rate{last} depth{depth}"]
    assert drop_path_rates(last, depth) == pytest.approx(expected, abs=1e-7)
    model = create_model("deit_tiny_patch16_224", depth=depth, embed_dim=3, drop_path_rate=last)
    assert rates_of(model) == drop_path_rates(last, depth)


def test_stochastic_depth_of_cait_is_the_same_in_every_self_attention_block() -> None:
    model = create_model("cait_xxs24_224", depth=4, embed_dim=4, drop_path_rate=0.1)
    assert rates_of(model) == REFERENCE["drop_path_rates"]["cait rate0.1 depth4"]
    assert REFERENCE["drop_path_rates"]["cait token_only"] == [0.0, 0.0]
    noisy = [m for m in model.blocks_token_only.modules() if getattr(m, "rate", 0.0) != 0.0]
    assert noisy == []


def test_one_block_has_no_stochastic_depth() -> None:
    assert drop_path_rates(0.3, 1) == [0.0]


@pytest.mark.parametrize("original", REFERENCE["init"])
def test_initial_weights_are_spread_as_the_references(original: str) -> None:
    torch.manual_seed(0)
    state = create_model(original).state_dict()
    for name, expected in REFERENCE["init"][original].items():
        tensor = state[name]
        # Standard errors: a few numbers are spread by chance otherwise than in the reference.
        chance = 4 * expected["std"] * (2 / tensor.numel()) ** 0.5
        std, mean = float(tensor.std(correction=0)), float(tensor.mean())
        assert std == pytest.approx(
            expected["std"], abs=1e-9 + max(chance, 0.05 * expected["std"])
        ), name
        assert mean == pytest.approx(expected["mean"], abs=1e-9 + 2 * chance), name
        if name.startswith("patch_embed"):
            assert float(tensor.abs().max()) <= (3 * 16 * 16) ** -0.5
