"""Settings of a trial by dotted config field, whether it was trained here or imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args

from pydantic import BaseModel

from deit_core.config import RunConfig
from deit_core.identity import resolve


class _Unknown:
    def __repr__(self) -> str:
        return "unknown"


UNKNOWN: Final = _Unknown()
"""The value of a setting that nobody wrote down; null is a value."""


def _fields(model: type[BaseModel], prefix: str = "") -> list[str]:
    found: list[str] = []
    for name, field in model.model_fields.items():
        kinds = [field.annotation, *get_args(field.annotation)]
        section = next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)
        found += _fields(section, f"{prefix}{name}.") if section else [prefix + name]
    return found


CONFIG_FIELDS: Final = tuple(_fields(RunConfig))
"""Every field of a run config, dotted, in the order of docs/training.md."""


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as dotted keys; `kwargs` and lists stay values."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and name != "kwargs":
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def settings_of(config: RunConfig) -> Mapping[str, Any]:
    """All settings, with nulls that the model's name or the strength decides filled in.

    A section that is absent, such as `teacher`, is null under its own name.
    """
    return flatten(resolve(config).model_dump(mode="json"))
