"""How far a job is: what its backend remembers of it from one attempt to the next."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from deit_core.records import Record


class JobProgress(Record):
    """A job between and during its attempts. Written by whoever moves the job, and by nobody else.

    Counts are of this job: a trial that is submitted again starts with a clean record.
    """

    state: Literal["queued", "running"] = "queued"
    attempt: int = 0
    gpus: tuple[str, ...] = ()
    """Names of the GPUs that the running attempt has."""
    running: tuple[str, ...] = ()
    """Run directories that the running attempt trains."""
    solo: bool = False
    """One trial at a time: set when the cohort went down together."""
    failures: dict[str, int] = Field(default_factory=dict)
    """Attempts in a row that ended without a result and without progress, by run directory."""
    memory_failures: dict[str, int] = Field(default_factory=dict)
    """Those of them that ran out of memory, by run directory."""
    steps: dict[str, int] = Field(default_factory=dict)
    """Furthest step seen at the end of an attempt, by run directory."""
    waits: str = ""
    """Why it waits, in words, where its scheduler has said so."""
    mem_factor: float = 1.0
    """By how much more host memory to ask for than the sweep file says."""
