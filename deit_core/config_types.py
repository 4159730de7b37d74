"""Types of config values: what pydantic checks before a config section sees them. Torch-free."""

from __future__ import annotations

import os
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from deit_core.duration import parse_duration


def _expand_path(text: str) -> str:
    """Expand `~` and `${VAR}`; absolute and free of links, so that one place has one spelling."""
    missing = [name for name in re.findall(r"\$\{(\w+)\}", text) if name not in os.environ]
    if missing:
        raise ValueError(f"the environment variable {missing[0]} is not set in {text!r}")
    return os.path.realpath(os.path.expanduser(os.path.expandvars(text)))


def _valid_duration(text: str) -> str:
    """Return the duration in its one canonical spelling ("10 epochs" becomes "10ep")."""
    return str(parse_duration(text))


def _positive_duration(text: str) -> str:
    duration = parse_duration(text)
    if duration.value <= 0:
        raise ValueError(f"{text!r} must be longer than nothing")
    return str(duration)


def _no_bare_number(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f'{value} has no unit; write "{value}ep" or "{value}step"')
    return value


Path = Annotated[str, AfterValidator(_expand_path)]
DurationText = Annotated[str, BeforeValidator(_no_bare_number), AfterValidator(_valid_duration)]
PositiveDuration = Annotated[
    str, BeforeValidator(_no_bare_number), AfterValidator(_positive_duration)
]
Probability = Annotated[float, Field(ge=0, le=1)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
PositiveInt = Annotated[int, Field(gt=0)]


class Section(BaseModel):
    """Base of every config section: frozen, strict types, unknown keys are errors."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True
    )
