"""Every planned trial, with or without a result."""

from __future__ import annotations

from reports.context import Context
from reports.document import Section
from reports.table import failure_table, trial_table


def failures_section(context: Context) -> Section | None:
    """Trials without a result and why; None where all have one."""
    table = failure_table(context.sweep)
    return Section("failures", "Failed and missing", (table,)) if table else None


def trials_section(context: Context) -> Section:
    """All trials with links to their run directories."""
    return Section("trials", "Trials", (trial_table(context.sweep),))
