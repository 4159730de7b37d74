"""A section of a sweep file that is no part of the training config: `search`, `resources`."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from deit_core.config_checks import translate_errors
from deit_core.errors import Problem
from launcher.errors import SweepError
from launcher.layers import Tree, plain, problem_location, problems_text

Model = TypeVar("Model", bound=BaseModel)


def read_settings(model: type[Model], key: str, tree: Tree) -> Model:
    """Validate the mapping under a top-level key.

    Raises:
        SweepError: at the position of the first problem.
    """
    try:
        return model.model_validate(plain(tree))
    except ValidationError as error:
        problems = translate_errors(error, model)
        # What is wrong with several keys together stands at the first of the section.
        where = problem_location(tree, problems[0]) or next(iter(tree.values())).where
        named = [Problem((key, *problem.path), problem.message) for problem in problems]
        raise SweepError(problems_text(named), where) from None
