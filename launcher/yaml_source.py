"""YAML that remembers where everything stands, and means what it says.

Scalars follow YAML 1.2's core schema: `1e-3` is a number, `no`, `off`, `yes`, `on` and `none` are
text, `12:30:00` is text. (PyYAML's own rules, YAML 1.1, read the first as text, the next four as
booleans and the last as a number.) Duplicate keys are errors. Aliases and merge keys (`<<`) work.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError

from launcher.errors import Location, YamlError

Scalar = str | int | float | bool | None

_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)"
    r"|\.(?:nan|NaN|NAN)"
)
_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class Node:
    """A value of a YAML file with its position."""

    value: Scalar | tuple[Node, ...] | Mapping[str, Node]
    location: Location
    """Where the value starts."""
    key: Location | None = None
    """Where the key that leads here starts; None for items of a list and for the top."""
    on_null: bool = False
    """A section laid over a null: in the layers below, everything under its key is taken away."""

    @property
    def where(self) -> Location:
        """The key's position, or the value's where there is no key."""
        return self.key or self.location

    @property
    def kind(self) -> str:
        """What the value is, in words for a message."""
        if isinstance(self.value, Mapping):
            return "a mapping"
        if isinstance(self.value, tuple):
            return "a list"
        if self.value is None or isinstance(self.value, bool):
            return {None: "null", True: "true", False: "false"}[self.value]
        return repr(self.value)

    def plain(self) -> Any:
        """The value as dicts, lists and scalars."""
        if isinstance(self.value, Mapping):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, tuple):
            return [child.plain() for child in self.value]
        return self.value


@dataclass(frozen=True)
class Document:
    """A YAML file whose top level is a mapping."""

    source: str
    """The path as the user gave it."""
    text: str
    root: Node
    entries: Mapping[str, Node]
    """The top-level keys."""


class _Loader(yaml.SafeLoader):
    """Composes nodes only; implicit tags are those of YAML 1.2's core schema."""


_Loader.yaml_implicit_resolvers = {}  # not PyYAML's own, which are YAML 1.1


def _anchored(pattern: re.Pattern[str]) -> re.Pattern[str]:
    return re.compile(rf"(?:{pattern.pattern})\Z")


for _name, _pattern in (("null", _NULL), ("bool", _BOOL), ("int", _INT), ("float", _FLOAT)):
    _Loader.add_implicit_resolver(_TAG + _name, _anchored(_pattern), None)
_Loader.add_implicit_resolver(_TAG + "merge", re.compile(r"<<\Z"), ["<"])


def load_yaml(path: Path) -> Document:
    """Read a file whose top level is a mapping.

    Raises:
        YamlError: missing, unreadable, not UTF-8, not YAML, a duplicate key, empty, or no mapping.
    """
    source, text = str(path), _read_text(path)
    root = parse_yaml(text, source)
    if root is None:
        raise YamlError("the file is empty; write `key: value` lines", Location(source, 1, 1))
    if not isinstance(root.value, Mapping):
        raise YamlError(f"expected `key: value` lines, but {root.kind} is given", root.location)
    return Document(source, text, root, root.value)


def parse_yaml(text: str, source: str) -> Node | None:
    """The one YAML document in `text`, or None where there is none.

    Raises:
        YamlError: not YAML, or a duplicate key.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, source) from None
    except ReaderError as error:
        before = text[: error.position]
        column = error.position - (before.rfind("\n") + 1) + 1
        where = Location(source, before.count("\n") + 1, column)
        raise YamlError(f"character U+{error.character:04X} is not allowed", where) from None
    except RecursionError:
        raise YamlError("brackets are nested too deeply", Location(source, 1, 1)) from None
    return None if node is None else _Builder(source).build(node)


def _read_text(path: Path) -> str:
    where = Location(str(path))
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise YamlError(f"there is no such file{similar_file(path)}", where) from None
    except IsADirectoryError:
        raise YamlError("this is a folder; give a YAML file", where) from None
    except OSError as error:
        raise YamlError(f"cannot be read: {error.strerror}", where) from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line_start = data.rfind(b"\n", 0, error.start) + 1
        line = data.count(b"\n", 0, error.start) + 1
        where = Location(str(path), line, error.start - line_start + 1)
        raise YamlError("the file is not UTF-8 text; save it as UTF-8", where) from None


def similar_file(path: Path) -> str:
    """A hint such as `; did you mean "sweeps/quickstart.yaml"?`, or nothing."""
    try:
        names = {e.stem: e.name for e in path.parent.iterdir() if e.suffix in (".yaml", ".yml")}
    except OSError:
        return f"; {path.parent} is no folder" if not path.parent.is_dir() else ""
    close = difflib.get_close_matches(path.stem, names, n=1)
    return f'; did you mean "{path.with_name(names[close[0]])}"?' if close else ""


def _syntax_error(error: yaml.MarkedYAMLError, source: str) -> YamlError:
    mark = error.problem_mark or error.context_mark
    where = Location(source, mark.line + 1, mark.column + 1) if mark else Location(source)
    problem = error.problem or error.context or "cannot be parsed"
    if "'\\t'" in problem:
        return YamlError("YAML cannot be indented with tabs; use spaces", where)
    if "another document" in problem:
        return YamlError("a second document begins here (`---`); keep one to a file", where)
    context = ""
    if error.problem and error.context and error.context_mark:
        context = f" ({error.context} that begins in line {error.context_mark.line + 1})"
    return YamlError(f"YAML syntax: {problem}{context}", where)


@dataclass
class _Builder:
    """Turns PyYAML's nodes into ours."""

    source: str
    _open: set[int] = field(default_factory=set)
    """Nodes being built: meeting one again is an alias that contains itself."""

    def build(self, node: yaml.Node, key: Location | None = None) -> Node:
        location = self._location(node)
        if isinstance(node, yaml.ScalarNode):
            return Node(self._scalar(node), location, key)
        if id(node) in self._open:
            raise YamlError("an alias contains itself", location)
        self._open.add(id(node))
        value: tuple[Node, ...] | dict[str, Node]
        if isinstance(node, yaml.SequenceNode):
            value = tuple(self.build(child) for child in node.value)
        else:
            value = self._mapping(node)
        self._open.remove(id(node))
        return Node(value, location, key)

    def _location(self, node: yaml.Node) -> Location:
        return Location(self.source, node.start_mark.line + 1, node.start_mark.column + 1)

    def _scalar(self, node: yaml.ScalarNode) -> Scalar:
        text = node.value
        kind = node.tag.removeprefix(_TAG)
        try:
            match kind:
                case "str" | "merge":
                    return str(text)
                case "null":
                    return None
                case "bool":
                    return {"true": True, "false": False}[text.lower()]
                case "int":
                    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
                case "float":
                    return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))
        except (KeyError, ValueError):
            raise YamlError(f"{text!r} is no {kind}", self._location(node)) from None
        raise YamlError(f"the tag {node.tag} is not supported; remove it", self._location(node))

    def _mapping(self, node: yaml.Node) -> dict[str, Node]:
        if node.tag != _TAG + "map":
            raise YamlError(f"the tag {node.tag} is not supported; remove it", self._location(node))
        entries: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        for key_node, value_node in node.value:
            where = self._location(key_node)
            if key_node.tag == _TAG + "merge":
                merged = self._merge_key(value_node) | merged
                continue
            if key_node.tag != _TAG + "str":
                raise YamlError("a key must be text; put it in quotes if it is", where)
            name = str(key_node.value)
            if name in entries:
                first = entries[name].where.line
                raise YamlError(
                    f'duplicate key "{name}", first given in line {first}; keep one of them', where
                )
            entries[name] = self.build(value_node, where)
        return merged | entries

    def _merge_key(self, node: yaml.Node) -> dict[str, Node]:
        """Entries of `<<: *alias` or `<<: [*a, *b]`; the earlier of two wins (YAML's rule)."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        entries: dict[str, Node] = {}
        for source in sources:
            built = self.build(source)
            if not isinstance(built.value, Mapping):
                raise YamlError("`<<` takes a mapping or a list of mappings", built.location)
            entries = dict(built.value) | entries
        return entries
