"""Config layers: base files, `set:`, profiles and `--set`, merged without losing positions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from deit_core.config_checks import nearest
from deit_core.errors import Problem
from launcher.errors import Location, SweepError
from launcher.fields import FREE_FORM, sections, takes_null
from launcher.yaml_source import Node, load_yaml, similar_file

Tree = Mapping[str, Node]
"""Nested sections of a training config, with positions."""

SWEEP_ONLY_KEYS = ("axes", "seeds", "set", "search", "resources", "profiles")
"""Keys that tell a sweep file from a training config."""
SHOWN_PROBLEMS = 3
"""Most problems of one config that an error names."""


def merge(base: Tree, over: Tree) -> dict[str, Node]:
    """`over` on top of `base`: mappings are merged key by key, all else is replaced.

    Layers may be merged in any grouping: a section on top of a null remembers the null.
    """
    merged = dict(base)
    for name, node in over.items():
        below = merged.get(name)
        if below is None or node.on_null or not isinstance(node.value, Mapping):
            merged[name] = node
        elif isinstance(below.value, Mapping):
            merged[name] = Node(
                merge(below.value, node.value), node.location, node.key, below.on_null
            )
        else:
            merged[name] = replace(node, on_null=below.value is None)
    return merged


def nest(entries: Tree) -> dict[str, Node]:
    """Turn dotted keys into sections: `distill.kind: soft` becomes `distill: {kind: soft}`.

    Raises:
        SweepError: a field given twice in one mapping, or a dotted key with an empty part.
    """
    nested: dict[str, Node] = {}
    for dotted, node in entries.items():
        name, *rest = parts = dotted.split(".")
        if "" in parts:
            raise SweepError(f'"{dotted}" is no field; write it like distill.kind', node.where)
        inner = node
        if isinstance(node.value, Mapping) and FREE_FORM not in parts:
            inner = replace(node, value=nest(node.value))
        for part in reversed(rest):
            inner = Node({part: inner}, node.where, node.where)
        nested[name] = _join(name, nested.get(name), inner)
    return nested


def _join(name: str, first: Node | None, second: Node) -> Node:
    """Two entries for one name in one mapping: sections join, values clash."""
    if first is None:
        return second
    if not (isinstance(first.value, Mapping) and isinstance(second.value, Mapping)):
        raise SweepError(
            f"{name} is given twice, first in line {first.where.line}; keep one", second.where
        )
    joined = dict(first.value)
    for key, node in second.value.items():
        joined[key] = _join(f"{name}.{key}", joined.get(key), node)
    return Node(joined, first.location, first.key)


def flatten(tree: Tree, prefix: str = "") -> dict[str, Node]:
    """Dotted fields and their nodes; all that is no mapping with entries is a leaf."""
    fields: dict[str, Node] = {}
    for name, node in tree.items():
        if isinstance(node.value, Mapping) and node.value:
            fields |= flatten(node.value, f"{prefix}{name}.")
        else:
            fields[prefix + name] = node
    return fields


def plain(tree: Tree) -> dict[str, object]:
    """The tree as nested dicts, for `parse_run_config`."""
    return {name: node.plain() for name, node in tree.items()}


def tree_of(values: Mapping[str, object], where: Location) -> dict[str, Node]:
    """The tree of nested dicts that came from a file, all of it at one position."""
    return {name: _node_of(value, where) for name, value in values.items()}


def _node_of(value: Any, where: Location) -> Node:
    if isinstance(value, Mapping):
        return Node({key: _node_of(child, where) for key, child in value.items()}, where, where)
    if isinstance(value, list | tuple):
        return Node(tuple(_node_of(child, where) for child in value), where, where)
    return Node(value, where, where)


def config_values(tree: Tree) -> dict[str, object]:
    """The tree of a training config as nested dicts; a null takes the default.

    A field that has a null of its own (`train.ema_decay: null` is no EMA) keeps it, and so does a
    section that may be missing (`teacher: null`).
    """
    values: dict[str, object] = {}
    for name, node in tree.items():
        if isinstance(node.value, Mapping) and name in sections():
            values[name] = {
                key: child.plain()
                for key, child in node.value.items()
                if child.value is not None or takes_null(f"{name}.{key}")
            }
        elif node.value is not None or takes_null(name):
            values[name] = node.plain()
    return values


def locate(tree: Tree, path: Iterable[str]) -> tuple[Node | None, bool]:
    """The node at a path or the nearest one above it, and whether the whole path was found."""
    found: Node | None = None
    value: object = tree
    for part in path:
        child: Node | None = None
        if isinstance(value, Mapping):
            child = value.get(part)
        elif isinstance(value, tuple) and part.isdigit() and int(part) < len(value):
            child = value[int(part)]
        if child is None:
            return found, False
        found, value = child, child.value
    return found, True


def problems_text(problems: Sequence[Problem]) -> str:
    """All problems in one line; of more than a few, how many there are."""
    text = "; ".join(str(problem) for problem in problems[:SHOWN_PROBLEMS])
    others = len(problems) - SHOWN_PROBLEMS
    if others < 1:
        return text
    return f"{text} (and {others} more problem{'s' if others > 1 else ''})"


def problem_location(tree: Tree, problem: Problem) -> Location | None:
    """Where to point for a problem: at an unknown key itself, else at the value."""
    node, whole = locate(tree, problem.path)
    if node is None:
        return None
    at_value = whole and not problem.message.startswith("unknown key")
    return node.location if at_value else node.where


def load_config_tree(path: Path, parents: tuple[Path, ...] = ()) -> dict[str, Node]:
    """A training config file on top of the `base:` it names, which may name one in turn.

    A relative `base` is relative to the file that names it.

    Raises:
        SweepError: unreadable, a sweep file, or a base that leads back to itself.
    """
    document = load_yaml(path)
    for key, node in document.entries.items():
        if key in SWEEP_ONLY_KEYS:
            raise SweepError(
                f'"{key}" belongs to a sweep file, but a training config is expected here; '
                f"run a sweep file with `deit-launch sweep`",
                node.where,
            )
    entries = dict(document.entries)
    base = entries.pop("base", None)
    own = nest(entries)
    if base is None:
        return own
    return merge(load_base(base, path, parents), own)


def load_base(base: Node, path: Path, parents: tuple[Path, ...] = ()) -> dict[str, Node]:
    """The tree of the training config that `base:` in the file `path` names.

    Raises:
        SweepError: no path, a missing file, or a base that leads back to itself.
    """
    if not isinstance(base.value, str) or not base.value:
        raise SweepError(
            f"base: expected the path of a file, but {base.kind} is given", base.location
        )
    target = Path(base.value).expanduser()
    target = target if target.is_absolute() else path.parent / target
    chain = (*parents, path.resolve())
    if target.resolve() in chain:
        raise SweepError(f"base: {base.value} leads back to itself", base.location)
    if not target.is_file():
        raise SweepError(
            f"base: there is no file {target} (a relative path starts at the folder of this "
            f"file){similar_file(target)}",
            base.location,
        )
    return load_config_tree(target, chain)


def unknown_key(name: str, valid: Iterable[str], node: Node) -> SweepError:
    """The error for a key that is not one of `valid`, with the nearest of them."""
    return SweepError(f"{name}: unknown key{nearest(name.rpartition('.')[2], valid)}", node.where)
