import contextlib
import errno
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.errors import Location, YamlError
from launcher.yaml_source import load_yaml, parse_yaml


def plain(text):
    node = parse_yaml(text, "x.yaml")
    return None if node is None else node.plain()


def message(text):
    with pytest.raises(YamlError) as caught:
        parse_yaml(text, "x.yaml")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("5E4", 5e4),
        ("1.", 1.0),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("+3", 3),
        ("010", 10),
        ("0x1F", 31),
        ("0o17", 15),
        ("no", "no"),
        ("off", "off"),
        ("yes", "yes"),
        ("on", "on"),
        ("y", "y"),
        ("none", "none"),
        ("None", "None"),
        ("null", None),
        ("~", None),
        ("true", True),
        ("False", False),
        ("tRue", "tRue"),
        ("1_000", "1_000"),
        ("12:30:00", "12:30:00"),
        ("2026-01-01", "2026-01-01"),
        ("300ep", "300ep"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("!!str 1", "1"),
        ("!!float 1", 1.0),
    ],
)
def test_scalars_follow_yaml_1_2(text, value):
    result = plain(f"a: {text}")["a"]
    assert result == value
    assert type(result) is type(value)


def test_nothing_is_null():
    assert plain("a:\nb: {c: }") == {"a": None, "b": {"c": None}}


def test_every_key_and_value_knows_its_place():
    root = parse_yaml("distill:\n  kind:  soft\naxes: [1,\n  {b: 2}]\n", "x.yaml").value
    kind = root["distill"].value["kind"]
    assert kind.key == Location("x.yaml", 2, 3)
    assert str(kind.location) == "x.yaml:2:10"
    assert str(root["axes"].value[1].value["b"].location) == "x.yaml:4:7"


def test_anchors_aliases_and_merge_keys():
    text = "a: &a {x: 1, y: 2}\nb: &b {y: 3}\nc: {<<: *a, x: 9}\nd: {<<: [*b, *a], z: *a}\n"
    values = plain(text)
    assert values["c"] == {"x": 9, "y": 2}
    assert values["d"] == {"x": 1, "y": 3, "z": {"x": 1, "y": 2}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "a: 1\nb: 2\na: 3\n",
            'x.yaml:3:1: duplicate key "a", first given in line 1; keep one of them',
        ),
        ("a:\n\tb: 1\n", "x.yaml:2:1: YAML cannot be indented with tabs; use spaces"),
        ("a: b: c\n", "x.yaml:1:5: YAML syntax: mapping values are not allowed here"),
        (
            "a: [1, 2\nb: 3\n",
            "x.yaml:2:2: YAML syntax: expected ',' or ']', but got ':' "
            "(while parsing a flow sequence that begins in line 1)",
        ),
        ("a: *x\n", "x.yaml:1:4: YAML syntax: found undefined alias 'x'"),
        ("a: &x [*x]\n", "x.yaml:1:4: an alias contains itself"),
        ("a: 1\n---\nb: 2\n", "x.yaml:2:1: a second document begins here"),
        ("a: \x07\n", "x.yaml:1:4: character U+0007 is not allowed"),
        ("1: a\n", "x.yaml:1:1: a key must be text"),
        ("a: !!python/object:os.system x\n", "x.yaml:1:4: the tag tag:yaml.org,2002:python/obj"),
        ("a: !mine {b: 1}\n", "x.yaml:1:4: the tag !mine is not supported"),
        ("a: !!int 1e3\n", "x.yaml:1:4: '1e3' is no int"),
        ("a: {<<: 3}\n", "x.yaml:1:9: `<<` takes a mapping"),
        ("a: " + "[" * 1500, "x.yaml:1:1: brackets are nested too deeply"),
    ],
)
def test_syntax_errors_are_one_line_with_position(text, expected):
    assert message(text).startswith(expected)


def load_message(path):
    with pytest.raises(YamlError) as caught:
        load_yaml(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_files_that_hold_no_mapping(tmp_path):
    path = tmp_path / "x.yaml"
    for text in ("", "# only a comment\n"):
        path.write_text(text)
        assert "x.yaml:1:1: " in load_message(path)
    path.write_text("\n- a\n- b\n")
    assert load_message(path) == f"{path}:2:1: expected `key: value` lines, but a list is given"


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "quickstart.yaml").write_text("a: 1")
    assert load_message(tmp_path / "quikstart.yaml") == (
        f"{tmp_path}/quikstart.yaml: there is no such file; "
        f'did you mean "{tmp_path}/quickstart.yaml"?'
    )
    assert load_message(tmp_path / "no" / "x.yaml").endswith(f"{tmp_path}/no is no folder")
    assert "this is a folder" in load_message(tmp_path)
    binary = tmp_path / "latin.yaml"
    binary.write_bytes(b"a: 1\nb: caf\xe9\n")
    assert load_message(binary) == f"{binary}:2:7: the file is not UTF-8 text; save it as UTF-8"


def test_no_permission(tmp_path, monkeypatch):
    def refuse(_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)  # root, who may run this, reads everything
    assert load_message(tmp_path / "x.yaml").endswith("x.yaml: cannot be read: Permission denied")


def test_byte_order_mark_and_windows_line_ends(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: [x,\r\n  y]\r\n")
    assert load_yaml(path).root.plain() == {"a": 1, "b": ["x", "y"]}


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(YamlError):
        parse_yaml(text, "x.yaml")
