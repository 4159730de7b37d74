"""From a sweep to its trials. Pure: the same sweep gives the same trials, everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from deit_core.config import RunConfig
from launcher.sweep import Sweep


@dataclass(frozen=True)
class Trial:
    """One cell of the sweep with one seed."""

    trial_id: str
    group_id: str
    name: str
    """Readable, unique within the sweep, fit for a file name: `kind=soft,seed=0`."""
    role: Literal["student", "teacher"]
    seed: int
    swept: dict[str, Any]
    """Every swept field in axis order; null where it has no effect on this trial."""
    config: RunConfig
    """Canonical, with `teacher.trial` filled in."""
    after: tuple[str, ...] = ()
    """Ids of the trials that must be completed first."""


@dataclass(frozen=True)
class Expansion:
    """All trials of a sweep."""

    trials: tuple[Trial, ...]
    """Teacher first, then students in axis order, seeds innermost; ids are distinct."""
    axes: tuple[str, ...]
    """Swept fields in axis order."""
    cells: int
    """Combinations of axis values and seeds, before equal ones became one trial."""
    notes: tuple[str, ...]
    """What a user should know, such as axes without effect."""


def expand(sweep: Sweep) -> Expansion:
    """All trials of the sweep."""
    return Expansion((), (), 0, ())
