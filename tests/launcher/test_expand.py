"""From sweep to trials: combinations, conditions, identity, names, speed."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sweep_files import DIGITS, TAUGHT, TEACHER_CONFIG, expand_text, write

from deit_core.config import parse_run_config
from deit_core.identity import canonical, trial_and_group_id
from launcher.expand import expand
from launcher.sweep import load_sweep


def swept(folder, axes, **options):
    return [t.swept for t in expand_text(folder, f"{TAUGHT}axes: {axes}\n", **options).trials]


def values(folder, axes):
    return [tuple(row.values()) for row in swept(folder, axes)]


# combinations ------------------------------------------------------------------------------------


def test_a_grid_is_every_combination_last_axis_fastest_seeds_innermost(tmp_path):
    text = DIGITS + "axes: {model.depth: [2, 1], optim.lr: [1e-3, 1e-4]}\nseeds: [1, 0]\n"
    expansion = expand_text(tmp_path, text)
    assert expansion.axes == ("model.depth", "optim.lr")
    assert expansion.cells == 8
    assert [(*t.swept.values(), t.seed) for t in expansion.trials] == [
        (depth, lr, seed) for depth in (2, 1) for lr in (1e-3, 1e-4) for seed in (1, 0)
    ]
    for trial in expansion.trials:
        config = trial.config
        assert (config.model.depth, config.optim.lr) == tuple(trial.swept.values())
        assert config.seed == trial.seed


def test_zip_moves_fields_together_and_groups_are_independent(tmp_path):
    rows = values(
        tmp_path,
        "{zip: [{model.depth: [1, 2], model.num_heads: [3, 4]}, {optim.lr: [1e-3, 1e-4]}]}",
    )
    assert rows == [(1, 3, 1e-3), (1, 3, 1e-4), (2, 4, 1e-3), (2, 4, 1e-4)]


def test_zip_of_one_group(tmp_path):
    assert values(tmp_path, "{zip: {model.depth: [1, 2], model.num_heads: [3, 4]}}") == [
        (1, 3),
        (2, 4),
    ]


def test_an_empty_entry_of_a_list_is_the_baseline(tmp_path):
    text = f"{DIGITS}axes: {{list: [{{}}, {{train.precision: bf16}}]}}\n"
    base, half = expand_text(tmp_path, text).trials
    assert (base.config.train.precision, half.config.train.precision) == ("fp32", "bf16")
    assert (base.name, half.name) == ("precision=fp32,seed=0", "precision=bf16,seed=0")
    assert base.trial_id == expand_text(tmp_path, DIGITS).trials[0].trial_id


def test_list_gives_cells_one_by_one_and_keeps_the_base_elsewhere(tmp_path):
    rows = "{model.depth: 2}, {model: {depth: 4}, optim.lr: 1e-4}, {optim.lr: 1e-3}"
    text = f"{TAUGHT}axes: {{list: [{rows}]}}\n"
    trials = expand_text(tmp_path, text).trials
    assert [tuple(t.swept.values()) for t in trials] == [(2, 5e-4), (4, 1e-4), (12, 1e-3)]
    assert [t.config.model.depth for t in trials] == [2, 4, 12]
    assert [t.config.optim.lr for t in trials] == [5e-4, 1e-4, 1e-3]


def test_blocks_combine_with_plain_axes_in_file_order(tmp_path):
    rows = values(
        tmp_path, "{list: [{model.depth: 2}, {model.depth: 4}], augment.strength: [0.5, 1.0]}"
    )
    assert rows == [(2, 0.5), (2, 1.0), (4, 0.5), (4, 1.0)]


# conditions --------------------------------------------------------------------------------------


def test_an_axis_varies_only_where_its_condition_holds(tmp_path):
    text = TAUGHT + (
        "axes:\n  distill.kind: [none, soft, hard]\n"
        "  distill.temperature: {values: [1, 3, 5], when: {distill.kind: soft}}\n"
        "seeds: 2\n"
    )
    expansion = expand_text(tmp_path, text)
    assert [tuple(t.swept.values()) for t in expansion.trials[::2]] == [
        ("none", None),
        ("soft", 1),
        ("soft", 3),
        ("soft", 5),
        ("hard", None),
    ]
    assert (expansion.cells, expansion.notes) == (10, ())


def test_the_base_value_stays_where_the_condition_does_not_hold(tmp_path):
    text = (
        "set: {data.source: digits, model: {img_size: 8, patch_size: 2}, optim.lr: 7e-4}\naxes:\n"
        "  model.depth: [1, 2]\n  optim.lr: {values: [1e-3], when: {model.depth: [2, 3]}}\n"
    )
    first, second = expand_text(tmp_path, text).trials
    assert (first.config.optim.lr, first.swept["optim.lr"]) == (7e-4, None)
    assert (second.config.optim.lr, second.swept["optim.lr"]) == (1e-3, 1e-3)


def test_a_condition_may_name_a_later_axis_and_order_stays_that_of_the_file(tmp_path):
    rows = values(
        tmp_path,
        "{distill.temperature: {values: [1, 3], when: {distill.kind: soft}},"
        " distill.kind: [soft, hard]}",
    )
    assert rows == [(None, "hard"), (1, "soft"), (3, "soft")]


def test_conditions_chain(tmp_path):
    rows = values(
        tmp_path,
        "{distill.kind: [soft, hard],"
        " distill.temperature: {values: [1, 3], when: {distill.kind: soft}},"
        " distill.alpha: {values: [0.2, 0.8], when: {distill.temperature: 3}}}",
    )
    assert rows == [
        ("soft", 1, None),
        ("soft", 3, 0.2),
        ("soft", 3, 0.8),
        ("hard", None, None),
    ]


def test_several_conditions_must_all_hold(tmp_path):
    rows = values(
        tmp_path,
        "{distill.kind: [soft, hard], model.depth: [1, 2],"
        " distill.alpha: {values: [0.2, 0.8], when: {distill.kind: soft, model.depth: 2}}}",
    )
    assert [row for row in rows if row[2] is not None] == [("soft", 2, 0.2), ("soft", 2, 0.8)]


def test_a_condition_on_a_field_of_the_base(tmp_path):
    axes = "{model.depth: {values: [1, 2], when: {optim.name: adamw, distill.token: true}}}"
    assert values(tmp_path, axes) == [(1,), (2,)]
    expansion = expand_text(
        tmp_path,
        TAUGHT + "axes: {distill.alpha: {values: [0.1, 0.2], when: {distill.kind: soft}}}",
    )
    assert [t.swept for t in expansion.trials] == [{"distill.alpha": None}]
    assert expansion.notes == (
        "distill.alpha never varies: its condition (distill.kind=soft) is never met",
    )


def test_a_condition_on_a_free_form_argument(tmp_path):
    text = (
        "set: {data.source: digits, model.name: resnet10t, model.kwargs: {a: {b: 1}}}\n"
        "axes: {optim.lr: {values: [1e-3, 1e-4], when: {model.kwargs.a.b: [1]}},\n"
        "       optim.eps: {values: [1e-6, 1e-7], when: {model.kwargs.a.b.c: [1]}}}\n"
    )
    trials = expand_text(tmp_path, text).trials
    assert [tuple(t.swept.values()) for t in trials] == [(1e-3, None), (1e-4, None)]


def test_free_form_arguments_of_a_listed_cell_join_those_of_the_base(tmp_path):
    text = (
        "set: {data.source: digits, model.name: resnet10t, model.kwargs: {a: 1}}\n"
        "axes: {list: [{model.kwargs.b: 2}, {model: {kwargs: {b: 3}}}]}\n"
    )
    trials = expand_text(tmp_path, text, overrides=["model.kwargs.c=4"]).trials
    assert [t.config.model.kwargs for t in trials] == [
        {"a": 1, "b": 2, "c": 4},
        {"a": 1, "b": 3, "c": 4},
    ]


def test_true_is_not_one(tmp_path):
    text = "set: {data.source: digits, model.name: resnet10t}\naxes: {model.kwargs.a: [true, 1]}\n"
    names = [trial.name for trial in expand_text(tmp_path, text).trials]
    assert names == ["a=true,seed=0", "a=1,seed=0"]


# axes without effect -----------------------------------------------------------------------------


def test_hard_distillation_ignores_temperature(tmp_path):
    text = TAUGHT + (
        "axes: {distill.kind: [soft, hard], distill.temperature: [1, 3, 5], model.depth: [1, 2]}\n"
        "seeds: 4\n"
    )
    expansion = expand_text(tmp_path, text)
    assert (expansion.cells, len(expansion.trials)) == (48, 32)
    assert expansion.notes == (
        "distill.temperature has no effect with distill.kind=hard: "
        "24 combinations are 8 distinct trials",
    )
    hard = [t for t in expansion.trials if t.swept["distill.kind"] == "hard"]
    assert {t.swept["distill.temperature"] for t in hard} == {None}
    assert hard[0].name == "kind=hard,depth=1,seed=0"


def test_without_distillation_nothing_of_it_matters(tmp_path):
    text = TAUGHT + (
        "axes: {distill.kind: [none, soft, hard], distill.temperature: [1, 3], "
        "distill.alpha: [0.2, 0.8], distill.token: [true]}\n"
    )
    expansion = expand_text(tmp_path, text)
    assert expansion.notes == (
        "distill.temperature has no effect with distill.kind=none or hard: "
        "8 combinations are 3 distinct trials",
        "distill.alpha has no effect with distill.kind=none: 4 combinations are 1 distinct trial",
    )
    assert expansion.trials[0].swept == {
        "distill.kind": "none",
        "distill.temperature": None,
        "distill.alpha": None,
        "distill.token": True,
    }


def test_fields_without_effect_in_the_same_cells_share_a_note(tmp_path):
    text = TAUGHT + (
        "axes: {distill.kind: [none, soft], distill.temperature: [1, 3], distill.alpha: [0.3, 1]}\n"
    )
    assert expand_text(tmp_path, text).notes == (
        "distill.temperature and distill.alpha have no effect with distill.kind=none: "
        "4 combinations are 1 distinct trial",
    )


def test_a_field_that_never_changes_a_result_is_no_axis_at_all(tmp_path):
    expansion = expand_text(tmp_path, DIGITS + "axes: {data.workers: [0, 4]}\n")
    assert [t.swept for t in expansion.trials] == [{"data.workers": None}]
    assert expansion.notes == (
        "data.workers has no effect in this sweep: 2 combinations are 1 distinct trial",
    )


def test_strength_has_no_effect_where_its_parts_are_given(tmp_path):
    parts = (
        "augment: {rand_augment_magnitude: 0, mixup_alpha: 0, cutmix_alpha: 0, "
        "erasing_probability: 0}"
    )
    text = (
        f"set: {{data.source: digits, {parts}}}\n"
        "axes: {augment.strength: [0.5, 1.0], model.depth: [1, 2]}\n"
    )
    expansion = expand_text(tmp_path, text)
    assert [t.swept["augment.strength"] for t in expansion.trials] == [None, None]


@pytest.mark.parametrize(
    "axes",
    [
        "{zip: {distill.kind: [soft, hard, none], distill.temperature: [2, 4, 6]}}",
        "{list: [{distill.kind: soft, distill.temperature: 2}, "
        "{distill.kind: hard, distill.temperature: 4}, "
        "{distill.kind: none, distill.temperature: 6}]}",
    ],
)
def test_fields_that_move_together_are_judged_one_by_one(tmp_path, axes):
    assert values(tmp_path, axes) == [("soft", 2), ("hard", None), ("none", None)]


def test_a_value_that_happens_to_equal_another_is_one_trial(tmp_path):
    axes = "{augment.strength: [0.5, 5, 6], augment.mixup_alpha: [0.1], augment.cutmix_alpha: [1]}"
    assert [row[0] for row in values(tmp_path, axes)] == [0.5, 5]


def test_a_null_that_does_something_is_told_from_no_effect(tmp_path):
    rows = values(tmp_path, "{data.train_images: [300, null]}")
    assert rows == [(300,), ("null",)]


# teacher -----------------------------------------------------------------------------------------

STAGE = "teacher: {base: t.yaml, seed: 3}\n"


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, TEACHER_CONFIG, "t.yaml")
    return tmp_path


def test_one_teacher_comes_first_and_serves_all_seeds(folder):
    text = DIGITS + STAGE + "axes: {distill.kind: [none, soft, hard]}\nseeds: 2\n"
    expansion = expand_text(folder, text)
    teacher, *students = expansion.trials
    assert (teacher.role, teacher.name, teacher.seed) == ("teacher", "teacher", 3)
    assert (teacher.swept, teacher.after) == ({"distill.kind": None}, ())
    assert teacher.config.model.name == "resnet10t"
    assert expansion.cells == len(students) == 6
    for trial in students:
        distils = trial.swept["distill.kind"] != "none"
        assert trial.role == "student"
        assert trial.after == ((teacher.trial_id,) if distils else ())
        assert (trial.config.teacher is not None) == distils
        if trial.config.teacher:
            assert trial.config.teacher.trial == teacher.trial_id


def test_a_teacher_that_nobody_learns_from_is_not_trained(folder):
    expansion = expand_text(folder, DIGITS + STAGE + "axes: {model.depth: [1, 2]}\n")
    assert [t.role for t in expansion.trials] == ["student", "student"]
    assert expansion.notes == ("the teacher is not trained: distill.kind is none in every trial",)


def test_another_teacher_makes_other_students_of_those_that_distil(folder):
    axes = "axes: {distill.kind: [none, soft]}\n"
    one = expand_text(folder, DIGITS + STAGE + axes).trials[1:]
    other = expand_text(folder, DIGITS + STAGE.replace("3", "4") + axes).trials[1:]
    assert one[0].trial_id == other[0].trial_id
    assert one[1].trial_id != other[1].trial_id


def test_a_teacher_that_is_also_a_student_is_trained_once(folder):
    text = (
        "set: {data.source: digits, model: {in_chans: 1, img_size: 8}, distill.token: false}\n"
        "teacher: {base: t.yaml}\n"
        "axes: {list: [{distill.kind: soft, model.name: resnet18}, {model.name: resnet10t}]}\n"
    )
    trials = expand_text(folder, text).trials
    assert [(t.role, t.config.model.name) for t in trials] == [
        ("student", "resnet10t"),
        ("student", "resnet18"),
    ]
    assert trials[1].after == (trials[0].trial_id,)


# names -------------------------------------------------------------------------------------------


def test_names_use_the_shortest_ending_that_is_unambiguous(tmp_path):
    axes = "{model.name: [deit_tiny_patch16_224], optim.name: [adamw], distill.alpha: [0.5]}"
    trial = expand_text(tmp_path, f"{DIGITS}axes: {axes}\nseeds: [7]\n").trials[0]
    assert trial.name == "model.name=deit_tiny_patch16_224,optim.name=adamw,alpha=0.5,seed=7"


def test_names_are_fit_for_files_and_distinct(tmp_path):
    axes = "{data.root: [/data/a b/ü, '/data/a b/ö'], data.mean: [[0.1, 0.2, 0.3]]}"
    text = f"set: {{model.depth: 1}}\naxes: {axes}\n"
    names = [trial.name for trial in expand_text(tmp_path, text).trials]
    assert len(set(names)) == 2
    for name in names:
        assert name.startswith("root=_data_a_b_,mean=0.1-0.2-0.3,seed=0,")
        assert name.isascii()


def test_very_long_names_are_cut(tmp_path):
    texts = [f"/{letter * 60}" for letter in "abc"]
    fields = ", ".join(f"model.kwargs.argument_{n}: [{texts[0]}, {texts[1]}]" for n in range(4))
    text = f"set: {{data.source: digits, model.name: resnet10t}}\naxes: {{{fields}}}\n"
    names = [trial.name for trial in expand_text(tmp_path, text).trials]
    assert len(set(names)) == 16
    assert max(map(len, names)) < 200


# identity ----------------------------------------------------------------------------------------

AXES = {
    "distill.kind": ["none", "soft", "hard"],
    "distill.temperature": [1, 2.5, 3],
    "distill.alpha": [0.1, 0.9],
    "augment.strength": [0.0, 0.5, 7],
    "model.depth": [1, 2],
    "data.workers": [0, 1],
    "data.train_images": [100, "null"],
}


@st.composite
def sweeps(draw):
    fields = draw(st.lists(st.sampled_from(sorted(AXES)), min_size=1, max_size=4, unique=True))
    axes = {
        field: draw(st.lists(st.sampled_from(AXES[field]), min_size=1, unique=True))
        for field in fields
    }
    return axes, draw(st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True))


def text_of(axes, seeds):
    lines = [f"  {field}: [{', '.join(map(str, row))}]" for field, row in axes.items()]
    return TAUGHT + "\n".join(["axes:", *lines, f"seeds: {seeds}"]) + "\n"


def reverse(axes):
    return {field: row[::-1] for field, row in reversed(axes.items())}


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sweeps())
def test_expansion_is_deterministic_distinct_and_independent_of_order(tmp_path, sweep):
    axes, seeds = sweep
    expansion = expand_text(tmp_path, text_of(axes, seeds))
    ids = [trial.trial_id for trial in expansion.trials]
    assert expansion == expand_text(tmp_path, text_of(axes, seeds))
    assert len(set(ids)) == len(ids) <= expansion.cells
    assert len({trial.name for trial in expansion.trials}) == len(ids)
    assert set(ids) == {
        trial.trial_id for trial in expand_text(tmp_path, text_of(reverse(axes), seeds)).trials
    }
    for trial in expansion.trials:
        assert trial_and_group_id(trial.config) == (trial.trial_id, trial.group_id)
        assert canonical(trial.config) == trial.config
        assert parse_run_config(trial.config.model_dump(mode="json")) == trial.config


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sweeps())
def test_null_in_swept_means_that_the_other_values_make_the_same_trial(tmp_path, sweep):
    axes, _ = sweep
    for trial in expand_text(tmp_path, text_of(axes, [0])).trials:
        for field, row in axes.items():
            fixed = {f: [v if v is not None else axes[f][0]] for f, v in trial.swept.items()}
            ids = {
                expand_text(tmp_path, text_of(fixed | {field: [value]}, [0])).trials[0].trial_id
                for value in row
            }
            if trial.swept[field] is None:
                assert ids == {trial.trial_id}
            elif len(row) > 1:
                assert ids != {trial.trial_id}


def test_seeds_of_a_variant_share_a_group(tmp_path):
    trials = expand_text(tmp_path, DIGITS + "axes: {model.depth: [1, 2]}\nseeds: 3\n").trials
    assert len({t.group_id for t in trials[:3]}) == 1
    assert len({t.group_id for t in trials}) == 2


# size --------------------------------------------------------------------------------------------


def test_a_grid_of_10000_trials(tmp_path):
    tenths = [n / 10 for n in range(1, 11)]
    text = TAUGHT.replace("teacher:", "distill.kind: soft, teacher:") + (
        f"axes: {{distill.temperature: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], distill.alpha: {tenths}, "
        f"augment.strength: {tenths}, model.depth: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}}\n"
    )
    trials = expand(load_sweep(write(tmp_path, text))).trials
    assert len({trial.trial_id for trial in trials}) == 10_000


# the sweeps of this project ----------------------------------------------------------------------

SWEEPS = Path(__file__).parents[2] / "sweeps"


@pytest.mark.parametrize(
    ("name", "profile", "students"),
    [
        ("quickstart", None, 15),
        ("distill_ablation", None, 60),
        ("distill_ablation", "laptop", None),
        ("distill_ablation", "fashion", None),
    ],
)
def test_shipped_sweeps_expand(monkeypatch, name, profile, students):
    monkeypatch.setenv("IMAGENET", "/data/imagenet")
    expansion = expand(load_sweep(SWEEPS / f"{name}.yaml", profile=profile))
    roles = [trial.role for trial in expansion.trials]
    assert students in (None, roles.count("student"))
    assert expansion.notes == ()
    if profile:
        assert expansion.axes == (
            "distill.kind",
            "distill.temperature",
            "augment.strength",
            "model.depth",
        )
        assert roles[0] == "teacher"


@pytest.mark.parametrize("path", sorted(SWEEPS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_file_says_what_it_is(path):
    header = path.read_text().split("\n\n")[0]
    for word in ("$schema=", "Source:", "Cost:", "Expected:", "Command:", "deit-launch "):
        assert word in header, word


def test_what_an_entry_of_a_list_leaves_to_the_base_is_shown_where_it_matters(tmp_path):
    """So that a report knows the baseline; a temperature without effect stays unnamed."""
    rows = "{}, {distill.kind: hard}, {distill.kind: soft, distill.temperature: 3}"
    text = f"{TAUGHT}axes: {{list: [{rows}]}}\n"
    swept = [trial.swept for trial in expand_text(tmp_path, text).trials if trial.role == "student"]
    assert swept == [
        {"distill.kind": "none", "distill.temperature": None},
        {"distill.kind": "hard", "distill.temperature": None},
        {"distill.kind": "soft", "distill.temperature": 3},
    ]
