"""How the fields of `axes.random` are drawn: seeded, and the same on every call.

A draw depends on the search seed, the field's name and the number of the draw, and on nothing
else: other axes, their order, and the number of draws do not matter, so raising `trials` keeps
the trials there are and adds new ones.
"""

from __future__ import annotations

import hashlib
from typing import Any

from launcher.search.config import Range, Search


def uniform(seed: int, field: str, number: int) -> float:
    """A uniform number in [0, 1): a pure function of its arguments."""
    digest = hashlib.sha256(f"{seed}:{field}:{number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def draw_range(search: Search, field: str, spec: Range) -> list[float]:
    """`search.trials` values of one field."""
    return [spec.value(uniform(search.seed, field, n)) for n in range(search.trials or 0)]


def draw_choice(search: Search, field: str, choices: tuple[Any, ...]) -> list[Any]:
    """`search.trials` of the choices, with replacement."""
    numbers = (uniform(search.seed, field, n) for n in range(search.trials or 0))
    return [choices[int(number * len(choices))] for number in numbers]
