"""What every section is made from."""

from __future__ import annotations

from dataclasses import dataclass

from reports.analysis import Analysis
from reports.results import SweepResults
from reports.text import Rounding


@dataclass(frozen=True)
class Options:
    """What the user asked for; kept in results.json, so that it need not be asked again."""

    baseline: str | None = None
    """Swept values to compare with, such as `kind=none`."""
    source_date_epoch: int | None = None
    """Unix seconds to date the report with instead of the newest result."""
    reference: str | None = None
    """Published results to set beside: a name, or a file."""


@dataclass(frozen=True)
class Context:
    """Results, and what was computed from them once for all sections."""

    sweep: SweepResults
    analysis: Analysis
    rounding: Rounding
    options: Options
    generated: str
    """ISO 8601 UTC: SOURCE_DATE_EPOCH, else when the newest trial ended, else the plan's time."""
    answer: tuple[str, ...]
    """The sentences of the answer, most important first."""
