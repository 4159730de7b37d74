"""Schedule, parameter groups and the moving average."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from deit_core.config import OptimConfig, RunConfig, parse_run_config
from deit_core.models import create_model
from deit_core.optim.ema import ModelEma
from deit_core.optim.params import build_optimizer, parameter_groups
from deit_core.optim.schedule import Schedule, epoch_learning_rate, peak_lr

GOLDEN = Path(__file__).parents[1] / "golden"
REFERENCE: dict[str, Any] = json.loads((GOLDEN / "recipe.json").read_text())
TENSORS = load_file(GOLDEN / "recipe.safetensors")


def cases(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", REFERENCE[kind], ids=lambda case: case["id"])


def config(**optim: object) -> RunConfig:
    return parse_run_config(
        {
            "data": {"source": "digits"},
            "optim": {"lr": 1e-3, "lr_reference_batch_size": None, **optim},
            "train": {"duration": "100step", "global_batch_size": 256},
        }
    )


def test_the_rate_scales_with_the_batch() -> None:
    assert peak_lr(OptimConfig(lr=5e-4), 1024) == 1e-3
    assert peak_lr(OptimConfig(lr=5e-4, lr_reference_batch_size=None), 1024) == 5e-4


def test_warm_up_then_cosine_to_the_last_step() -> None:
    schedule = Schedule(config(warmup="10step"), steps_per_epoch=10, total_steps=100)
    assert schedule(0) == 1e-6
    assert schedule(5) == pytest.approx((1e-6 + 1e-3) / 2)
    assert schedule(10) == pytest.approx(1e-3)
    middle = 10 + 89 / 2
    cosine = 1e-5 + 0.5 * (1e-3 - 1e-5) * (1 + math.cos(math.pi * (54 - 10) / 89))
    assert schedule(54) == pytest.approx(cosine)
    assert schedule(54) > 1e-5 + 0.5 * (1e-3 - 1e-5) > schedule(55), middle
    assert schedule(99) == pytest.approx(1e-5)


def test_the_rate_never_rises_after_the_warm_up() -> None:
    schedule = Schedule(config(warmup="1ep", min_lr=0.5), steps_per_epoch=10, total_steps=100)
    rates = [schedule(step) for step in range(10, 100)]
    assert rates == sorted(rates, reverse=True)


# The reference's schedule


def reference_schedule(case: dict[str, Any], steps_per_epoch: int = 7) -> Schedule:
    values = {key: case[key] for key in ("lr", "warmup_lr", "min_lr")}
    duration = {"schedule": "deit", "warmup": f"{case['warmup_epochs']}ep"}
    total = case["epochs"] * steps_per_epoch
    return Schedule(config(**values, **duration), steps_per_epoch, total)


@cases("lr_schedule")
def test_rates_by_epoch_equal_the_schedulers(case: dict[str, Any]) -> None:
    optim = config(**{key: case[key] for key in ("warmup_lr", "min_lr")}).optim
    sizes = {"epochs": case["epochs"], "warmup_epochs": case["warmup_epochs"]}
    for epoch, expected in enumerate(TENSORS[f"{case['id']}/schedule"].tolist()):
        rate = epoch_learning_rate(epoch, peak=case["lr"], optim=optim, **sizes)
        assert rate == pytest.approx(expected, abs=1e-12)


@cases("lr_schedule")
def test_rates_of_a_run_are_those_of_the_references_loop(case: dict[str, Any]) -> None:
    schedule = reference_schedule(case)
    for epoch, expected in enumerate(TENSORS[f"{case['id']}/loop_lr_per_epoch"].tolist()):
        rates = [schedule(step) for step in range(7 * epoch, 7 * (epoch + 1))]
        assert rates == pytest.approx([expected] * 7, abs=1e-12)


@cases("lr_schedule")
def test_a_resumed_run_goes_on_where_the_reference_skips_a_value(case: dict[str, Any]) -> None:
    """The reference resumes at the value after the one that was due; ours has no state to lose."""
    start = case["resume_start_epoch"]
    resumed = TENSORS[f"{case['id']}/loop_lr_after_resume"].tolist()
    schedule = reference_schedule(case)
    assert schedule(7 * (start + 1)) == pytest.approx(resumed[0], abs=1e-12)
    uninterrupted = TENSORS[f"{case['id']}/loop_lr_per_epoch"].tolist()
    assert schedule(7 * start) == pytest.approx(uninterrupted[start], abs=1e-12)


def test_durations_in_steps_count_as_whole_epochs_in_the_references_schedule() -> None:
    values: dict[str, Any] = {"schedule": "deit"}
    in_steps = Schedule(config(warmup="11step", **values), steps_per_epoch=10, total_steps=95)
    in_epochs = Schedule(config(warmup="2ep", **values), steps_per_epoch=10, total_steps=100)
    assert [in_steps(step) for step in range(95)] == [in_epochs(step) for step in range(95)]


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 4))
        self.dist_token = nn.Parameter(torch.zeros(1, 1, 4))
        self.pos_embed = nn.Parameter(torch.zeros(1, 3, 4))
        self.fc = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)

    def no_weight_decay(self) -> set[str]:
        return {"cls_token", "pos_embed"}


def test_what_is_decayed_is_what_the_reference_decays() -> None:
    model = Toy()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    plain, decayed = parameter_groups(model, 0.05)
    assert {names[id(p)] for p in decayed["params"]} == {"dist_token", "fc.weight"}  # type: ignore[attr-defined]
    assert len(plain["params"]) == 5  # type: ignore[arg-type]
    assert (plain["weight_decay"], decayed["weight_decay"]) == (0.0, 0.05)


@cases("wd_groups")
def test_groups_of_the_published_models_equal_the_references(case: dict[str, Any]) -> None:
    model = create_model(case["model"])
    patterns = {id(p): re.sub(r"\d+", "N", name, count=1) for name, p in model.named_parameters()}
    optimizer = build_optimizer(model, OptimConfig())
    plain, decayed = (group["params"] for group in optimizer.param_groups)
    assert [len(plain), len(decayed)] == case["counts"]
    assert [group["weight_decay"] for group in optimizer.param_groups] == case["decay_values"]
    assert sorted({patterns[id(p)] for p in plain}) == case["no_decay_patterns"]
    assert sorted({patterns[id(p)] for p in decayed}) == case["decay_patterns"]
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.defaults["betas"] == tuple(case["betas"])
    assert (optimizer.defaults["eps"], optimizer.defaults["lr"]) == (case["eps"], case["lr"])


@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_sgd_takes_the_nesterov_steps_of_its_formula(momentum: float) -> None:
    model = nn.Linear(2, 1, bias=False)
    weight, velocity = model.weight.detach().clone(), torch.zeros(1, 2)
    optim = OptimConfig(name="sgd", lr=0.1, weight_decay=0.01, momentum=momentum)
    optimizer = build_optimizer(model, optim)
    for step in range(3):
        inputs = torch.tensor([[1.0, step - 1.0]])
        optimizer.zero_grad()
        model(inputs).sum().backward()
        optimizer.step()
        gradient = inputs + 0.01 * weight
        velocity = momentum * velocity + gradient
        weight = weight - 0.1 * (gradient + momentum * velocity)
    torch.testing.assert_close(model.weight.detach(), weight)


def test_sgd_decays_the_same_parameters_as_adamw() -> None:
    model = Toy()
    groups = [build_optimizer(model, OptimConfig(name=n)).param_groups for n in ("sgd", "adamw")]
    for sgd, adamw in zip(*groups, strict=True):
        assert sgd["weight_decay"] == adamw["weight_decay"]
        assert list(map(id, sgd["params"])) == list(map(id, adamw["params"]))


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_a_head_without_gradient_is_left_alone(name: str) -> None:
    model = nn.ModuleDict({"used": nn.Linear(2, 2), "unused": nn.Linear(2, 2)})
    before = model["unused"].weight.detach().clone()
    optimizer = build_optimizer(model, OptimConfig(name=name, lr=0.1))
    model["used"](torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert torch.equal(model["unused"].weight, before)


# The moving average


@cases("ema")
def test_averages_equal_the_references(case: dict[str, Any]) -> None:
    """Also BatchNorm's count of batches, which is cut off to whole numbers."""
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))

    def state(part: str) -> dict[str, torch.Tensor]:
        prefix = f"{case['id']}/{part}/"
        return {k.removeprefix(prefix): v for k, v in TENSORS.items() if k.startswith(prefix)}

    model.load_state_dict(state("init"))
    ema = ModelEma(model, case["decay"])
    updates = [key for key in TENSORS if re.fullmatch(rf"{case['id']}/model\d/0.bias", key)]
    assert len(updates) >= 3
    for number in range(len(updates)):
        model.load_state_dict(state(f"model{number}"))
        ema.update()
        for key, expected in state(f"ema{number}").items():
            average = ema.model.state_dict()[key]
            torch.testing.assert_close(average, expected, rtol=0, atol=1e-6)
    assert not ema.model.training


class Windowed(nn.Module):
    """Whole numbers as in Swin: a table of indices, in the state dict or not, and a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.second = nn.Linear(2, 2)
        self.second.weight = self.first.weight
        table = torch.cat((torch.arange(-50, 4000), torch.tensor([2**24 + 1, 2**40 + 1])))
        self.register_buffer("index", table)
        self.register_buffer("derived_index", table.clone(), persistent=False)
        self.register_buffer("derived_scale", torch.ones(3), persistent=False)
        self.register_buffer("mask", table > 7)


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.999, 0.9999, 0.99996, 0.99999])
def test_constants_stay_as_they_are(decay: float) -> None:
    """Cut off at each step, as by the reference, some would count down at some decays."""
    model = Windowed()
    ema = ModelEma(model, decay)
    for _ in range(20):
        ema.update()
    for name, buffer in model.named_buffers():
        assert torch.equal(ema.model.get_buffer(name), buffer), name


def test_buffers_outside_the_state_dict_are_left_alone() -> None:
    model = Windowed()
    ema = ModelEma(model, 0.5)
    model.get_buffer("derived_scale").fill_(9)
    model.get_buffer("derived_index").fill_(9)
    ema.update()
    fresh = Windowed()
    for name in ("derived_scale", "derived_index"):
        assert torch.equal(ema.model.get_buffer(name), fresh.get_buffer(name))


def test_tied_weights_are_averaged_once() -> None:
    model = Windowed()
    ema = ModelEma(model, 0.5)
    before = model.first.weight.detach().clone()
    with torch.no_grad():
        model.first.weight.add_(1)
    ema.update()
    torch.testing.assert_close(ema.model.get_parameter("second.weight"), before + 0.5)
