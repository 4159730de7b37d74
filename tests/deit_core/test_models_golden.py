"""Our DeiT computes what the reference computes: logits, tokens, gradients, names, sizes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from deit_core.models import DistilledLogits, VisionTransformer, create_model
from deit_core.models.vit import drop_path_rates
from deit_core.variants import VARIANTS

GOLDEN = Path(__file__).parents[1] / "golden"
REFERENCE: dict[str, Any] = json.loads((GOLDEN / "models.json").read_text())
FORWARD = {case["id"]: case for case in REFERENCE["forward"]}


def golden_case(case_id: str) -> tuple[VisionTransformer, dict[str, Tensor]]:
    """The small model of a case with its weights, and the case's other tensors."""
    prefix = f"{case_id}/"
    tensors = {
        name.removeprefix(prefix): tensor
        for name, tensor in load_file(GOLDEN / "models.safetensors").items()
        if name.startswith(prefix)
    }
    sizes = {k: v for k, v in FORWARD[case_id]["config"].items() if k not in ("arch", "qkv_bias")}
    kind = "deit_tiny_patch16_224" if "plain" in case_id else "deit_tiny_distilled_patch16_224"
    model = create_model(kind, **sizes)
    weights = {k.removeprefix("w/"): v for k, v in tensors.items() if k.startswith("w/")}
    model.load_state_dict(weights)
    return model, {k: v for k, v in tensors.items() if not k.startswith("w/")}


def close(actual: Tensor, expected: Tensor, atol: float = 2e-5) -> None:
    torch.testing.assert_close(actual, expected, atol=atol, rtol=1e-4)


@pytest.mark.parametrize("case_id", FORWARD)
def test_logits_and_tokens_equal_the_references(case_id: str) -> None:
    model, expected = golden_case(case_id)
    with torch.no_grad():
        close(model.eval()(expected["x"]), expected["eval_logits"])
        tokens = model.forward_tokens(expected["x"])
        close(tokens, expected["tokens_after_norm"][:, : model.prefix_tokens])
        patches = model.patch_embed(expected["x"])
        after_pos = torch.cat([t.expand(3, -1, -1) for t in model.prefix()] + [patches], dim=1)
        close(after_pos + model.pos_embed, expected["tokens_after_pos"])


@pytest.mark.parametrize("case_id", FORWARD)
def test_logits_in_float64_tell_the_norms_eps_and_the_exact_gelu(case_id: str) -> None:
    """A LayerNorm eps of 1e-5 moves them by 2e-5 or more, tanh GELU by 4e-4."""
    model, expected = golden_case(case_id)
    with torch.no_grad():
        logits = model.double().eval()(expected["x"].double())
    torch.testing.assert_close(logits, expected["eval_logits_f64"], atol=1e-9, rtol=1e-9)


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
    for name, norm in FORWARD[case_id]["grad_l2"].items():
        assert float(gradients[name].norm()) == pytest.approx(norm, rel=1e-4), name
    whole = {k.removeprefix("grad/"): v for k, v in expected.items() if k.startswith("grad/")}
    assert whole
    for name, gradient in whole.items():
        close(gradients[name], gradient, atol=2e-4)


def test_the_heads_are_fused_by_their_logits() -> None:
    """Not by their softmax, as the paper's text: this case tells the two apart."""
    case = FORWARD["deit_distilled_a"]
    assert case["argmax_logit_average"] != case["argmax_softmax_sum"]
    model, expected = golden_case("deit_distilled_a")
    assert model.eval()(expected["x"]).argmax(1).tolist() == case["argmax_logit_average"]


def hashed_numbers(count: int, key: int, salt: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Numbers in [-1, 1) from an integer hash, the same on every machine."""
    mask, i = np.uint64(0xFFFFFFFF), np.arange(count, dtype=np.uint64)
    start = np.uint64(((key + 1) * 2654435769 + salt * 1013904223) & 0xFFFFFFFF)
    v = (i * i * np.uint64(747796405) + i * np.uint64(2891336453) + start) & mask
    v = ((v ^ (v >> np.uint64(15))) * np.uint64(2246822519)) & mask
    v = ((v ^ (v >> np.uint64(13))) * np.uint64(3266489917)) & mask
    return (v ^ (v >> np.uint64(16))).astype(np.float64) / 2**31 - 1


def fill(model: nn.Module, salt: int) -> None:
    """Weights by formula: 0.05 x hash, plus 1 for the weights of norms."""
    state = model.state_dict()
    for key, name in enumerate(sorted(state)):
        values = 0.05 * hashed_numbers(state[name].numel(), key, salt)
        if name.endswith(".weight") and name.split(".")[-2].startswith("norm"):
            values += 1.0
        state[name].copy_(torch.from_numpy(values).reshape(state[name].shape))


@pytest.mark.parametrize("case", REFERENCE["fill"], ids=lambda case: case["model"])
def test_a_published_size_computes_the_references_logits(case: dict[str, Any]) -> None:
    model = create_model(case["model"])
    fill(model, case["salt"])
    pixels = 2.0 * hashed_numbers(3 * 224 * 224, 10_000, case["salt"])
    image = torch.from_numpy(pixels).float().reshape(1, 3, 224, 224)
    with torch.no_grad():
        logits = model.eval()(image)[0]
        close(logits[:8], torch.tensor(case["first8"]), atol=2e-4)
        assert int(logits.argmax()) == case["argmax"]
        assert float(logits.norm()) == pytest.approx(case["l2"], rel=1e-4)
        if "train_cls_first8" in case:
            heads = model.train()(image)
            close(heads.cls_logits[0, :8], torch.tensor(case["train_cls_first8"]), atol=2e-4)
            close(heads.dist_logits[0, :8], torch.tensor(case["train_dist_first8"]), atol=2e-4)


@pytest.mark.parametrize("name", VARIANTS)
def test_parameter_counts_are_the_published_ones(name: str) -> None:
    with torch.device("meta"):
        model = create_model(name)
    assert sum(p.numel() for p in model.parameters()) == REFERENCE["parameters"][name]


@pytest.mark.parametrize("name", REFERENCE["state_dict"])
def test_state_dict_keys_and_shapes_are_the_published_ones(name: str) -> None:
    with torch.device("meta"):
        state = create_model(name).state_dict()
    shapes = {key: list(tensor.shape) for key, tensor in state.items()}
    assert shapes == REFERENCE["state_dict"][name]


@pytest.mark.parametrize(("last", "depth"), [(0.1, 12), (0.2, 24)])
def test_stochastic_depth_rises_linearly_from_zero(last: float, depth: int) -> None:
    expected = REFERENCE["drop_path_rates"][f"deit rate{last} depth{depth}"]
    assert drop_path_rates(last, depth) == pytest.approx(expected, abs=1e-7)
    model = create_model("deit_tiny_patch16_224", depth=depth, embed_dim=3, drop_path_rate=last)
    assert [block.drop_path1.rate for block in model.blocks] == drop_path_rates(last, depth)
    assert [block.drop_path2.rate for block in model.blocks] == drop_path_rates(last, depth)


def test_one_block_has_no_stochastic_depth() -> None:
    assert drop_path_rates(0.3, 1) == [0.0]
