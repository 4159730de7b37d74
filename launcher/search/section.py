"""`search:` and `axes.search` of a sweep file: read, and checked against each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deit_core.config_checks import nearest
from launcher.axes import same
from launcher.errors import SweepError
from launcher.fields import overlap, value_at
from launcher.overrides import Overrides
from launcher.profile import Entries, section
from launcher.search.config import Search
from launcher.search.metrics import METRICS
from launcher.search.space import Space
from launcher.search.space_parser import parse_space
from launcher.settings import read_settings
from launcher.yaml_source import Node

SEARCHED = "search"
"""Key of `axes:` with the fields whose values a search chooses."""
DRAWN = "random"
"""Key of `axes:` with the fields that are drawn beforehand."""
DEFAULT_METHOD = "tpe"
_SINGLE = frozenset({"cmaes"})
"""Methods that take one objective and know no constraints."""


def read_search(entries: Entries) -> Search:
    """The section `search:`, with the method that its axes imply.

    Raises:
        SweepError: a key or a value that is not valid, or does not fit the axes.
    """
    given = section(entries, "search")
    search = read_settings(Search, "search", given)
    _check_metrics(search, given)
    axes = section(entries, "axes")
    blocks = {key: axes[key] for key in (SEARCHED, DRAWN) if _is_given(axes.get(key))}
    if SEARCHED in blocks:
        return _searching(search, given, blocks[SEARCHED], axes)
    if DRAWN in blocks:
        return _drawing(search, given, blocks[DRAWN])
    for key in ("method", "trials"):
        if key in given and (search.method != "grid" or search.trials is not None):
            verb = "draws" if search.method == "random" else "chooses"
            named = f"axes.{DRAWN}" if search.method == "random" else f"axes.{SEARCHED}"
            raise SweepError(
                f"search.{key}: {verb} the fields of `{named}`, but there are none; "
                f"move the fields to {verb[:-1]} there",
                given[key].location,
            )
    return search


def _is_given(node: Node | None) -> bool:
    return node is not None and node.value is not None


def _searching(search: Search, given: Entries, block: Node, axes: Entries) -> Search:
    if "method" in given and search.method == "grid":
        raise SweepError(
            f"search.method: grid chooses nothing, but `axes.{SEARCHED}` is given; use one of "
            f"tpe, gp, cmaes, nsga2, qmc, random, or list values under the field itself",
            given["method"].location,
        )
    others = [key for key, node in axes.items() if key != SEARCHED and _is_given(node)]
    if others:
        raise SweepError(
            f"axes.{others[0]}: stands beside `axes.{SEARCHED}`, and a search chooses all that "
            f"varies; move it there as a list of values to choose from",
            axes[others[0]].where,
        )
    if search.trials is None:
        raise SweepError(
            f"search: how many points? Set `search: {{method: {DEFAULT_METHOD}, trials: 40}}`",
            block.where,
        )
    if "method" not in given:
        search = search.model_copy(update={"method": DEFAULT_METHOD})
    if search.method in _SINGLE:
        _check_single(search, given)
    return search


def _check_single(search: Search, given: Entries) -> None:
    if len(search.objective) > 1:
        raise SweepError(
            f"search.objective: {search.method} takes one, but {len(search.objective)} are given; "
            f"use method: tpe, gp or nsga2",
            given["objective"].location,
        )
    if search.constraints:
        raise SweepError(
            f"search.constraints: {search.method} knows none; use method: tpe, gp or nsga2",
            given["constraints"].location,
        )


def _drawing(search: Search, given: Entries, block: Node) -> Search:
    if "method" in given and search.method == "grid":
        raise SweepError(
            f"search.method: grid draws nothing, but `axes.{DRAWN}` is given; "
            "use method: random, or list values under the field itself",
            given["method"].location,
        )
    if search.method not in ("grid", "random"):
        raise SweepError(
            f"search.method: {search.method} chooses the fields of `axes.{SEARCHED}`, but "
            f"`axes.{DRAWN}` is given; rename that block, or use method: random",
            given["method"].location,
        )
    if search.trials is None:
        raise SweepError(
            f"{DRAWN}: how many draws? Set `search: {{method: random, trials: 20}}`", block.where
        )
    return search.model_copy(update={"method": "random"})


def _check_metrics(search: Search, given: Entries) -> None:
    named = {"objective": search.objective, "constraints": [b.metric for b in search.bounds]}
    for key, metrics in named.items():
        for metric in metrics:
            if metric not in METRICS:
                raise SweepError(
                    f"search.{key}: no trial reports {metric!r}{nearest(metric, METRICS)}",
                    given[key].location,
                )


def read_space(
    block: Node, options: Overrides, base: Mapping[str, Any]
) -> tuple[Space | None, list[str]]:
    """The space without what `--set` fixes, and a note on each such field.

    Args:
        block: `axes.search`.
        options: of the command line.
        base: the config with them, as plain nested dicts.

    Returns:
        None instead of the space where nothing is left to search.

    Raises:
        SweepError: the block is not valid.
    """
    space = parse_space(block)
    gone = {f: o for f in space.fields for o in options.fixed if overlap(f, o)}
    notes = [f"{field} is fixed by --set {option}: it is not searched here"
             for field, option in gone.items()]  # fmt: skip
    left = space.without(gone)
    for parameter in left.parameters if gone else ():
        for field, values in parameter.when.items():
            if field in gone and not any(same(value_at(base, field), one) for one in values):
                left = left.without([parameter.field])
                notes.append(f"{parameter.field} does not vary with {field} as it is set")
    return (left if left.parameters else None), notes
