"""What one process found of one model; plain numbers, so that processes can hand them over."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field

from deit_core.bench.rounds import Block
from deit_core.errors import UserError
from deit_core.throughput_records import BenchConditions, Quantity

_LONGEST = 300
"""Characters of an error; a compiler's are pages long."""


@dataclass(frozen=True)
class RawPoint:
    """One batch size."""

    batch_size: int
    blocks: tuple[Block, ...]
    """Empty where it did not fit."""
    peak_gib: float | None


@dataclass(frozen=True)
class RawSpeed:
    """One quantity."""

    quantity: Quantity
    points: tuple[RawPoint, ...]
    """Ascending batch sizes."""
    flops_per_image: float | None
    """Of one iteration; None where a model's are not known."""
    teacher: str | None = None


@dataclass
class RawRecord:
    """All quantities of one model."""

    key: str
    img_size: int = 0
    parameters: int = 0
    macs_per_image: int | None = None
    conditions: BenchConditions | None = None
    speeds: list[RawSpeed] = field(default_factory=list)
    latency_ms: list[float] = field(default_factory=list)
    """Of single calls."""
    notes: list[str] = field(default_factory=list)
    """What went wrong, each in one line."""
    crashed: bool = False
    """Whether any of that is nothing that the user can mend."""

    def note(self, what: str, error: Exception) -> None:
        """Keep an error in one line."""
        text = " ".join(str(error).split())
        if not isinstance(error, UserError):
            text = f"{type(error).__name__}: {text}" if text else type(error).__name__
            self.crashed = True
        self.notes.append(f"{what}: {textwrap.shorten(text, _LONGEST, placeholder=' ...')}")
