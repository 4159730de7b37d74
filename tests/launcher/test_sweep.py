"""Layers of a sweep file: base, set, profile, overrides."""

import pytest
from sweep_files import DIGITS, TAUGHT, TEACHER_CONFIG, expand_text, write

from deit_core.config import parse_run_config
from deit_core.identity import canonical
from deit_core.tracking import MlflowConfig, WandbConfig
from launcher.errors import SweepError
from launcher.expand import expand
from launcher.resources import Resources, parse_time_s
from launcher.sweep import load_config_as_sweep, load_sweep


def only(folder, text, **options):
    (trial,) = expand_text(folder, text, **options).trials
    return trial


def test_dotted_and_nested_fields_are_the_same(tmp_path):
    dotted = only(tmp_path, "set: {data.source: digits, model.depth: 3, model.kwargs: {}}\n")
    nested = only(tmp_path, "set: {data: {source: digits}, model: {depth: 3}}\n")
    mixed = only(
        tmp_path, "set: {data: {source: digits}, model.depth: 3, model: {img_size: 224}}\n"
    )
    assert dotted.trial_id == nested.trial_id == mixed.trial_id


def test_bases_build_on_bases_and_set_comes_last(tmp_path):
    (tmp_path / "recipes").mkdir()
    write(tmp_path, "data: {source: digits}\nmodel: {depth: 1, img_size: 32}\n", "root.yaml")
    write(tmp_path / "recipes", "base: ../root.yaml\nmodel.depth: 2\noptim: {lr: 1e-3}\n", "r.yaml")
    config = only(tmp_path, "base: recipes/r.yaml\nset: {optim.lr: 2e-3}\n").config
    assert (config.model.depth, config.model.img_size, config.optim.lr) == (2, 32, 2e-3)


def test_null_takes_the_default(tmp_path):
    write(tmp_path, "data: {source: digits, train_images: 5}\n", "b.yaml")
    assert only(tmp_path, "base: b.yaml\nset: {data.train_images: null}").config.data == (
        only(tmp_path, "set: {data.source: digits}").config.data
    )


BASE = (
    "data: {source: digits}\nseed: 7\noptim: {lr: 1e-3}\n"
    "model: {name: deit_tiny_patch16_224, img_size: 8, patch_size: 2, depth: 2, num_heads: 2}\n"
    "train: {ema_decay: 0.9}\nteacher: {name: resnet10t, pretrained: true}\n"
)


@pytest.mark.parametrize("how", ["train", "sweep", "yaml", "profile"])
@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        ({"model": "null"}, {"model": "{}"}),
        ({"model": "null", "model.depth": "3"}, {"model": "{depth: 3}"}),
        ({"optim.lr": "null"}, {"optim": "{}"}),
        ({"train.ema_decay": "null"}, {"train": "{ema_decay: null}"}),
        ({"teacher": "null"}, {"teacher": "null"}),
        ({"teacher": "null", "distill": "null"}, {"teacher": "null"}),
    ],
)
def test_null_takes_the_default_or_the_section_away(tmp_path, how, layer, expected):
    write(tmp_path, BASE, "b.yaml")
    options = [f"{field}={value}" for field, value in layer.items()]
    first, *rest = [f"{{{field}: {value}}}" for field, value in layer.items()]
    if how == "train":
        sweep = load_config_as_sweep(tmp_path / "b.yaml", overrides=options)
    elif how == "sweep":
        sweep = load_sweep(write(tmp_path, "base: b.yaml\n"), overrides=options)
    elif how == "profile":
        text = f"base: b.yaml\nset: {first}\nprofiles: {{a: {{set: {(rest or ['{}'])[0]}}}}}\n"
        sweep = load_sweep(write(tmp_path, text), profile="a")
    else:
        write(tmp_path, f"base: b.yaml\n{first[1:-1]}\n", "m.yaml")
        text = f"base: m.yaml\n{rest[0][1:-1] if rest else ''}\n"
        sweep = load_config_as_sweep(write(tmp_path, text))
    (trial,) = expand(sweep).trials
    lines = [line for line in BASE.splitlines() if line.partition(":")[0] not in expected]
    lines += [f"{section}: {value}" for section, value in expected.items()]
    plain = "\n".join(line for line in lines if not line.endswith(": {}"))
    (wanted,) = expand(load_config_as_sweep(write(tmp_path, plain, "w.yaml"))).trials
    assert trial.config == wanted.config


def test_a_section_set_to_null_takes_its_axes_away(tmp_path):
    text = DIGITS + "axes: {model.depth: [1, 2], optim.lr: [1e-3, 1e-4]}\n"
    for overrides in (["model=null"], ["model=null", "model.num_heads=1"]):
        expansion = expand_text(tmp_path, text, overrides=overrides)
        assert expansion.axes == ("optim.lr",)
        assert {trial.config.model.depth for trial in expansion.trials} == {12}


def test_free_form_arguments_keep_their_keys(tmp_path):
    text = (
        "set: {data.source: digits, model.name: resnet10t, model.kwargs: {a.b: 1, c: {d: 2}}, "
        "model.kwargs.e: 3}\n"
    )
    assert only(tmp_path, text).config.model.kwargs == {"a.b": 1, "c": {"d": 2}, "e": 3}


def test_numbers_in_scientific_notation_are_numbers(tmp_path):
    assert only(tmp_path, DIGITS + "axes: {optim.lr: [1e-3]}\n").config.optim.lr == 1e-3


def test_name_and_description(tmp_path):
    sweep = load_sweep(write(tmp_path, DIGITS, "my sweep.v2.yaml"))
    assert (sweep.name, sweep.description) == ("my_sweep.v2", "")
    sweep = load_sweep(write(tmp_path, DIGITS + "name: a-1\ndescription: What?\n"))
    assert (sweep.name, sweep.description) == ("a-1", "What?")
    assert sweep.text == (tmp_path / "x.yaml").read_text()
    assert sweep.source == tmp_path / "x.yaml"


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        ("seeds: [4, 2]\n", (4, 2)),
        ("seeds: 3\n", (0, 1, 2)),
        ("", (0,)),
    ],
)
def test_seeds(tmp_path, seeds, expected):
    assert load_sweep(write(tmp_path, DIGITS + seeds)).seeds == expected


def test_a_base_config_brings_its_seed(tmp_path):
    write(tmp_path, "data: {source: digits}\nseed: 7\n", "b.yaml")
    assert load_sweep(write(tmp_path, "base: b.yaml\n")).seeds == (7,)
    assert load_sweep(write(tmp_path, "base: b.yaml\nseeds: 2\n")).seeds == (0, 1)


# profiles ----------------------------------------------------------------------------------------

PROFILED = """\
name: full
base: big.yaml
set: {optim.lr: 1e-3, model.depth: 3}
axes:
  distill.alpha: [0.1, 0.9]
  augment.strength: [0.5, 1.0]
seeds: [0, 1, 2]
resources: {nodes: 2, time: 1h}
profiles:
  small:
    name: small
    base: small.yaml
    set: {model: {depth: 2}}
    axes: {distill.alpha: null, augment.strength: [0.25], optim.weight_decay: [0.0, 0.1]}
    seeds: [5]
    resources: {nodes: 1}
    teacher: {base: small.yaml}
"""


@pytest.fixture
def profiled(tmp_path):
    write(tmp_path, "data: {source: fashion_mnist}\nmodel: {img_size: 32}\n", "big.yaml")
    write(tmp_path, "data: {source: digits}\nmodel: {img_size: 16}\n", "small.yaml")
    return write(tmp_path, PROFILED)


def test_a_profile_is_laid_over_the_file(profiled):
    sweep = load_sweep(profiled, profile="small")
    expansion = expand(sweep)
    config = expansion.trials[0].config
    assert (sweep.name, sweep.seeds, sweep.profile) == ("small", (5,), "small")
    assert expansion.axes == ("augment.strength", "optim.weight_decay")
    assert [trial.swept["optim.weight_decay"] for trial in expansion.trials] == [0.0, 0.1]
    assert (config.data.source, config.model.img_size, config.model.depth) == ("digits", 16, 2)
    assert config.optim.lr == 1e-3
    assert sweep.resources == Resources(nodes=1, time="1h")


def test_a_profile_may_vary_what_the_file_sets(tmp_path):
    text = (
        "set: {data.source: digits, model.depth: 3}\nprofiles: {a: {axes: {model.depth: [1, 2]}}}\n"
    )
    depths = [t.config.model.depth for t in expand_text(tmp_path, text, profile="a").trials]
    assert depths == [1, 2]


def test_set_gives_the_value_where_a_listed_cell_leaves_it_out(tmp_path):
    text = (
        "set: {data.source: digits, model.depth: 3}\n"
        "axes: {list: [{model.depth: 1}, {optim.lr: 1e-3}]}\n"
    )
    assert [t.config.model.depth for t in expand_text(tmp_path, text).trials] == [1, 3]


def test_without_the_profile_the_file_stands_as_it_is(profiled):
    expansion = expand(load_sweep(profiled))
    assert expansion.axes == ("distill.alpha", "augment.strength")
    assert {trial.config.data.source for trial in expansion.trials} == {"fashion_mnist"}
    assert {trial.seed for trial in expansion.trials} == {0, 1, 2}


def test_a_profile_merges_the_teacher_stage(tmp_path):
    write(tmp_path, TEACHER_CONFIG, "t.yaml")
    text = DIGITS + (
        "axes: {distill.kind: [soft]}\n"
        "teacher: {base: t.yaml, set: {train.duration: 9ep, optim.lr: 1e-3}, seed: 4}\n"
        "profiles:\n  quick: {teacher: {set: {train: {duration: 1ep}}}}\n  alone: {teacher: null,"
        " axes: {distill.kind: [none]}}\n"
    )
    teacher = expand_text(tmp_path, text, profile="quick").trials[0]
    config = teacher.config
    assert (teacher.role, teacher.seed) == ("teacher", 4)
    assert (config.train.duration, config.optim.lr) == ("1ep", 1e-3)
    assert [t.role for t in expand_text(tmp_path, text, profile="alone").trials] == ["student"]


# overrides ---------------------------------------------------------------------------------------


def test_an_override_wins_over_everything(profiled):
    expansion = expand(load_sweep(profiled, profile="small", overrides=["model.depth=7"]))
    assert {trial.config.model.depth for trial in expansion.trials} == {7}


def test_an_override_takes_its_axis_away_and_says_so(tmp_path):
    text = TAUGHT + (
        "axes:\n  distill.kind: [none, soft, hard]\n"
        "  distill.temperature: {values: [1, 3], when: {distill.kind: soft}}\n"
    )
    soft = expand_text(tmp_path, text, overrides=["distill.kind=soft"])
    assert soft.axes == ("distill.temperature",)
    assert [trial.name for trial in soft.trials] == ["temperature=1,seed=0", "temperature=3,seed=0"]
    assert soft.notes == ("distill.kind is fixed to soft by --set: it is no axis here",)
    none = expand_text(tmp_path, text, overrides=["distill.kind=none"])
    assert [trial.swept for trial in none.trials] == [{"distill.temperature": None}]
    assert "distill.temperature never varies" in none.notes[1]


def test_an_override_thins_out_fields_that_move_together(tmp_path):
    text = DIGITS + "axes: {zip: {model.depth: [1, 1], model.num_heads: [1, 3]}}\n"
    expansion = expand_text(tmp_path, text, overrides=["model.num_heads=1"])
    assert [trial.swept for trial in expansion.trials] == [{"model.depth": 1}]
    assert expansion.cells == 1


@pytest.mark.parametrize(
    ("overrides", "seeds"),
    [
        (["seeds=[3,4]"], (3, 4)),
        (["seeds=2"], (0, 1)),
        (["seed=9"], (9,)),
        (["seed=1", "seeds=1"], (0,)),
    ],
)
def test_overrides_of_seeds(tmp_path, overrides, seeds):
    assert load_sweep(write(tmp_path, DIGITS + "seeds: 5\n"), overrides=overrides).seeds == seeds


def test_overrides_of_resources(tmp_path):
    path = write(tmp_path, DIGITS + "resources: {gpus_per_node: 8, time: 2h}\n")
    sweep = load_sweep(path, overrides=["resources.gpus_per_node=0"])
    assert sweep.resources == Resources(gpus_per_node=0, time="2h")
    config = write(tmp_path, TEACHER_CONFIG)
    sweep = load_config_as_sweep(config, overrides=["resources.cpus_per_trial=2"])
    assert sweep.resources == Resources(cpus_per_trial=2)


def test_override_values_are_yaml(tmp_path):
    config = only(
        tmp_path,
        DIGITS,
        overrides=[
            "optim.lr=1e-4",
            "data.train_images=",
            "augment={crop: random_resized, crop_scale: [0.5, 1]}",
            "optim={weight_decay: 0.1}",
            "train.duration=3ep",
            "train.duration=2ep",
            "logging.wandb.project=mine",
            "logging={mlflow: {experiment: e}}",
        ],
    ).config
    assert (config.optim.lr, config.data.train_images) == (1e-4, None)
    assert config.augment.crop_scale == (0.5, 1.0)
    assert (config.optim.weight_decay, config.train.duration) == (0.1, "2ep")
    assert config.logging.wandb == WandbConfig(project="mine")
    assert config.logging.mlflow == MlflowConfig(experiment="e")


def test_an_unknown_field_of_an_inner_section_is_named_with_the_nearest(tmp_path):
    with pytest.raises(SweepError, match=r'wandb\.projekt: unknown field; did you mean "project"'):
        only(tmp_path, DIGITS, overrides=["logging.wandb.projekt=mine"])


# a single config ---------------------------------------------------------------------------------


def test_three_lines_of_yaml_are_a_training_run(tmp_path):
    text = (
        "data: {source: image_folder, root: my_images}\n"
        "model: {name: deit_tiny_distilled_patch16_224, img_size: 32, patch_size: 4}\n"
        "train: {duration: 10ep, global_batch_size: 32}\n"
    )
    sweep = load_config_as_sweep(write(tmp_path, text, "mine.yaml"), overrides=["optim.lr=1e-3"])
    (trial,) = expand(sweep).trials
    assert (trial.name, trial.seed, trial.swept, trial.after) == ("mine", 0, {}, ())
    assert trial.config.optim.lr == 1e-3


def test_a_relative_data_root_starts_at_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    path = write(tmp_path / "configs", "data: {root: my_images}\n")
    monkeypatch.chdir(tmp_path)
    (trial,) = expand(load_config_as_sweep(path)).trials
    assert trial.config.data.root == f"{tmp_path}/my_images"


def test_a_single_config_with_its_own_seed_and_with_several(tmp_path):
    path = write(tmp_path, "data: {source: digits}\nseed: 3\n")
    assert [trial.seed for trial in expand(load_config_as_sweep(path)).trials] == [3]
    several = expand(load_config_as_sweep(path, overrides=["seeds=[1, 2]"])).trials
    assert [(trial.name, trial.seed) for trial in several] == [("seed=1", 1), ("seed=2", 2)]


def test_a_single_config_is_the_config_of_its_file(tmp_path):
    values = {"data": {"source": "digits"}, "model": {"depth": 2}, "seed": 4}
    path = write(tmp_path, "data: {source: digits}\nmodel.depth: 2\nseed: 4\n")
    (trial,) = expand(load_config_as_sweep(path)).trials
    assert trial.config == canonical(parse_run_config(values))


# resources ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("24h", 86_400),
        ("90min", 5_400),
        ("90m", 5_400),
        ("1d 12h", 129_600),
        ("1.5h", 5_400),
        ("30s", 30),
        ("1-12:00:00", 129_600),
        ("02:30:00", 9_000),
    ],
)
def test_times(text, seconds):
    assert parse_time_s(text) == seconds
    assert Resources(time=text).time_s == seconds


@pytest.mark.parametrize("text", ["", "24", "h", "1x", "0h", "1h-2", "12:30"])
def test_bad_times(text):
    with pytest.raises(ValueError, match="no time"):
        parse_time_s(text)


@pytest.mark.parametrize(("cohort", "size"), [(True, 8), (False, 1), (1, 1), (3, 3)])
def test_cohort_sizes(cohort, size):
    assert Resources(cohort=cohort).cohort_size == size
