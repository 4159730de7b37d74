"""Where to point when the config of a cell is not valid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deit_core.config import parse_run_config
from deit_core.errors import ConfigError, Problem
from launcher.axes import Setting
from launcher.cells import Cell, with_settings
from launcher.errors import Location, SweepError
from launcher.fields import overlap
from launcher.layers import Tree, problem_location, problems_text
from launcher.trial_names import plain_text


def tree_error(tree: Tree, error: ConfigError, fallback: Location, prefix: str = "") -> SweepError:
    """The error of a config without axes, at the first problem's position."""
    problem = error.problems[0]
    where = problem_location(tree, problem) or fallback
    return SweepError(f"{prefix}{problems_text(error.problems)}", where)


def cell_error(
    tree: Tree, base: Mapping[str, Any], cell: Cell, error: ConfigError, fallback: Location
) -> SweepError:
    """The error of one cell.

    It points at the base config where that has the problem on its own, else at the axis value
    that is not valid, and names the whole cell where only the combination is wrong.
    """
    problem = error.problems[0]
    if not cell.settings or problem in _problems(base, {}):
        return tree_error(tree, error, fallback)
    culprit = _culprit(base, cell, problem)
    if culprit is not None:
        return SweepError(problems_text(error.problems), cell.settings[culprit].location)
    named = next((f for f in cell.settings if overlap(f, ".".join(problem.path))), None)
    where = cell.settings[named or next(iter(cell.settings))].location
    values = ", ".join(f"{field}={plain_text(s.value)}" for field, s in cell.settings.items())
    return SweepError(f"{problems_text(error.problems)} (in the combination {values})", where)


def _culprit(base: Mapping[str, Any], cell: Cell, problem: Problem) -> str | None:
    """The field whose value brings the problem about without help from the other axes."""
    for field, setting in cell.settings.items():
        if problem in _problems(base, {field: setting}):
            return field
    return None


def _problems(base: Mapping[str, Any], settings: Mapping[str, Setting]) -> tuple[Problem, ...]:
    try:
        parse_run_config(with_settings(base, settings))
    except ConfigError as error:
        return error.problems
    return ()
