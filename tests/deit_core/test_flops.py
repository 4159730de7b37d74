"""Formulas for arithmetic, parameters and activations, against the models themselves."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from deit_core.config import parse_run_config
from deit_core.flops import BACKWARD, named_cost, student_cost, teacher_cost
from deit_core.flops_convnet import _TABLE
from deit_core.identity import resolve
from deit_core.models import build_model
from deit_core.models.timm_models import create_timm_model

OWN = [
    {"name": "deit_tiny_patch16_224"},
    {"name": "deit_base_distilled_patch16_384", "img_size": 384},
    {"name": "cait_xxs24_224"},
    {"name": "deit_tiny_distilled_patch16_224", "img_size": 8, "patch_size": 2, "in_chans": 1,
     "embed_dim": 64, "depth": 4, "num_heads": 4},
    {"name": "cait_s24_distilled_224", "depth": 3, "depth_token_only": 1, "num_heads": 4,
     "embed_dim": 100, "mlp_ratio": 2.5, "patch_size": 32},
]  # fmt: skip
TIMMS = [
    {"name": "resnet10t", "img_size": 8, "in_chans": 1},
    {"name": "resnet10t", "img_size": 28, "in_chans": 1},
    {"name": "resnet14t"},
    {"name": "resnet34", "img_size": 96},
    {"name": "resnet50", "img_size": 65},
    {"name": "vit_small_patch32_224"},
]


def config_of(model, **sections):
    model = {"img_size": 224, "in_chans": 3, "num_classes": 10} | model
    return parse_run_config({"data": {"source": "digits"}, "model": model} | sections)


def on_meta(config):
    with torch.device("meta"):
        model = build_model(resolve(config).model, num_classes=10, seed=0)
    return model.to("meta").eval()


def parameters_of(model):
    return sum(parameter.numel() for parameter in model.parameters())


def counted_macs(model, channels, side):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, channels, side, side, device="meta"))
    return counter.get_total_flops() / 2


@pytest.mark.parametrize("model", OWN + TIMMS, ids=lambda model: model["name"])
def test_formulas_are_exact(model):
    config = config_of(model)
    built, cost = on_meta(config), student_cost(config)
    resolved = resolve(config).model
    assert cost.parameters == parameters_of(built)
    assert cost.macs == counted_macs(built, resolved.in_chans, resolved.img_size)


def test_backward_is_two_forwards():
    model = on_meta(config_of(OWN[0])).train()
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, 224, 224, device="meta")).sum().backward()
    forward = student_cost(config_of(OWN[0])).macs * 2
    assert counter.get_total_flops() / forward - 1 == pytest.approx(BACKWARD, rel=0.02)


@pytest.mark.parametrize(
    ("name", "giga_macs", "mega_parameters", "rel"),
    [
        # timm's results/model_metadata-in1k.csv
        ("deit_tiny_patch16_224", 1.26, 5.72, 0.01),
        ("deit_small_patch16_224", 4.61, 22.05, 0.01),
        ("deit_base_patch16_224", 17.58, 86.57, 0.01),
        ("vit_large_patch16_224", 61.60, 304.33, 0.01),
        # arXiv 2103.17239, Table 1, in FLOPs as its authors count them: multiply-adds
        ("cait_xxs24_224", 2.5, 12.0, 0.02),
        ("cait_xxs36_224", 3.8, 17.3, 0.02),
        ("cait_xs24_384", 19.3, 26.6, 0.02),
        ("cait_s24_224", 9.4, 46.9, 0.02),
        # arXiv 1512.03385, Table 1
        ("resnet18", 1.8, 11.69, 0.02),
        ("resnet50", 4.1, 25.56, 0.08),
        # arXiv 2003.13678, Table 4
        ("regnety_160.deit_in1k", 15.9, 83.6, 0.01),
        ("regnety_040", 4.0, 20.6, 0.01),
    ],
)
def test_published_sizes(name, giga_macs, mega_parameters, rel):
    side = int(name.rpartition("_")[2]) if name.endswith(("224", "384")) else 224
    cost = named_cost(name, img_size=side, in_chans=3, num_classes=1000, kwargs={})
    assert cost.macs / 1e9 == pytest.approx(giga_macs, rel=rel)
    assert cost.parameters / 1e6 == pytest.approx(mega_parameters, rel=0.01)


@pytest.mark.parametrize("name", ["regnety_016", "convnext_tiny", "efficientnet_b0"])
def test_the_table_says_what_timm_builds(name):
    assert name in _TABLE
    with torch.device("meta"):
        model = create_timm_model(name, {"num_classes": 10}).eval()
    cost = named_cost(name, img_size=192, in_chans=3, num_classes=10, kwargs={})
    assert cost.parameters == parameters_of(model)
    assert cost.macs == pytest.approx(counted_macs(model, 3, 192), rel=0.01)


def saved_numbers(model, images):
    """What autograd keeps for the backward pass, without the weights."""
    weights = {tensor.data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = tensor, storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model(images)
        output = output[0] + output[1] if isinstance(output, tuple) else output
        output.sum()
    return sum(size for _, size in kept.values()) / 4 / len(images)


@pytest.mark.parametrize(
    ("model", "rel"),
    [
        ({"name": "deit_tiny_patch16_224", "depth": 3}, 0.03),
        ({"name": "deit_tiny_distilled_patch16_224", "img_size": 64, "patch_size": 8}, 0.03),
        ({"name": "cait_xxs24_224", "img_size": 96, "depth": 3}, 0.03),
        ({"name": "resnet10t", "img_size": 32}, 0.2),
        ({"name": "regnety_008", "img_size": 64}, 0.15),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_activations_are_what_autograd_keeps(model, rel):
    config = config_of(model)
    if model["name"].startswith(("deit", "cait")):
        config = config_of(model | {"drop_path_rate": 0.0})
    built = build_model(resolve(config).model, num_classes=10, seed=0).train()
    side = resolve(config).model.img_size
    found = saved_numbers(built, torch.randn(2, 3, side, side))
    assert student_cost(config).activations == pytest.approx(found, rel=rel)


def test_what_no_formula_knows_is_unknown():
    assert student_cost(config_of({"name": "maxvit_tiny_tf_224"})) is None
    given = {"img_size": 224, "in_chans": 3, "num_classes": 10}
    assert named_cost("resnet18", kwargs={"width": 2}, **given) is None
    assert named_cost("resnet18", kwargs={"in_chans": 1}, **given) is not None


def test_teachers():
    plain = config_of(OWN[0])
    assert teacher_cost(plain) is None
    taught = config_of(
        OWN[0],
        teacher={"name": "regnety_160.deit_in1k", "pretrained": True},
        distill={"kind": "hard", "token": False},
    )
    assert teacher_cost(taught).macs == pytest.approx(15.9e9, rel=0.01)
    by_trial = config_of(
        OWN[0], teacher={"trial": "0" * 12}, distill={"kind": "hard", "token": False}
    )
    assert teacher_cost(by_trial) is None
    assert teacher_cost(by_trial, plain) == student_cost(plain)


def test_timms_vits_compute_the_whole_last_block():
    given = {"img_size": 224, "in_chans": 3, "num_classes": 10, "kwargs": {}}
    ours, theirs = student_cost(config_of(OWN[0])), named_cost(OWN[0]["name"], **given)
    assert theirs.parameters == ours.parameters
    assert 1.05 < theirs.macs / ours.macs < 1.1
