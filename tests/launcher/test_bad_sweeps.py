"""Every mistake in a sweep file is one line: where, what was given, what is valid, what to do."""

import pytest
from sweep_files import DIGITS, TAUGHT, TEACHER_CONFIG, error_of, write

from deit_core.errors import UserError
from launcher.expand import expand
from launcher.request import request_of
from launcher.sweep import load_config_as_sweep, load_sweep

UNKNOWN_KEYS = {
    "set:\n  data.source: digits\n  distill.temprature: 3\n": (
        'x.yaml:3:3: distill.temprature: unknown key; did you mean "temperature"?'
    ),
    "set:\n  data: {source: digits}\n  distil:\n    kind: soft\n": (
        'x.yaml:3:3: distil: unknown key; did you mean "distill"?'
    ),
    "set:\n  data:\n    source: digits\n    train_image: 3\n": (
        'x.yaml:4:5: data.train_image: unknown key; did you mean "train_images"?'
    ),
    DIGITS + "sedes: [1]\n": 'x.yaml:2:1: sedes: unknown key; did you mean "seeds"?',
    DIGITS + "train: {duration: 1ep}\n": (
        "x.yaml:2:1: train: belongs to a training config; put it under `set:`, or train this file "
        "alone with `deit-launch train"
    ),
    DIGITS + "axes:\n  distill.knd: [none]\n": (
        'x.yaml:3:3: distill.knd: unknown field; did you mean "kind"?'
    ),
    DIGITS + "axes:\n  temperature: [1]\n": (
        'x.yaml:3:3: temperature: unknown field; did you mean "distill.temperature"?'
    ),
    DIGITS + "axes:\n  distill: [1]\n": (
        "x.yaml:3:3: distill: is a section; name one of its fields, such as distill.kind"
    ),
    DIGITS + "axes:\n  seed: [1]\n": ("x.yaml:3:3: seed: is no axis; list seeds under `seeds:`"),
    DIGITS + "axes:\n  distill.alpha: {values: [1], wen: {}}\n": (
        'x.yaml:3:32: distill.alpha.wen: unknown key; did you mean "when"?'
    ),
    DIGITS + "axes:\n  distill.alpha: {values: [1], when: {distil.kind: soft}}\n": (
        'x.yaml:3:39: distil.kind: unknown field; did you mean "distill.kind"?'
    ),
    DIGITS + "resources: {gpus_pernode: 1}\n": (
        'x.yaml:2:13: resources.gpus_pernode: unknown key; did you mean "gpus_per_node"?'
    ),
    DIGITS + "search: {metod: grid}\n": (
        'x.yaml:2:10: search.metod: unknown key; did you mean "method"?'
    ),
    DIGITS + "teacher: {bse: x}\n": ('x.yaml:2:11: teacher.bse: unknown key; did you mean "base"?'),
    DIGITS + "teacher: {name: x}\n": (
        "x.yaml:2:11: teacher.name: `teacher:` of a sweep file is a training stage with the keys "
        "base, set, seed; for weights that exist already, write `set: {teacher.name: ...}`"
    ),
    DIGITS + "teacher: {set: {model.nme: x}}\n": (
        'x.yaml:2:17: in the teacher\'s config, model.nme: unknown key; did you mean "name"?'
    ),
}

WRONG_VALUES = {
    "set:\n  data.source: digits\n  model.depth: deep\n": (
        "x.yaml:3:16: model.depth: should be a valid integer, but 'deep' is given"
    ),
    "set: {data.source: digits, train.duration: 10}\n": (
        'x.yaml:1:44: train.duration: 10 has no unit; write "10ep" or "10step"'
    ),
    "set: {data.source: digits, distill: 3}\n": (
        "x.yaml:1:37: distill: is a section with fields of its own, but 3 is given"
    ),
    "set: {data.source: digits, augment.crop_scale: [0.5, 2]}\n": (
        "x.yaml:1:54: augment.crop_scale.1: should be less than or equal to 1, but 2 is given"
    ),
    "set: {data.root: '${NO_SUCH_VARIABLE}'}\n": (
        "x.yaml:1:18: data.root: the environment variable NO_SUCH_VARIABLE is not set in "
        "'${NO_SUCH_VARIABLE}'"
    ),
    DIGITS + "axes:\n  distill.kind: [none,\n    sotf]\n": (
        "x.yaml:4:5: distill.kind: 'sotf' is not valid; did you mean \"soft\"? "
        "(valid: none, soft, hard)"
    ),
    DIGITS + "axes:\n  distill.kind: [none, medium]\n": (
        "x.yaml:3:24: distill.kind: 'medium' is not valid; valid: none, soft, hard"
    ),
    DIGITS + "axes:\n  model.name: [deit_tiny_patch16_224, resnet18]\n": (
        "x.yaml:3:39: model.name: 'resnet18' is none of this package's deit_* and cait_* models, "
        "and a timm model takes no model.patch_size; set that to null (arguments of timm's go in "
        "model.kwargs), or name one such as deit_tiny_patch16_224"
    ),
    DIGITS + "axes:\n  distill.temperature: [1, x, 3]\n": (
        "x.yaml:3:28: distill.temperature: should be a valid number, but 'x' is given"
    ),
    DIGITS + "axes:\n  distill.alpha: {values: [1], when: {distill.kind: sotf}}\n": (
        "x.yaml:3:53: distill.kind: 'sotf' is not valid; did you mean \"soft\"? "
        "(valid: none, soft, hard)"
    ),
    DIGITS + "resources: {time: 24}\n": (
        'x.yaml:2:19: resources.time: 24 has no unit; write "24h" or "24min"'
    ),
    DIGITS + "resources: {time: 24x}\n": (
        'x.yaml:2:19: resources.time: \'24x\' is no time; write "24h", "90min", "1d12h" or '
        '"1-12:00:00"'
    ),
    DIGITS + "resources: {cohort: 0}\n": (
        "x.yaml:2:21: resources.cohort: 0 is no cohort size; use true, false, or a number from 1 up"
    ),
    DIGITS + "resources: 3\n": (
        "x.yaml:2:12: resources: expected `key: value` lines, but 3 is given"
    ),
    DIGITS + "search: {method: tpe}\n": (
        "x.yaml:2:18: search.method: chooses the fields of `axes.search`, but there are none"
    ),
    DIGITS + "name: a/b\n": (
        "x.yaml:2:7: name: 'a/b' cannot name a folder; use up to 80 letters, digits, dots, "
        "hyphens and underscores, a letter or digit first"
    ),
    DIGITS + "axes:\n  list: [{}, {}]\n": (
        "x.yaml:3:9: list: no entry names a field, so nothing varies"
    ),
    DIGITS + "axes:\n  optim.lr: [null]\n": (
        "x.yaml:3:14: optim.lr: should be a valid number, but null is given"
    ),
    "set: {data.source: digits, model.depth: x, optim.lr: y, train.duration: 3}\n": (
        "x.yaml:1:41: model.depth: should be a valid integer, but 'x' is given; optim.lr: should "
        "be a valid number, but 'y' is given; train.duration: 3 has no unit"
    ),
    "set: {data.source: digits, model: {depth: a, num_heads: b, embed_dim: c, patch_size: d}}\n": (
        "x.yaml:1:86: model.patch_size: should be a valid integer, but 'd' is given; "
        "model.embed_dim: should be a valid integer, but 'c' is given; model.depth: should be a "
        "valid integer, but 'a' is given (and 1 more problem)"
    ),
    DIGITS + "resources: {nodes: 0, time: 24}\n": (
        "x.yaml:2:20: resources.nodes: should be greater than 0, but 0 is given; "
        "resources.time: 24 has no unit"
    ),
    DIGITS + "description: [1]\n": "x.yaml:2:14: description: expected text, but a list is given",
    DIGITS + "base: 3\n": "x.yaml:2:7: base: expected the path of a file, but 3 is given",
    DIGITS + "base: taecher.yaml\n": "x.yaml:2:7: base: there is no file taecher.yaml",
    DIGITS + "seeds: []\n": "x.yaml:2:8: seeds: the list is empty; give at least one seed",
    DIGITS + "seeds: [0, 1,\n 0]\n": "x.yaml:3:2: seeds: 0 is listed twice; remove one",
    DIGITS + "seeds: 0\n": "x.yaml:2:8: seeds: 0 seeds train nothing; give at least 1",
    DIGITS + "seeds: yes\n": (
        "x.yaml:2:8: seeds: expected a list such as [0, 1, 2], or a number of seeds, "
        "but 'yes' is given"
    ),
    DIGITS + "seeds: [-1]\n": (
        "x.yaml:2:9: seeds: a seed is a whole number from 0 to 4294967295, but -1 is given"
    ),
    "set: {data.source: digits, seed: 3}\nseeds: [1]\n": (
        "x.yaml:1:28: seed: is given by `seeds:` already; remove one of them"
    ),
    "set: {model.depth: 3,\n model: {depth: 4}}\n": (
        "x.yaml:2:10: model.depth is given twice, first in line 1; keep one"
    ),
    "set: {a..b: 3}\n": 'x.yaml:1:7: "a..b" is no field; write it like distill.kind',
}

BAD_AXES = {
    "axes: [1]\n": "x.yaml:2:7: axes: expected `key: value` lines, but a list is given",
    "axes: {distill.kind: []}\n": (
        "x.yaml:2:22: distill.kind: the axis has no values; list some or remove it"
    ),
    "axes:\n  distill.kind: soft\n": (
        "x.yaml:3:17: distill.kind: an axis takes a list of values, but 'soft' is given; "
        "write [..., ...]"
    ),
    "axes:\n  distill.kind:\n": (
        "x.yaml:3:16: distill.kind: an axis takes a list of values, but null is given; "
        "write [..., ...]"
    ),
    "axes: {distill.alpha: {when: {distill.kind: soft}}}\n": (
        "x.yaml:2:8: distill.alpha: an axis needs `values: [...]`"
    ),
    "axes: {model.depth: [1, 2, 1]}\n": "x.yaml:2:28: model.depth: 1 is listed twice; remove one",
    "axes: {model.depth: [1], list: [{model.depth: 2}]}\n": (
        "x.yaml:2:26: model.depth varies twice, first in line 2; keep one of the two"
    ),
    "axes: {zip: {model.depth: [1, 2], model.embed_dim: [64]}}\n": (
        "x.yaml:2:35: zip: model.depth has 2 values but model.embed_dim has 1; "
        "fields that move together need equally many"
    ),
    "axes: {zip: {model.depth: 1}}\n": (
        "x.yaml:2:27: zip: model.depth takes a list of values, but 1 is given"
    ),
    "axes: {list: {model.depth: 1}}\n": (
        "x.yaml:2:14: list: expected a list of `field: value` entries, but a mapping is given"
    ),
    "axes: {list: []}\n": "x.yaml:2:14: list: the axis has no values; list some or remove it",
    "axes: {random: {optim.lr: [1e-3]}}\n": (
        "x.yaml:2:8: random: how many draws? Set `search: {method: random, trials: 20}`"
    ),
    "axes: {random: {optim.lr: {low: 1}}}\nsearch: {trials: 2}\n": (
        "x.yaml:2:27: optim.lr: give `low` and `high`, or a list of values to choose from"
    ),
    "axes: {random: {optim.lr: {low: 2, high: 1}}}\nsearch: {trials: 2}\n": (
        "x.yaml:2:17: optim.lr: low 2 must be below high 1"
    ),
    "axes: {random: {model.depth: {low: 1, high: 4}}}\nsearch: {trials: 2}\n": (
        "x.yaml:2:17: model.depth: should be a valid integer"
    ),
    "search: {method: random, trials: 3}\n": (
        "x.yaml:2:18: search.method: draws the fields of `axes.random`, but there are none; "
        "move the fields to draw there"
    ),
    "axes: {random: {optim.lr: [1e-3]}}\nsearch: {method: grid, trials: 2}\n": (
        "x.yaml:3:18: search.method: grid draws nothing, but `axes.random` is given"
    ),
    "axes:\n  distill.alpha: {values: [0.2], when: {distill.temperature: 1}}\n"
    "  distill.temperature: {values: [1], when: {distill.alpha: 0.2}}\n": (
        "x.yaml:3:3: distill.alpha: the `when` conditions lead back to themselves"
    ),
    "axes: {distill.alpha: {values: [0.2], when: {distill.alpha: 1}}}\n": (
        "x.yaml:2:46: distill.alpha: cannot depend on itself"
    ),
    "axes:\n  model.in_chans: [1, 3]\n": (
        "x.yaml:1:64: model.in_chans is set here and varies in line 3; remove one of them"
    ),
}

ASKED = "search: {method: tpe, trials: 9}\n"
LR = "optim.lr: {low: 1.0e-4, high: 1.0e-2}"
AXES = f"axes: {{search: {{{LR}}}}}\n"
KINDS = "distill.kind: [none, soft, hard]"
BAD_SEARCHES = {
    "search: {method: tpee, trials: 9}\n" + AXES: (
        "x.yaml:2:18: search.method: 'tpee' is not valid; did you mean \"tpe\"? "
        "(valid: grid, random, tpe, gp, cmaes, nsga2, qmc)"
    ),
    "search: {method: grid, trials: 9}\n" + AXES: (
        "x.yaml:2:18: search.method: grid chooses nothing, but `axes.search` is given; use one of"
    ),
    "search: {method: tpe}\n" + AXES: (
        "x.yaml:3:8: search: how many points? Set `search: {method: tpe, trials: 40}`"
    ),
    "search: {trials: 9, objective: val_top2}\n" + AXES: (
        "x.yaml:2:32: search.objective: no trial reports 'val_top2'; did you mean \"val_top5\"?"
    ),
    "search: {trials: 9, objective: val_top1_dist}\n" + AXES: (
        "x.yaml: search: no trial reports val_top1_dist: there is no distillation head where "
        "distill.kind is none"
    ),
    "search: {trials: 9, constraints: speed >= 2000}\n" + AXES: (
        "x.yaml:2:34: search.constraints: no trial reports 'speed'; valid: gflops, parameters"
    ),
    "search: {trials: 9, constraints: fast}\n" + AXES: (
        "x.yaml:2:34: search.constraints: a constraint is a metric, >= or <=, and a number, such "
        "as train_images_per_s >= 2000, but 'fast' is given"
    ),
    "search: {trials: 9, objective: [val_top1, val_top1]}\n" + AXES: (
        "x.yaml:2:10: search: an objective is listed twice in ['val_top1', 'val_top1']"
    ),
    "search: {trials: 9, method: cmaes, objective: [val_top1, gflops]}\n" + AXES: (
        "x.yaml:2:47: search.objective: cmaes takes one, but 2 are given; use method: tpe, gp"
    ),
    "search: {trials: 9, method: cmaes, constraints: gflops <= 1}\n" + AXES: (
        "x.yaml:2:49: search.constraints: cmaes knows none; use method: tpe, gp or nsga2"
    ),
    ASKED + f"axes: {{search: {{{LR}}}, model.depth: [1, 2]}}\n": (
        "x.yaml:3:57: axes.model.depth: stands beside `axes.search`, and a search chooses all that "
        "varies; move it there as a list of values to choose from"
    ),
    ASKED + "axes: {search: {model.depth: [3]}}\n": (
        "x.yaml:3:8: search: the space has one point, so there is nothing to search; give a field "
        "a range or more values"
    ),
    ASKED + "axes: {search: {optim.lr: {low: 1.0e-2, high: 1.0e-4}}}\n": (
        "x.yaml:3:17: optim.lr: low 0.01 must be below high 0.0001"
    ),
    ASKED + "axes: {search: {model.depth: {low: 1, high: 4}}}\n": (
        "x.yaml:3:17: model.depth: should be a valid integer, but 1.0 is given; add `int: true`"
    ),
    ASKED + "axes: {search: {optim.lr: {low: 1.0e-4, high: 1, values: [1]}}}\n": (
        "x.yaml:3:28: optim.lr: give `values` or a range, not both"
    ),
    ASKED + "axes:\n  search:\n    distill.kind: [none, hard]\n"
    "    distill.temperature: {low: 1, high: 5, when: {distill.kind: soft}}\n": (
        "x.yaml:6:5: distill.temperature: its condition distill.kind=soft is never met, so it "
        "never varies"
    ),
    ASKED + f"axes:\n  search:\n    {KINDS}\n"
    "    distill.alpha: {low: 0, high: 1, when: {distill.kind: soft}}\n"
    "    distill.temperature:\n"
    "      {low: 1, high: 5, when: {distill.kind: hard, distill.alpha: 0.25}}\n": (
        "x.yaml:7:5: distill.temperature: its conditions on distill.kind contradict each other, "
        "so it never varies"
    ),
    ASKED
    + "axes:\n  search:\n    distill.alpha: {low: 0, high: 1, when: {distill.temperature: 2}}\n"
    "    distill.temperature: {low: 1, high: 5, when: {distill.alpha: 0.5}}\n": (
        "x.yaml:4:3: distill.alpha, distill.temperature: the `when` conditions lead back to"
    ),
    "search: {trials: 9, pruner: {rungs: [0.3, 0.1]}}\n" + AXES: (
        "x.yaml:2:29: search.pruner: rungs must ascend, but [0.3, 0.1] is given"
    ),
    "search: {trials: 9, pruner: {rungs: [0.1, 0.2, 0.3, 0.4]}}\n" + AXES + "profiles:\n"
    "  short: {set: {train.duration: 4ep}}\n": (
        "x.yaml:2:21: search.pruner.rungs: 4 rungs and the end need 5 evaluations, but the base "
        "config (train.duration 4ep, eval.every 1ep) has 4; evaluate more often (eval.every)"
    ),
}


@pytest.mark.parametrize(("text", "expected"), UNKNOWN_KEYS.items())
def test_unknown_key(tmp_path, text, expected):
    assert error_of(tmp_path, text).startswith(expected)


@pytest.mark.parametrize(("text", "expected"), WRONG_VALUES.items())
def test_wrong_value(tmp_path, text, expected):
    assert error_of(tmp_path, text).startswith(expected)


@pytest.mark.parametrize(("text", "expected"), BAD_AXES.items())
def test_bad_axes(tmp_path, text, expected):
    assert error_of(tmp_path, DIGITS + text).startswith(expected)


@pytest.mark.parametrize(("text", "expected"), BAD_SEARCHES.items())
def test_bad_search(tmp_path, text, expected):
    profile = "short" if "short" in text else None
    path = write(tmp_path, DIGITS + text)
    with pytest.raises(UserError) as caught:
        request_of(load_sweep(path, profile=profile))
    message = str(caught.value).replace(f"{tmp_path}/", "")
    assert "\n" not in message
    assert message.startswith(expected)


# combinations ------------------------------------------------------------------------------------


def test_distillation_without_a_teacher_points_at_the_kind_that_needs_one(tmp_path):
    text = DIGITS + "axes:\n  distill.kind: [none, soft]\n  model.depth: [2, 4]\n"
    assert error_of(tmp_path, text) == (
        "x.yaml:3:24: distill.kind: 'soft' distillation needs a teacher; add a `teacher:` section "
        "(pretrained, checkpoint or trial) or set distill.kind: none"
    )


def test_a_student_without_a_token_cannot_distil_through_it(tmp_path):
    text = TAUGHT + "axes:\n  distill.kind: [soft]\n  model.name: [deit_tiny_patch16_224]\n"
    assert error_of(tmp_path, text) == (
        "x.yaml:4:16: model.name: deit_tiny_patch16_224 has no distillation token to distil with; "
        "use model.name: deit_tiny_distilled_patch16_224, or set distill.token: false to distil "
        "through its class head (in the combination distill.kind=soft, "
        "model.name=deit_tiny_patch16_224)"
    )


def test_an_image_that_patches_do_not_divide(tmp_path):
    text = "set: {data.source: digits}\naxes:\n  model.img_size: [8, 9]\n  model.patch_size: [2]\n"
    assert error_of(tmp_path, text) == (
        "x.yaml:3:23: model.img_size: an image of 9 pixels cannot be cut into patches of 2; "
        "choose img_size a multiple of patch_size "
        "(in the combination model.img_size=9, model.patch_size=2)"
    )


def test_a_base_that_is_wrong_by_itself_is_blamed_and_not_the_axes(tmp_path):
    text = "set:\n  data.source: digits\n  model.nme: x\naxes: {model.depth: [1, 2]}\n"
    assert error_of(tmp_path, text) == ('x.yaml:3:3: model.nme: unknown key; did you mean "name"?')


def test_an_error_in_a_base_file_names_that_file(tmp_path):
    (tmp_path / "recipes").mkdir()
    write(tmp_path / "recipes", "data:\n  sorce: digits\n", "b.yaml")
    assert error_of(tmp_path, "base: recipes/b.yaml\n") == (
        'recipes/b.yaml:2:3: data.sorce: unknown key; did you mean "source"?'
    )


def test_missing_data_root(tmp_path):
    message = error_of(tmp_path, "set:\n  data:\n    source: image_folder\n")
    assert message.startswith("x.yaml:2:3: data.root: image_folder needs a folder with train/<cla")


def test_bases_that_lead_back_to_themselves(tmp_path):
    write(tmp_path, "base: b.yaml\n", "a.yaml")
    write(tmp_path, "base: a.yaml\n", "b.yaml")
    assert error_of(tmp_path, "base: a.yaml\n") == ("b.yaml:1:7: base: a.yaml leads back to itself")


# teacher -----------------------------------------------------------------------------------------

STUDENT = DIGITS + "axes: {distill.kind: [none, soft]}\n"


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        (
            "{base: t.yaml, set: {model.num_classes: 5}}",
            "x.yaml:3:1: model.num_classes: is 5 for the teacher but 10 for the student, and they "
            "must tell the same classes apart; make them equal",
        ),
        (
            "{base: t.yaml, set: {model.in_chans: 3}}",
            "x.yaml:1:74: model.in_chans: is 3 for the teacher but 1 for the student",
        ),
        (
            "{base: t.yaml, set: {model.img_size: 32}}",
            "x.yaml:1:46: model.img_size: is 32 for the teacher but 8 for the student",
        ),
        (
            "{base: t.yaml, set: {data.source: fashion_mnist}}",
            "x.yaml:1:20: data.source: is fashion_mnist for the teacher but digits for the student",
        ),
        ("3", "x.yaml:3:10: teacher: expected `key: value` lines, but 3 is given"),
    ],
)
def test_a_teacher_that_does_not_fit(tmp_path, stage, expected):
    write(tmp_path, TEACHER_CONFIG, "t.yaml")
    assert error_of(tmp_path, f"{STUDENT}teacher: {stage}\n").startswith(expected)


def test_a_misfit_in_one_cell_is_found_at_its_axis_value(tmp_path):
    write(tmp_path, TEACHER_CONFIG, "t.yaml")
    text = (
        "set: {data.source: digits, model: {in_chans: 1, patch_size: 2}, distill.kind: soft}\n"
        "teacher: {base: t.yaml}\naxes: {model.img_size: [8, 16]}\n"
    )
    assert error_of(tmp_path, text).startswith("x.yaml:3:28: model.img_size: is 8 for the teacher")


def test_two_teachers(tmp_path):
    write(tmp_path, TEACHER_CONFIG, "t.yaml")
    assert error_of(tmp_path, TAUGHT + "teacher: {base: t.yaml}\n") == (
        "x.yaml:1:78: teacher: the students' config names a teacher, and the stage in line 2 "
        "trains one; remove the stage, or write `set: {teacher: null}`"
    )
    text = DIGITS + "teacher: {base: t.yaml}\naxes: {teacher.name: [a, b]}\n"
    assert error_of(tmp_path, text).startswith("x.yaml:3:8: teacher.name: cannot vary")


def test_a_teacher_trial_named_by_hand(tmp_path):
    text = "set: {data.source: digits, teacher: {trial: abc}, distill.kind: soft}\n"
    assert error_of(tmp_path, text).startswith("x.yaml:1:38: teacher.trial: is filled in by the")


# profiles and overrides --------------------------------------------------------------------------

PROFILES = DIGITS + (
    "axes: {model.depth: [1, 2]}\n"
    "profiles:\n"
    "  laptop: {seeds: [0]}\n"
    "  typo: {axes: {model.dept: null}}\n"
    "  both: {set: {model.depth: 3}}\n"
    "  key: {sed: 3}\n"
)


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ("latop", 'x.yaml: profile latop: there is no such profile; did you mean "laptop"?'),
        ("gpu", "x.yaml: profile gpu: there is no such profile; valid: both, key, laptop, typo"),
        (
            "typo",
            "x.yaml:5:17: axes.model.dept: there is no such axis to take away; "
            'did you mean "model.depth"?',
        ),
        (
            "both",
            "x.yaml:6:16: model.depth is set here and varies in line 2; take the axis away with "
            "`axes: {model.depth: null}`, or do not set the field",
        ),
        ("key", "x.yaml:7:9: profiles.key.sed: unknown key; did you mean"),
    ],
)
def test_bad_profile(tmp_path, profile, expected):
    assert error_of(tmp_path, PROFILES, profile=profile).startswith(expected)


def test_no_profiles_at_all(tmp_path):
    assert error_of(tmp_path, DIGITS, profile="a") == (
        "x.yaml: profile a: there is no such profile; the file has no profiles"
    )


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("x", "--set x: expected FIELD=VALUE, such as --set distill.kind=soft"),
        ("=3", "--set =3: expected FIELD=VALUE, such as --set distill.kind=soft"),
        (
            "distill.knd=soft",
            '--set distill.knd=soft: distill.knd: unknown field; did you mean "kind"?',
        ),
        (
            "optimizer.lr=2",
            '--set optimizer.lr=2: optimizer.lr: unknown field; did you mean "optim.lr"?',
        ),
        ("x.y=2", "--set x.y=2: x.y: unknown field; valid: augment, bench, data, distill, eval"),
        (
            "resources.node=2",
            '--set resources.node=2: resources.node: unknown key; did you mean "nodes"?',
        ),
        ("resources.nodes=0", "--set resources.nodes=0: resources.nodes: should be greater than 0"),
        ("model.depth=[1", "--set model.depth=[1: the value is not YAML: YAML syntax: expected"),
        ("distill.kind=sft", "--set distill.kind=sft: distill.kind: 'sft' is not valid; did you"),
        ("seeds=[]", "--set seeds=[]: seeds: the list is empty; give at least one seed"),
        ("seed=x", "--set seed=x: seeds: a seed is a whole number from 0 to 4294967295, but 'x'"),
        ("distill=3", "--set distill=3: distill: is a section with fields of its own, but 3"),
    ],
)
def test_bad_override(tmp_path, override, expected):
    assert error_of(tmp_path, DIGITS, overrides=[override]).startswith(expected)


# the wrong kind of file --------------------------------------------------------------------------


def test_a_sweep_file_is_no_training_config(tmp_path):
    path = write(tmp_path, STUDENT)
    with pytest.raises(UserError, match=r'x\.yaml:1:1: "set" belongs to a sweep file.* sweep`'):
        load_config_as_sweep(path)


def test_a_training_config_is_no_sweep_file(tmp_path):
    path = write(tmp_path, TEACHER_CONFIG)
    with pytest.raises(UserError, match=r"x\.yaml:1:1: data: belongs to a training config"):
        load_sweep(path)


def test_errors_of_a_single_config_have_positions(tmp_path):
    path = write(tmp_path, "data: {source: digits}\ntrain:\n  duration: forever\n")
    with pytest.raises(UserError, match=r"x\.yaml:3:13: train\.duration: 'forever' is no duration"):
        expand(load_config_as_sweep(path))
