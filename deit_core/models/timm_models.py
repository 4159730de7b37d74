"""Any other image classifier: timm's, with errors a user can act on."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from torch import nn

from deit_core.errors import UserError
from deit_core.variants import VARIANTS

_REFUSED = re.compile(r"(?:unexpected keyword|multiple values for keyword) argument '(\w+)'")


def create_timm_model(
    name: str,
    arguments: Mapping[str, Any],
    *,
    where_accepted: Mapping[str, Any] | None = None,
    pretrained: bool = False,
) -> nn.Module:
    """Build a model by its timm name, with timm's initial or published weights.

    Args:
        name: a timm name, with or without a tag: `resnet18`, `regnety_160.deit_in1k`.
        arguments: for `timm.create_model`; refused ones are an error.
        where_accepted: further arguments, left out where the model does not take them (a convnet
            has no `img_size`).
        pretrained: let timm download and load its published weights.

    Raises:
        UserError: an unknown name, arguments the model does not take, or weights that cannot be
            had.
    """
    from deit_core.models.timm_import import timm  # costs seconds: only where a timm model is used

    if ":" not in name and not timm.is_model(name):
        raise UserError(_unknown_name(name, timm.list_models()))
    optional = dict(where_accepted or {})
    while True:
        try:
            model: nn.Module = timm.create_model(
                name, pretrained=pretrained, **optional, **arguments
            )
            return model
        except TypeError as error:
            refused = _REFUSED.search(str(error))
            if refused is not None and optional.pop(refused.group(1), None) is not None:
                continue
            raise _not_built(name, arguments, error) from error
        except (ValueError, AssertionError, RuntimeError, OSError) as error:
            hint = "; or give its weights as teacher.checkpoint" if pretrained else ""
            raise _not_built(name, arguments, error, hint) from error


def _unknown_name(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, [*VARIANTS, *known], n=3)
    hint = f"did you mean {', '.join(close)}?" if close else "timm.list_models() lists all"
    return f"there is no model {name!r} in this package or in timm; {hint}"


def _not_built(
    name: str, arguments: Mapping[str, Any], error: Exception, hint: str = ""
) -> UserError:
    """One line for what timm, or its download, had to say."""
    refused = _REFUSED.search(str(error)) if isinstance(error, TypeError) else None
    if refused is not None:
        return UserError(f"{name} takes no argument {refused.group(1)!r}; leave it out")
    given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return UserError(f"timm cannot build {name}({given}): {reason.removesuffix('.')}{hint}")
