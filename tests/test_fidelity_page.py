"""docs/fidelity.md names tests, settings and defaults that exist."""

import re
import typing
from pathlib import Path

import pytest
import yaml

from deit_core.config import RunConfig
from deit_core.config_types import Section

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "fidelity.md").read_text()


def section_of(field) -> list[type[Section]]:
    """The class of a section of the config, also where it may be left out."""
    candidates = (field.annotation, *typing.get_args(field.annotation))
    return [one for one in candidates if isinstance(one, type) and issubclass(one, Section)]


SECTIONS = {
    name: classes[0]
    for name, field in RunConfig.model_fields.items()
    if (classes := section_of(field))
}
NEEDED = {"finetune": {"checkpoint": "weights.pth"}}
CITED_TESTS = sorted(set(re.findall(r"`(test_\w+\.py)::(\w+)`", PAGE)))
CITED_SETTINGS = sorted(set(re.findall(rf"`({'|'.join(SECTIONS)})\.(\w+)(?:: ([\w.]+))?`", PAGE)))


@pytest.mark.parametrize(("file", "name"), CITED_TESTS)
def test_cited_tests_exist(file, name):
    (path,) = (ROOT / "tests").rglob(file)
    assert re.search(rf"^def {name}\(", path.read_text(), re.MULTILINE)


@pytest.mark.parametrize(("section", "field", "value"), CITED_SETTINGS)
def test_cited_settings_are_valid(section, field, value):
    assert field in SECTIONS[section].model_fields
    given = {field: yaml.safe_load(value)} if value else {}
    SECTIONS[section].model_validate(NEEDED.get(section, {}) | given)


def test_the_defaults_are_the_config_s():
    rows = re.findall(r"^\| `(\w+)\.(\w+)` \| (\S+) \|", PAGE, re.MULTILINE)
    assert len(rows) == 6
    for section, field, shown in rows:
        default = SECTIONS[section].model_fields[field].get_default()
        assert shown.strip("`") == ("null" if default is None else str(default))


def test_the_page_cites_enough_to_mean_something():
    assert len(CITED_TESTS) >= 20
    assert len(CITED_SETTINGS) >= 15
