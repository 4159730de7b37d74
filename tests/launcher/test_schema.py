"""The JSON Schemas that editors use agree with the parser, and docs/sweeps.md with both."""

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from sweep_files import DIGITS, write

from launcher.expand import expand
from launcher.schema import run_config_schema, sweep_schema, write_schemas
from launcher.sweep import load_config_as_sweep, load_sweep
from launcher.yaml_source import load_yaml, parse_yaml

ROOT = Path(__file__).parents[2]
SWEEP = Draft202012Validator(sweep_schema())
CONFIG = Draft202012Validator(run_config_schema())


@pytest.mark.parametrize("name", ["run_config", "sweep"])
def test_the_copies_in_the_repository_are_current(tmp_path, name):
    write_schemas(tmp_path)
    expected = (tmp_path / f"{name}.schema.json").read_text()
    assert (ROOT / "schemas" / f"{name}.schema.json").read_text() == expected, (
        "run `python -m launcher.schema`"
    )
    Draft202012Validator.check_schema(json.loads(expected))


@pytest.mark.parametrize("path", sorted((ROOT / "sweeps").rglob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_files_are_valid_and_name_their_schema(path):
    document = load_yaml(path)
    relative = re.search(r"\$schema=(\S+)", document.text).group(1)
    schema = json.loads((path.parent / relative).read_text())
    assert schema["title"] == ("Training config" if path.parent.name == "recipes" else "Sweep")
    assert list(Draft202012Validator(schema).iter_errors(document.root.plain())) == []


@pytest.mark.parametrize(
    "text",
    [
        "axes: {distill.kind: [none, soft]}",
        "axes: {distill.alpha: {values: [0.1], when: {distill.kind: [soft, hard]}}}",
        "axes: {zip: [{model.depth: [1], optim.lr: [1e-3]}]}",
        "axes: {list: [{model.depth: 1}, {model.kwargs.a: x}, {}]}",
        "set: {model: null, train: {duration: null}, optim.lr: null, teacher: null, seed: null}",
        "axes: {random: {optim.lr: {low: 1e-4, high: 1, log: true}, distill.kind: [soft]}}\n"
        "search: {method: random, trials: 3, seed: 1}",
        "set: {model: {depth: 2}, distill.kind: soft, model.kwargs.x: 1}\nseeds: 3",
        "teacher: {base: t.yaml, set: {model.depth: 1}, seed: 3}",
        "bench: {fast: true, timed_s: 1, quantities: [inference], when: alone}",
        "bench: {}\nprofiles: {a: {bench: null}}",
        "profiles: {a: {axes: {distill.kind: null}, teacher: null, resources: {cohort: 4}}}",
    ],
)
def test_what_the_parser_takes_the_schema_takes(text):
    assert list(SWEEP.iter_errors(parse_yaml(text, "x").plain())) == []


@pytest.mark.parametrize(
    "text",
    [
        "sedes: [1]",
        "seeds: []",
        "set: {distill.knd: soft}",
        "set: {distill: {kind: sotf}}",
        "axes: {distill.kind: soft}",
        "axes: {distill.kind: []}",
        "axes: {distill.kind: [sotf]}",
        "axes: {distill.kind: {values: [soft], wen: {}}}",
        "axes: {random: {optim.lr: {lo: 1}}}",
        "search: {method: bayes}",
        "resources: {gpus: 1}",
        "bench: {fats: true}",
        "bench: {blocks: 0}",
        "bench: {quantities: [speed]}",
        "teacher: {name: x}",
        "profiles: {a: {profiles: {}}}",
    ],
)
def test_what_the_parser_refuses_the_schema_refuses(text):
    assert list(SWEEP.iter_errors(parse_yaml(text, "x").plain()))


def test_training_configs():
    good = "base: a.yaml\ndata: {source: digits}\nmodel.depth: 2\nseed: 1\nteacher: null"
    assert list(CONFIG.iter_errors(parse_yaml(good, "x").plain())) == []
    for bad in ("axes: {}", "data: {sorce: digits}", "model.depht: 2", "seed: x"):
        assert list(CONFIG.iter_errors(parse_yaml(bad, "x").plain())), bad


# docs/sweeps.md ----------------------------------------------------------------------------------

PAGE = (ROOT / "docs" / "sweeps.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
ROWS = re.findall(r"^\| `([a-z]+(?:\.[a-z]+)?: .*?[\]}])` \|", PAGE, flags=re.MULTILINE)


@pytest.fixture
def examples(tmp_path):
    """A folder beside which the recipes lie, as in sweeps/."""
    (tmp_path / "recipes").symlink_to(ROOT / "sweeps" / "recipes")
    return tmp_path


@pytest.mark.parametrize("text", EXAMPLES)
def test_examples_of_the_page_run(examples, text):
    path = write(examples, text)
    document = load_yaml(path)
    sweep = load_config_as_sweep(path) if "data" in document.entries else load_sweep(path)
    assert expand(sweep).trials
    assert (
        list((CONFIG if "data" in document.entries else SWEEP).iter_errors(document.root.plain()))
        == []
    )
    if "profiles" in document.entries:
        (profile,) = document.entries["profiles"].value
        assert len(expand(load_sweep(path, profile=profile)).trials) == 5


@pytest.mark.parametrize("row", ROWS)
def test_axes_of_the_page_run(examples, row):
    trials = "search: {trials: 3}\n" if row.startswith(("random", "search")) else ""
    text = DIGITS.replace("}}", "}, teacher: {name: r, pretrained: true}}")
    sweep = load_sweep(write(examples, f"{text}{trials}axes:\n  {row}\n"))
    assert expand(sweep).trials
    assert (sweep.space is not None) == row.startswith("search")


def test_the_page_has_its_examples():
    assert len(EXAMPLES) == 5
    assert len(ROWS) == 6


def test_the_page_names_every_resource_and_every_setting_of_the_measurement():
    fields = SWEEP.schema["$defs"]["Resources"]["properties"]
    fields |= SWEEP.schema["$defs"]["Bench"]["properties"]
    assert [field for field in fields if f"`{field}`" not in PAGE] == []
