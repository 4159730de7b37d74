"""Parts of a predicted cost: intervals, power laws, schedules, devices, memory, disk."""

import io
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deit_core.config import parse_run_config
from deit_core.duration import parse_duration
from deit_core.identity import resolve
from deit_core.models import build_model
from deit_core.optim.params import build_optimizer
from deit_core.train.build import build_timetable
from launcher.cost.devices import UNKNOWN_GPU, find_gpu, gpu_flops
from launcher.cost.disk import disk_gib, free_gib
from launcher.cost.interval import LEVEL, Interval, total
from launcher.cost.makespan import makespan
from launcher.cost.memory import memory_gib, state_numbers
from launcher.cost.power_law import SPREAD_OTHER, SPREAD_SAME, Measurement, fit_power_law
from launcher.cost.workload import job_flops, work_per_student, workload_of

GIB = 2**30


def config_of(*, model=None, **sections):
    sizes = {"name": "deit_tiny_patch16_224", "img_size": 32, "patch_size": 4, "in_chans": 3}
    values = {"data": {"source": "cifar10"}, "model": sizes | (model or {})}
    return parse_run_config(values | sections)


def load_of(config, trained=None):
    return workload_of(config, trained or {}, lambda data, split: 50_000)


# intervals and power laws --------------------------------------------------------------------


def test_an_interval_is_in_order():
    with pytest.raises(ValueError, match="must hold"):
        Interval(2.0, 1.0, 3.0)
    both = total([Interval(1, 2, 3), Interval(10, 20, 30)]) * 2
    assert both == Interval(22, 44, 66)


@pytest.mark.parametrize(("spread", "factor"), [(SPREAD_SAME, 1.33), (SPREAD_OTHER, 2.2)])
def test_one_run_predicts_the_next_within_the_factor_that_the_docs_state(spread, factor):
    seconds = fit_power_law([Measurement(1e9, 5.0)], spread).seconds(1e9)
    assert seconds.point == pytest.approx(5.0)
    assert seconds.high / seconds.point == pytest.approx(factor, abs=0.02)
    assert seconds.point / seconds.low == pytest.approx(factor, abs=0.02)


positive = st.floats(1e6, 1e12)
measurements = st.lists(
    st.builds(Measurement, work=positive, seconds=st.floats(1e-3, 1e3)), min_size=1, max_size=8
)


@settings(max_examples=50, deadline=None)
@given(measurements, positive)
def test_an_interval_holds_its_point(measured, work):
    seconds = fit_power_law(measured, SPREAD_OTHER).seconds(work)
    assert 0 < seconds.low < seconds.point < seconds.high


def width(law, work):
    seconds = law.seconds(work)
    return seconds.high / seconds.low


def test_more_runs_narrow_the_interval_and_distance_widens_it():
    runs = [Measurement(1e9 * (1 + k % 3), 5.0 * (1 + k % 3)) for k in range(12)]
    laws = [fit_power_law(runs[:count], SPREAD_OTHER) for count in (1, 3, 6, 12)]
    widths = [width(law, 2e9) for law in laws]
    assert widths == sorted(widths, reverse=True)
    for law in laws:
        assert width(law, 2e9) < width(law, 2e11) < width(law, 2e13)


@pytest.mark.parametrize("count", [1, 2, 5, 20])
@pytest.mark.parametrize("sigma", [0.1, SPREAD_OTHER, 1.5 * SPREAD_OTHER])
def test_intervals_cover_rates_that_are_log_normal(count, sigma):
    """Up to the expected spread at any number of runs, beyond it as soon as runs show it."""
    generator = np.random.default_rng(count)
    hits, repeats = 0, 400
    for _ in range(repeats):
        slope = generator.normal(0.85, 0.2)
        x = generator.normal(20.0, 1.0, count + 1)
        y = slope * x - 15.0 + sigma * generator.standard_normal(count + 1)
        points = [Measurement(math.exp(a), math.exp(b)) for a, b in zip(x, y, strict=True)]
        seconds = fit_power_law(points[1:], SPREAD_OTHER).seconds(points[0].work)
        hits += seconds.low <= points[0].seconds <= seconds.high
    expected = LEVEL if sigma <= SPREAD_OTHER or count >= 20 else 0.75
    assert hits / repeats >= expected - 0.05  # three standard errors of 400 draws


def test_a_power_law_finds_the_slope():
    overhead = [Measurement(work, 3.0) for work in (1e6, 1e8, 1e10, 1e12)]
    arithmetic = [Measurement(work, work / 1e9) for work in (1e6, 1e8, 1e10, 1e12)]
    assert fit_power_law(overhead, SPREAD_OTHER).slope == pytest.approx(0.0, abs=0.05)
    assert fit_power_law(arithmetic, SPREAD_OTHER).slope == pytest.approx(1.0, abs=0.05)


# schedules -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "after", "slots", "expected"),
    [
        ([], [], 2, 0.0),
        ([3, 2, 2], [[], [], []], 1, 7.0),
        ([3, 2, 2], [[], [], []], 2, 4.0),
        ([3, 2, 2], [[], [], []], None, 3.0),
        ([3, 2, 2], [[], [0], [0]], 2, 5.0),  # the teacher comes first
        ([3, 2, 4], [[], [0], []], 2, 5.0),  # what does not wait for it runs beside it
        ([3, 2, 4], [[], [0], []], 1, 9.0),
    ],
)
def test_makespan(seconds, after, slots, expected):
    assert makespan(seconds, after, slots) == expected


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=30), st.integers(1, 8))
def test_a_schedule_keeps_grahams_bounds(seconds, slots):
    """Graham 1969, "Bounds on multiprocessing timing anomalies"."""
    found = makespan(seconds, [[] for _ in seconds], slots)
    least = max(*seconds, sum(seconds) / slots)
    assert least * (1 - 1e-9) <= found <= (2 - 1 / slots) * least + 1e-9


# devices -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_name", "found"),
    [
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA A100-SXM4-80GB", "A100-SXM4-80GB"),
        ("NVIDIA A100-SXM4-40GB", "A100"),
        ("NVIDIA A10", "A10"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA L4", "L4"),
        ("Tesla V100-SXM2-16GB", "V100"),
        ("NVIDIA T400", None),
        ("NVIDIA A10G", None),
    ],
)
def test_gpus_are_found_by_torchs_names(given_name, found):
    gpu = find_gpu(given_name)
    assert (gpu and gpu.name) == found


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_an_unknown_gpu_may_be_old_or_new(precision):
    unknown = gpu_flops(None, precision)
    assert gpu_flops("NVIDIA A10G", precision) == unknown
    for name in UNKNOWN_GPU:
        known = gpu_flops(name, precision)
        assert unknown.low <= known.low < known.point < known.high <= unknown.high


# work, memory, disk --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("duration", "every"), [("3ep", "1ep"), ("100step", "30step"), ("1.5ep", "10ep")]
)
def test_a_trial_takes_the_steps_that_the_trainer_counts(duration, every):
    config = config_of(train={"duration": duration}, eval={"every": every})
    load, per_epoch = load_of(config), 50_000 // 1024
    timetable = build_timetable(config, per_epoch)
    assert load.steps == timetable.total_steps
    assert load.evaluations == sum(timetable.eval_due(step + 1) for step in range(load.steps))
    assert parse_duration(duration).steps(per_epoch) == load.steps


def test_more_of_a_model_costs_more():
    small = load_of(config_of(model={"depth": 2}))
    for bigger in ({"depth": 3}, {"depth": 2, "embed_dim": 384}, {"depth": 2, "patch_size": 2}):
        other = load_of(config_of(model=bigger))
        assert other.student_flops > small.student_flops
        assert other.evaluation_flops > small.evaluation_flops
        assert disk_gib(other).point >= disk_gib(small).point * 0.99
        low, high = memory_gib([small.config]), memory_gib([other.config])
        assert low.point < high.point


def test_a_cohort_asks_the_teacher_once():
    teacher = {"name": "resnet18", "pretrained": True}
    distill = {"kind": "hard", "token": False}
    loads = [
        load_of(config_of(model={"depth": depth}, teacher=teacher, distill=distill))
        for depth in (2, 4)
    ]
    apart = sum(load.student_flops + load.teacher_flops for load in loads)
    assert loads[0].teacher_flops > 0
    assert job_flops(loads) == pytest.approx(apart - loads[0].teacher_flops)
    assert work_per_student(loads, 4) == pytest.approx(job_flops(loads) / 8)


def test_an_unknown_size_is_said():
    config = config_of(model={"name": "maxvit_tiny_tf_224", "patch_size": None})
    assert load_of(config) == "the size of maxvit_tiny_tf_224"
    taught = config_of(teacher={"name": "odd", "pretrained": True},
                       distill={"kind": "hard", "token": False})  # fmt: skip
    assert load_of(taught) == "the size of the teacher odd"
    folder = config_of(data={"source": "image_folder", "root": "/none"})
    known = workload_of(folder, {}, lambda data, split: None)
    assert known == "how many images image_folder has in /none"
    assert memory_gib([config]) is None
    assert memory_gib([taught]) is None


def test_memory_of_a_cohort_adds_states_but_not_activations():
    config = config_of(train={"ema_decay": 0.999})
    one, three = memory_gib([config]), memory_gib([config] * 3)
    parameters = sum(p.numel() for p in built(config).parameters())
    numbers = 5  # weight, gradient, two moments, average
    assert three.low - one.low == pytest.approx(2 * parameters * numbers * 4 / GIB)
    assert memory_gib([config], processes=4).point < one.point
    half = config.model_copy(
        update={"train": config.train.model_copy(update={"precision": "bf16"})}
    )
    assert memory_gib([half]).point < one.point
    micro = config.model_copy(
        update={"train": config.train.model_copy(update={"micro_batch_size": 256})}
    )
    assert memory_gib([micro]) == memory_gib([config], processes=4)


def built(config):
    return build_model(resolve(config).model, num_classes=10, seed=0)


@pytest.mark.parametrize(
    "optim", [{"name": "adamw"}, {"name": "sgd"}, {"name": "sgd", "momentum": 0.0}]
)
def test_a_checkpoint_is_as_large_as_predicted(optim):
    config = config_of(model={"depth": 2}, optim=optim)
    model = built(config)
    optimizer = build_optimizer(model, config.optim)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    parameters = sum(p.numel() for p in model.parameters())
    assert len(file.getvalue()) == pytest.approx(4 * parameters * state_numbers(config), rel=0.05)
    needed = disk_gib(load_of(config)).point * GIB
    assert needed >= 2 * len(file.getvalue())


def test_free_space_of_a_folder_that_is_to_be_made(tmp_path):
    assert free_gib(tmp_path / "not" / "there") == pytest.approx(free_gib(tmp_path), rel=0.01)
