"""The sweep file: which configs to vary how, after its profile and the command line's overrides."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from launcher.axes import Axis
from launcher.axes_parser import parse_axes
from launcher.bench.section import BenchSettings
from launcher.errors import Location, SweepError
from launcher.fields import leaf_fields, sections
from launcher.layers import (
    Tree,
    config_values,
    flatten,
    load_base,
    load_config_tree,
    merge,
    nest,
    unknown_key,
)
from launcher.overrides import Overrides, parse_overrides
from launcher.profile import PROFILE_KEYS, Entries, apply_profile, profile_entries, section
from launcher.resources import Resources
from launcher.search.config import Search
from launcher.search.section import SEARCHED, read_search, read_space
from launcher.search.space import Space
from launcher.search.space_parser import check_space
from launcher.seeds import config_seed, parse_seeds
from launcher.settings import read_settings
from launcher.yaml_source import Document, Node, load_yaml

SWEEP_KEYS = (*PROFILE_KEYS, "profiles")
TEACHER_KEYS = ("base", "set", "seed")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


@dataclass(frozen=True)
class Sweep:
    """A sweep file, read and merged; nothing is expanded yet."""

    name: str
    description: str
    config: Tree
    """The base config after `base`, `set`, profile and overrides, with positions."""
    axes: tuple[Axis, ...]
    seeds: tuple[int, ...]
    search: Search
    space: Space | None
    """What is searched, one point after another; None where all trials are known beforehand."""
    resources: Resources
    teacher: Node | None
    """The config tree of the stage that is trained first, at the position of `teacher:`."""
    source: Path
    """The file as the user named it."""
    text: str
    """Verbatim content of the file."""
    profile: str | None = None
    overrides: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What a user should know, such as an axis that an override took away."""
    bench: BenchSettings | None = None
    """How its models are measured; None where that is not asked for."""
    pruner_at: Location | None = None
    """Where `search.pruner` is, if it is."""


def load_sweep(path: Path, *, profile: str | None = None, overrides: Sequence[str] = ()) -> Sweep:
    """Read a sweep file, lay a profile over it, then the `FIELD=VALUE` overrides.

    Raises:
        SweepError: anything wrong with the file that shows before trials are made, with its
            file, line and column.
    """
    document = load_yaml(path)
    _check_keys(document)
    over = profile_entries(document, profile)
    entries = apply_profile(document.entries, over)
    options = parse_overrides(overrides)
    entries = {**entries, "search": _with_options(entries.get("search"), options)}
    search = read_search(entries)
    varied = dict(section(entries, "axes"))
    block = varied.pop(SEARCHED, None)
    axes = parse_axes(varied, search)
    _check_set_and_axes(document.entries, over, axes)
    axes, notes = options.fix(axes)
    base = entries.get("base")
    layers = merge(load_base(base, path) if base else {}, nest(section(entries, "set")))
    config = merge(layers, options.tree)
    space = None
    if block is not None and block.value is not None:
        space, fixed = read_space(block, options, config_values(config))
        notes = (*notes, *fixed)
        if space is not None:
            check_space(space, config_values(config), block)
        elif search.pruner is not None:
            # What was found is confirmed: seeds of one variant do not compete.
            search = search.model_copy(update={"pruner": None})
            notes = (*notes, "nothing is left to search, so nothing is pruned")
    return Sweep(
        name=_name(entries.get("name"), path),
        description=_description(entries.get("description")),
        config=config,
        axes=axes,
        seeds=_seeds(entries, layers, options),
        search=search,
        space=space,
        resources=read_settings(
            Resources, "resources", merge(section(entries, "resources"), options.resources)
        ),
        teacher=_teacher(entries, path),
        source=path,
        text=document.text,
        profile=profile,
        overrides=tuple(overrides),
        notes=notes,
        bench=_bench(entries, options, searched=space is not None),
        pruner_at=pruner.where if (pruner := section(entries, "search").get("pruner")) else None,
    )


def _bench(entries: Entries, options: Overrides, *, searched: bool) -> BenchSettings | None:
    """`bench:` with what `--set bench.…` says; an empty section takes the defaults."""
    node = entries.get("bench")
    if (node is None or node.value is None) and not options.bench:
        return None
    given = merge(section(entries, "bench"), options.bench)
    settings = read_settings(BenchSettings, "bench", given)
    if searched and settings.when == "alone":
        raise SweepError(
            "bench.when: alone trains nothing, but a search asks for points by what trials gave; "
            "use after",
            given["when"].location,
        )
    return settings


def _with_options(search: Node | None, options: Overrides) -> Node:
    """`search:` with what `--set search.…` says."""
    if search is None or search.value is None:
        return Node(dict(options.search), Location("--set"))
    if not isinstance(search.value, Mapping):
        return search  # refused where it is read
    return Node(merge(search.value, options.search), search.location, search.key)


def load_config_as_sweep(path: Path, *, overrides: Sequence[str] = ()) -> Sweep:
    """Read one training config as a sweep of one trial.

    Raises:
        SweepError: unreadable, a sweep file, or an override that is not valid.
    """
    document = load_yaml(path)
    tree = load_config_tree(path)
    options = parse_overrides(overrides)
    for key, given in (("search", options.search), ("bench", options.bench)):
        if given:
            raise SweepError(f"{key}: a training config alone has none", Location("--set"))
    return Sweep(
        name=_name(None, path),
        description="",
        config=merge(tree, options.tree),
        axes=(),
        seeds=parse_seeds(options.seeds) if options.seeds else config_seed(tree),
        search=Search(),
        space=None,
        resources=read_settings(Resources, "resources", options.resources),
        teacher=None,
        source=path,
        text=document.text,
        overrides=tuple(overrides),
    )


def _check_keys(document: Document) -> None:
    for key, node in document.entries.items():
        if key in SWEEP_KEYS:
            continue
        if key in sections() or key in leaf_fields():
            raise SweepError(
                f"{key}: belongs to a training config; put it under `set:`, or train this file "
                f"alone with `deit-launch train {document.source}`",
                node.where,
            )
        raise unknown_key(key, SWEEP_KEYS, node)


def _name(node: Node | None, path: Path) -> str:
    if node is None:
        return re.sub(r"[^A-Za-z0-9._-]+", "_", path.stem).strip("._-")[:80] or "sweep"
    if not isinstance(node.value, str) or not _NAME.fullmatch(node.value):
        raise SweepError(
            f"name: {node.kind} cannot name a folder; use up to 80 letters, digits, "
            f"dots, hyphens and underscores, a letter or digit first",
            node.location,
        )
    return node.value


def _description(node: Node | None) -> str:
    if node is None or node.value is None:
        return ""
    if not isinstance(node.value, str):
        raise SweepError(f"description: expected text, but {node.kind} is given", node.location)
    return node.value


def _check_set_and_axes(main: Entries, over: Entries, axes: tuple[Axis, ...]) -> None:
    """A field that is set and always varies too: one of the two would be ignored in silence."""
    replaced = section(over, "axes")
    for entries, hint in (
        (main, "remove one of them"),
        (over, "take the axis away with `axes: {%s: null}`, or do not set the field"),
    ):
        fields = flatten(nest(section(entries, "set")))
        for axis in axes:
            if entries is main and axis.block in replaced:
                continue
            for field in set(axis.fields) & set(fields) - set(axis.when):
                if all(field in row for row in axis.rows):
                    raise SweepError(
                        f"{field} is set here and varies in line {axis.location.line}; "
                        + hint.replace("%s", axis.block),
                        fields[field].where,
                    )


def _teacher(entries: Entries, path: Path) -> Node | None:
    stage = section(entries, "teacher")
    node = entries.get("teacher")
    if node is None or node.value is None:
        return None
    for key, child in stage.items():
        if key in TEACHER_KEYS:
            continue
        if key in sections()["teacher"].model_fields:
            raise SweepError(
                f"teacher.{key}: `teacher:` of a sweep file is a training stage with the keys "
                f"{', '.join(TEACHER_KEYS)}; for weights that exist already, "
                f"write `set: {{teacher.{key}: ...}}`",
                child.where,
            )
        raise unknown_key(f"teacher.{key}", TEACHER_KEYS, child)
    base = load_base(stage["base"], path) if "base" in stage else {}
    tree = merge(base, nest(section(stage, "set")))
    if "seed" in stage:
        tree["seed"] = stage["seed"]
    return Node(tree, node.location, node.key)


def _seeds(entries: Entries, layers: Tree, options: Overrides) -> tuple[int, ...]:
    """Seeds of the command line, else of the file, else the one of the base config."""
    if options.seeds is not None:
        return parse_seeds(options.seeds)
    node = entries.get("seeds")
    if node is None:
        return config_seed(layers)
    own = section(entries, "set").get("seed")
    if own is not None:
        raise SweepError("seed: is given by `seeds:` already; remove one of them", own.where)
    return parse_seeds(node)
