"""Schedule, parameter groups and the moving average."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from deit_core.config import OptimConfig, RunConfig, parse_run_config
from deit_core.optim.ema import ModelEma
from deit_core.optim.params import build_optimizer, parameter_groups
from deit_core.optim.schedule import Schedule, peak_lr


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


def test_a_head_without_gradient_is_left_alone() -> None:
    model = nn.ModuleDict({"used": nn.Linear(2, 2), "unused": nn.Linear(2, 2)})
    before = model["unused"].weight.detach().clone()
    optimizer = build_optimizer(model, OptimConfig(lr=0.1))
    model["used"](torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert torch.equal(model["unused"].weight, before)


def test_the_average_follows_its_formula() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    ema = ModelEma(model, 0.9)
    expected = {key: value.clone() for key, value in model.state_dict().items()}
    for _ in range(3):
        with torch.no_grad():
            model[0].weight.add_(torch.randn(3, 3))
        model(torch.randn(4, 3))
        ema.update()
        for key, value in model.state_dict().items():
            if value.is_floating_point():
                expected[key] = 0.9 * expected[key] + (1 - 0.9) * value
            else:
                expected[key] = value.clone()
    for key, value in ema.model.state_dict().items():
        torch.testing.assert_close(value, expected[key], rtol=1e-6, atol=1e-7)
    assert not ema.model.training
