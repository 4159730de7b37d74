"""`--set FIELD=VALUE` of the command line: the last layer of a config."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from launcher.axes import Axis
from launcher.errors import Location, SweepError, YamlError
from launcher.fields import field_problem, overlap, sections
from launcher.layers import Tree, flatten, merge, nest
from launcher.yaml_source import Node, parse_yaml

_SECTIONS = {"resources": "max_parallel", "search": "trials", "bench": "fast"}
"""Sections of a sweep file that are no part of the training config, each with one of its fields."""


@dataclass(frozen=True)
class Overrides:
    """What `--set` options ask for; a later option wins over an earlier one."""

    tree: Tree
    """Fields of the training config."""
    resources: Tree
    search: Tree
    bench: Tree
    seeds: Node | None = None
    fixed: Tree = field(default_factory=dict)
    """Every field or section that is set, by its dotted name."""

    def fix(self, axes: Iterable[Axis]) -> tuple[tuple[Axis, ...], tuple[str, ...]]:
        """The axes without the fields that are set here, and a note on each of them."""
        kept, notes = [], []
        for axis in axes:
            gone = {f: o for f in axis.fields for o in self.fixed if overlap(f, o)}
            notes += [
                f"{name} is fixed to {_shown(self.fixed[option])} by --set: it is no axis here"
                for name, option in gone.items()
            ]
            rest = axis.without(gone)
            kept += [rest] if rest else []
        return tuple(kept), tuple(notes)


def parse_overrides(options: Sequence[str]) -> Overrides:
    """Parse `distill.kind=soft`, `seeds=[0,1]`, `search.trials=9`; values are YAML.

    Raises:
        SweepError: no `=`, no such field, or a value that is not YAML.
    """
    tree: Tree = {}
    resources: Tree = {}
    search: Tree = {}
    bench: Tree = {}
    fixed: dict[str, Node] = {}
    seeds: Node | None = None
    for option in options:
        name, value = _parse(option)
        if name == "seeds":
            seeds = value
        elif name == "seed":
            seeds = Node((value,), value.location)
        elif name.startswith("resources."):
            resources = merge(resources, nest({name.removeprefix("resources."): value}))
        elif name.startswith("search."):
            search = merge(search, nest({name.removeprefix("search."): value}))
        elif name.startswith("bench."):
            bench = merge(bench, nest({name.removeprefix("bench."): value}))
        else:
            entry = nest({name: value})
            _check_fields(entry)
            tree = merge(tree, entry)
            fixed |= flatten(entry)
    return Overrides(tree, resources, search, bench, seeds, fixed)


def _parse(option: str) -> tuple[str, Node]:
    where = Location(f"--set {option}")
    name, equals, text = option.partition("=")
    name = name.strip()
    if not equals or not name:
        raise SweepError("expected FIELD=VALUE, such as --set distill.kind=soft", where)
    try:
        node = parse_yaml(text, where.source)
    except YamlError as error:
        raise YamlError(f"the value is not YAML: {error.message}", where) from None
    return name, _at(node or Node(None, where), where)


def _at(node: Node, where: Location) -> Node:
    """The node with the option as its position: lines and columns say nothing here."""
    if isinstance(node.value, Mapping):
        return Node({key: _at(child, where) for key, child in node.value.items()}, where, where)
    if isinstance(node.value, tuple):
        return Node(tuple(_at(child, where) for child in node.value), where, where)
    return Node(node.value, where, where)


def _check_fields(entry: Tree) -> None:
    problem: str | None
    for name, node in flatten(entry).items():
        if name in sections():
            continue  # a whole section: its value is checked with the config
        if name in _SECTIONS:
            problem = f"is a section; name one of its fields, such as {name}.{_SECTIONS[name]}"
        else:
            problem = field_problem(name, also=("seeds", *_SECTIONS))
        if problem is not None:
            raise SweepError(f"{name}: {problem}", node.where)


def _shown(node: Node) -> str:
    value = node.plain()
    return "null" if value is None else str(value)
