"""The fields of a training config by their dotted names, such as `distill.kind`."""

from __future__ import annotations

import difflib
import functools
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from deit_core.config import RunConfig
from deit_core.config_checks import nearest, translate_errors
from deit_core.errors import Problem

FREE_FORM = "kwargs"
"""Name of the fields that hold arguments of timm's, whose keys nobody here knows."""


def section_class(model: type[BaseModel], field: str) -> type[BaseModel] | None:
    """The class of a field that is a section, looking through `| None`."""
    annotation = model.model_fields[field].annotation
    for candidate in (annotation, *typing.get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


@functools.cache
def sections() -> Mapping[str, type[BaseModel]]:
    """Section names and their classes, in the order of RunConfig."""
    found = {name: section_class(RunConfig, name) for name in RunConfig.model_fields}
    return {name: model for name, model in found.items() if model is not None}


@functools.cache
def inner_sections(section: str) -> Mapping[str, type[BaseModel]]:
    """Names and classes of the sections that a section holds, such as `wandb` of `logging`."""
    model = sections()[section]
    found = {name: section_class(model, name) for name in model.model_fields}
    return {name: inner for name, inner in found.items() if inner is not None}


@functools.cache
def leaf_fields() -> tuple[str, ...]:
    """Every dotted field that holds a value, in the order of RunConfig."""
    return tuple(
        f"{section}.{name}" for section, model in sections().items() for name in model.model_fields
    )


def field_problem(field: str, also: Sequence[str] = ()) -> str | None:
    """Why `field` cannot be set or swept, in a sentence; None where it can.

    The seed is no field here: a sweep has `seeds`. `also` names what else is valid where the field
    was given.
    """
    if field in sections():
        first = next(iter(sections()[field].model_fields))
        return f"is a section; name one of its fields, such as {field}.{first}"
    section, _, name = field.partition(".")
    if field in leaf_fields():
        return None
    if section in sections():
        if name.startswith(f"{FREE_FORM}.") and FREE_FORM in sections()[section].model_fields:
            return None
        outer, _, inner_name = name.partition(".")
        inner = inner_sections(section).get(outer) if inner_name else None
        if inner is not None:
            known = inner.model_fields
            return None if inner_name in known else f"unknown field{nearest(inner_name, known)}"
        return f"unknown field{nearest(name, sections()[section].model_fields)}"
    homes = [leaf for leaf in leaf_fields() if leaf.endswith(f".{field}")]
    if homes:
        return f'unknown field; did you mean "{homes[0]}"?'
    close = difflib.get_close_matches(field, (*leaf_fields(), *also), n=1)
    return f"unknown field{nearest(close[0] if close else field, close or (*sections(), *also))}"


def takes_null(field: str) -> bool:
    """Whether null is a value of this field or section; true of names that are none."""
    section, _, name = field.partition(".")
    model, key = (sections()[section], name) if name else (RunConfig, section)
    if key not in model.model_fields:
        return True
    return type(None) in typing.get_args(model.model_fields[key].annotation)


def value_problem(field: str, value: Any) -> Problem | None:
    """What is wrong with `value` for a known field, apart from its combination with others."""
    section, _, name = field.partition(".")
    if "." in name:
        return None
    model = sections()[section]
    try:
        model.model_validate({name: value})
    except ValidationError as error:
        problem = translate_errors(error, model)[0]
        return Problem((section, *problem.path), problem.message)
    return None


def value_at(values: Mapping[str, Any], field: str) -> Any:
    """The value that plain config `values` give a field; its default where they do not."""
    section, _, name = field.partition(".")
    part: Any = values.get(section)
    if not isinstance(part, Mapping):
        part = {}
    first, *rest = name.split(".")
    if first in part or rest:
        found = part.get(first)
        for key in rest:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found
    return sections()[section].model_fields[first].get_default(call_default_factory=True)


def overlap(one: str, other: str) -> bool:
    """Whether two fields are the same or one holds the other (`model.kwargs`, `model.kwargs.a`)."""
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")
