"""What makes a search this one and no other; settings that cannot change a result are no part."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from deit_core.config import RunConfig, parse_run_config
from deit_core.errors import ConfigError
from deit_core.identity import group_id_of, trial_id_of
from launcher.axes import Setting
from launcher.cells import with_settings
from launcher.errors import Location
from launcher.search.records import SearchRecord
from launcher.search.space import Parameter, Values

_MOST_OPTIONS = 12
"""Values of a field that are looked at: enough for every name a field of the config takes."""


def search_identity(record: SearchRecord) -> str:
    """Space, seeds, objectives and what is not searched; not method, budget or pruner.

    Points keep their worth when those change, so that the search goes on with them.
    """
    values = record.model_dump(mode="json", include={"space", "seeds"})
    teacher = None if record.teacher is None else _id_of(record.teacher, trial_id_of)
    known = [] if teacher is None else [teacher or record.teacher]
    return json.dumps(
        [values, list(record.search.objective), known, _around(record)], sort_keys=True
    )


def _around(record: SearchRecord) -> object:
    """The config that is varied, by the ids of some points: it may need one to be whole.

    Each value of each field is in one of them, as what matters at one may have no effect at others:
    a temperature, where the first value of distill.kind is none.
    """
    where = Location(record.source)
    staged = {} if record.teacher is None else {"teacher": {"trial": ""}}
    ids = []
    for params in _points(record):
        settings = {field: Setting(value, where) for field, value in params.items()}
        ids.append(_id_of(with_settings({**record.base, **staged}, settings), group_id_of))
    return ids if any(ids) else record.config


def _points(record: SearchRecord) -> Iterator[Values]:
    """The first value of every field, then each other value of each field with those."""

    def chooser(field: str, value: Any) -> Callable[[Parameter], Any]:
        return lambda parameter: (
            value if parameter.field == field else next(iter(_options(parameter)))
        )

    for parameter in record.space.parameters:
        for value in _options(parameter):
            yield record.space.choose(record.base, chooser(parameter.field, value))


def _options(parameter: Parameter) -> tuple[Any, ...]:
    spec = parameter.range
    if spec is None:
        return parameter.choices[:_MOST_OPTIONS]
    return spec.rounded(spec.low), spec.rounded(spec.high)


def _id_of(values: dict[str, Any], id_of: Callable[[RunConfig], str]) -> str | None:
    """None where the values are no valid config."""
    try:
        return id_of(parse_run_config(values))
    except ConfigError:
        return None
