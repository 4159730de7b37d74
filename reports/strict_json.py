"""JSON of files that anybody may have touched: what is read is plain, finite and printable.

Python's decoder lets NaN, 1e999, lone surrogates and control characters through. A page, a picture
or another JSON file cannot hold them, so they are stopped here, where it can still be said in which
file they stand.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any, NoReturn

from deit_core.config import RunConfig

LARGEST = 1e15
"""Beyond any quantity of a training run; sums of such numbers stay finite."""
_LATEST_UNIX_S = 253_402_300_799.0
"""The last second that a date with four digits can name."""
_CHOSEN = {*RunConfig.model_fields, "swept", "params", "search", "space"}
"""Keys of settings: a learning rate of 1e30 is no damage."""
_SUSPICIOUS_NUMBER = re.compile(rb"NaN|Infinity|[eE]\+?\d\d|(?<![\d.])\d{11}")
_SUSPICIOUS_TEXT = re.compile(
    rb"\\u(?:00[01]|007[fF]|[dD][89a-fA-F]|[fF]{3}[eEfF])|\x7f|\xef\xbf[\xbe\xbf]"
)
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def decode(data: bytes) -> Any:
    """The value of a JSON text.

    Characters that XML cannot hold become U+FFFD.

    Raises:
        ValueError: it is not JSON, or holds a number that is not finite or not plausible; the
            message continues "FILE is damaged: ".
    """
    try:
        values = json.loads(data, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise ValueError("it is not JSON") from None
    # Walking through all values takes longer than decoding them, and is hardly ever needed.
    if _SUSPICIOUS_NUMBER.search(data):
        _check_numbers(values, "")
    return _printable(values) if _SUSPICIOUS_TEXT.search(data) else values


def printable(text: str) -> str:
    """The text with U+FFFD for each character that XML cannot hold."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}, which is no number")


def _check_numbers(values: Any, key: str, *, chosen: bool = False) -> None:
    """Raises ValueError. `chosen`: what a user may set to any finite number, however foolish."""
    if isinstance(values, dict):
        for inner, value in values.items():
            _check_numbers(value, inner, chosen=chosen or inner in _CHOSEN)
    elif isinstance(values, list):
        for value in values:
            _check_numbers(value, key, chosen=chosen)
    elif isinstance(values, int | float) and not isinstance(values, bool):
        most = _LATEST_UNIX_S if key.endswith("unix_s") else LARGEST
        if chosen:
            most = sys.float_info.max
        if not -most <= values <= most:
            raise ValueError(f"{key or 'a number'} is beyond all that can be meant")


def _printable(values: Any) -> Any:
    if isinstance(values, str):
        return printable(values)
    if isinstance(values, list):
        return [_printable(value) for value in values]
    if isinstance(values, dict):
        return {printable(key): _printable(value) for key, value in values.items()}
    return values
