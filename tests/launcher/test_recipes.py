"""The recipes are what their headers say: the reference's values, except where a header differs."""

import json
import re
from pathlib import Path

import pytest

from deit_core.duration import parse_duration
from deit_core.identity import resolve
from launcher.expand import expand
from launcher.sweep import load_config_as_sweep

ROOT = Path(__file__).parents[2]
RECIPES = {
    path.stem: path
    for path in sorted((ROOT / "sweeps" / "recipes").glob("*.yaml"))
    if not path.stem.startswith(("deit_micro", "convnet"))
}
FIELDS = ("Source", "Data", "Training", "Cost", "Expected", "Differences", "Command")

# What facebookresearch/deit does without arguments, on two nodes of 8 GPUs.
GOLDEN = json.loads((ROOT / "tests" / "golden" / "main_defaults.json").read_text())
ARGS = GOLDEN["args"]
SEVERITY = re.fullmatch(r"rand-m(\d+)-mstd0.5-inc1", ARGS["aa"])
REFERENCE = {
    "model.drop_path_rate": ARGS["drop_path"],
    "model.drop_rate": ARGS["drop"],
    "distill.alpha": ARGS["distillation_alpha"],
    "distill.temperature": ARGS["distillation_tau"],
    "augment.policy": "rand_augment",
    "augment.rand_augment_magnitude": float(SEVERITY[1]),
    "augment.rand_augment_ops": 2,
    "augment.repeats": 3 if ARGS["repeated_aug"] else 1,
    "augment.mixup_alpha": ARGS["mixup"],
    "augment.cutmix_alpha": ARGS["cutmix"],
    "augment.cutmix_minmax": ARGS["cutmix_minmax"],
    "augment.mix_probability": ARGS["mixup_prob"],
    "augment.mix_switch_probability": ARGS["mixup_switch_prob"],
    "augment.mix_mode": ARGS["mixup_mode"],
    "augment.erasing_probability": ARGS["reprob"],
    "augment.hflip_probability": 0.5,
    "augment.crop": "random_resized",
    "augment.crop_scale": (0.08, 1.0),
    "augment.label_smoothing": ARGS["smoothing"],
    "optim.name": ARGS["opt"],
    "optim.lr": ARGS["lr"],
    "optim.lr_reference_batch_size": 512,
    "optim.weight_decay": ARGS["weight_decay"],
    "optim.momentum": ARGS["momentum"],
    "optim.betas": (0.9, 0.999),
    "optim.eps": ARGS["opt_eps"],
    "optim.schedule": "deit",
    "optim.warmup": f"{ARGS['warmup_epochs']}ep",
    "optim.warmup_lr": ARGS["warmup_lr"],
    "optim.min_lr": ARGS["min_lr"],
    "optim.clip_grad_norm": ARGS["clip_grad"],
    "train.duration": f"{ARGS['epochs']}ep",
    "train.global_batch_size": ARGS["batch_size"] * GOLDEN["processes"],
    "train.loss": "bce" if ARGS["bce_loss"] else "cross_entropy",
    "train.ema_decay": ARGS["model_ema_decay"] if ARGS["model_ema"] else None,
    "eval.crop_ratio": ARGS["eval_crop_ratio"],
    "data.mean": (0.485, 0.456, 0.406),
    "data.std": (0.229, 0.224, 0.225),
}
_CAIT = {"train.duration": "400ep", "eval.crop_ratio": 1.0}
_AT_384 = {
    "optim.lr": 5e-6,
    "optim.min_lr": 5e-6,
    "optim.weight_decay": 1e-8,
    "train.duration": "30ep",
    "train.global_batch_size": 512,
}
_SMALL_SETS = {
    "model.drop_path_rate": 0.0,
    "augment.erasing_probability": 0.0,
    "optim.name": "sgd",
    "optim.lr": 0.01,
    "optim.lr_reference_batch_size": None,
    "optim.weight_decay": 1e-4,
    "train.duration": "1000ep",
    "train.global_batch_size": 768,
    "train.ema_decay": None,
}
_INATURALIST = {
    "augment.erasing_probability": 0.1,
    "optim.lr": 7.5e-5,
    "optim.lr_reference_batch_size": None,
    "train.duration": "360ep",
    "train.global_batch_size": 768,
    "train.ema_decay": None,
}
_M48 = {
    "model.drop_path_rate": 0.3,
    "optim.lr": 5e-6,
    "optim.lr_reference_batch_size": None,
    "optim.min_lr": 5e-6,
    "train.duration": "60ep",
    "train.global_batch_size": 256,
    "eval.crop_ratio": 1.0,
}

# Recipe: model, data, distillation, and what differs.
EXPECTED = {
    "deit_tiny_imagenet": ("deit_tiny_distilled_patch16_224", "imagenet", "hard", {}),
    "deit_small_imagenet": ("deit_small_distilled_patch16_224", "imagenet", "hard", {}),
    "deit_base_imagenet": ("deit_base_distilled_patch16_224", "imagenet", "hard", {}),
    "deit_tiny_plain_imagenet": ("deit_tiny_patch16_224", "imagenet", "none", {}),
    "deit_small_plain_imagenet": ("deit_small_patch16_224", "imagenet", "none", {}),
    "deit_base_plain_imagenet": ("deit_base_patch16_224", "imagenet", "none", {}),
    "deit_base_384_finetune": ("deit_base_patch16_384", "imagenet", "none", _AT_384),
    "deit_base_384_distilled_finetune": (
        "deit_base_distilled_patch16_384",
        "imagenet",
        "hard",
        _AT_384,
    ),
    "cait_xxs24_224": (
        "cait_xxs24_224",
        "imagenet",
        "none",
        _CAIT | {"model.drop_path_rate": 0.05},
    ),
    "cait_s24_224": ("cait_s24_224", "imagenet", "none", _CAIT),
    "cait_xxs24_distilled_224": (
        "cait_xxs24_distilled_224",
        "imagenet",
        "hard",
        _CAIT | {"model.drop_path_rate": 0.05},
    ),
    "cait_m48_448_finetune": ("cait_m48_448", "imagenet", "hard", _M48),
    "deit_base_cifar10": ("deit_base_patch16_224", "cifar10", "none", _SMALL_SETS),
    "deit_base_cifar100": ("deit_base_patch16_224", "cifar100", "none", _SMALL_SETS),
    "deit_base_flowers102": ("deit_base_patch16_224", "flowers102", "none", _SMALL_SETS),
    "deit_base_stanford_cars": ("deit_base_patch16_224", "stanford_cars", "none", _SMALL_SETS),
    "deit_base_inaturalist_2018": (
        "deit_base_patch16_224",
        "inaturalist_2018",
        "none",
        _INATURALIST,
    ),
    "deit_base_inaturalist_2019": (
        "deit_base_patch16_224",
        "inaturalist_2019",
        "none",
        _INATURALIST,
    ),
    "deit_base_cifar10_scratch": (
        "deit_base_patch16_224",
        "cifar10",
        "none",
        {"train.duration": "7200ep"},
    ),
}


def header_of(path):
    """What a recipe is, and the lines of each field of its header."""
    comment = [line[2:] for line in path.read_text().splitlines() if line.startswith("# ")]
    title, fields, name = comment[1], {}, None
    for line in comment[2:]:
        found = re.match(r"([A-Z][a-z]+): +(.*)", line)
        name = found[1] if found else name
        fields.setdefault(name, []).append((found[2] if found else line).strip())
    return title, fields


def value_at(config, dotted):
    section, field = dotted.split(".")
    return getattr(getattr(config, section), field)


@pytest.fixture
def load(monkeypatch):
    """Loads a recipe with no variable set but those that its header's command sets."""

    def load_recipe(name):
        for variable in re.findall(
            r"\$\{(\w+)\}", "".join(p.read_text() for p in RECIPES.values())
        ):
            monkeypatch.delenv(variable, raising=False)
        for setting in re.findall(r"(\w+)=(\S+)", " ".join(header_of(RECIPES[name])[1]["Command"])):
            monkeypatch.setenv(*setting)
        (trial,) = expand(load_config_as_sweep(RECIPES[name])).trials
        return resolve(trial.config)

    return load_recipe


def test_every_recipe_is_looked_at_here():
    assert set(EXPECTED) == set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_a_header_says_all_that_one_asks(name):
    title, fields = header_of(RECIPES[name])
    assert title.endswith(".")
    assert tuple(fields) == FIELDS
    command = " ".join(line.removesuffix("\\") for line in fields["Command"])
    assert command.endswith(f"deit-launch train sweeps/recipes/{name}.yaml")


@pytest.mark.parametrize("name", RECIPES)
def test_the_values_are_the_reference_s_or_the_stated_others(load, name):
    model, source, kind, differ = EXPECTED[name]
    config = load(name)
    assert (config.model.name, config.data.source, config.distill.kind) == (model, source, kind)
    assert (config.teacher is not None) == (kind != "none")
    assert config.model.img_size == int(re.search(r"224|384|448", model)[0])
    assert config.distill.token == (name != "cait_m48_448_finetune")
    values = {field: value_at(config, field) for field in REFERENCE}
    assert values == REFERENCE | differ


@pytest.mark.parametrize("case", [GOLDEN], ids=lambda case: case["id"])
def test_without_arguments_the_reference_trains_the_plain_base_model(load, case):
    config = load("deit_base_plain_imagenet")
    assert EXPECTED["deit_base_plain_imagenet"][-1] == {}
    assert config.model.name == case["args"]["model"]
    assert config.model.img_size == case["args"]["input_size"]
    assert config.distill.kind == case["args"]["distillation_type"]


@pytest.mark.parametrize("name", RECIPES)
def test_the_header_s_numbers_are_the_config_s(load, name):
    config = load(name)
    (line,) = header_of(RECIPES[name])[1]["Training"]
    found = re.fullmatch(r"(\d+) epochs, batch (\d+), (AdamW|SGD), learning rate (\S+)\.", line)
    assert found, line
    assert parse_duration(config.train.duration) == parse_duration(f"{found[1]}ep")
    assert config.train.global_batch_size == int(found[2])
    assert config.optim.name == found[3].lower()
    scale = config.train.global_batch_size / (
        config.optim.lr_reference_batch_size or config.train.global_batch_size
    )
    assert config.optim.lr * scale == pytest.approx(float(found[4]))


@pytest.mark.parametrize("name", [name for name in RECIPES if "finetune" in name])
def test_fine_tuning_starts_from_weights(load, name):
    config = load(name)
    assert config.finetune is not None
    assert config.finetune.eval_mode == (name == "deit_base_384_finetune")


def test_the_teacher_is_the_authors(load):
    from deit_core.models.timm_import import timm

    configs = [load(name) for name in RECIPES]
    taught = [config for config in configs if config.teacher is not None]
    assert len(taught) == 6
    for config in taught:
        assert config.teacher.pretrained
        published = timm.models.get_pretrained_cfg(config.teacher.name)
        assert published.url.endswith("/deit/regnety_160-a5fe301d.pth")


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        # facebookresearch/deit's own loop with timm's scheduler: one epoch late (its issue 145)
        ("deit_base_imagenet", {0: 1e-6, 1: 1e-6, 2: 2.008e-4, 5: 8.002e-4, 6: 9.9932e-4}),
        ("deit_base_384_finetune", {0: 1e-6, 1: 1e-6, 2: 1.8e-6, 6: 5e-6, 29: 5e-6}),
    ],
)
def test_every_epoch_has_the_reference_s_rate(load, name, rates):
    from deit_core.data.stream import TrainStream
    from deit_core.optim.schedule import Schedule

    config = load(name)
    steps = TrainStream.of(config, 1_281_167).steps_per_epoch
    assert steps == 1_281_024 // config.train.global_batch_size
    schedule = Schedule(config, steps, parse_duration(config.train.duration).steps(steps))
    for epoch, rate in rates.items():
        for step in (epoch * steps, (epoch + 1) * steps - 1):
            assert schedule(step) == pytest.approx(rate, rel=1e-5)


def row_of(load, name):
    """A recipe's row of docs/recipes.md: the first line of each field of its header."""
    title, fields = header_of(RECIPES[name])
    cells = [
        f"[{name}](../sweeps/recipes/{name}.yaml)",
        title,
        f"`{load(name).data.source}`",
        *(fields[field][0] for field in ("Training", "Expected", "Cost", "Source")),
    ]
    return f"| {' | '.join(cell.rstrip('.;') for cell in cells)} |"


def test_the_page_lists_every_recipe(load):
    page = (ROOT / "docs" / "recipes.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| [")]
    expected = [row_of(load, name) for name in EXPECTED]
    assert rows == expected, "write these:\n" + "\n".join(expected)
