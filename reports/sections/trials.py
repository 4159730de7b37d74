"""Every planned trial, with or without a result, and what could not be read."""

from __future__ import annotations

from collections.abc import Iterator

from reports.context import Context
from reports.document import Block, Bullets, Paragraph, Section
from reports.results import SweepResults
from reports.table import failure_table, trial_table
from reports.text import count

_MOST_PROBLEMS = 100


def failures_section(context: Context) -> Section | None:
    """Trials without a result and why, and damaged files; None where there is neither."""
    blocks: list[Block] = []
    table = failure_table(context.sweep)
    if table:
        blocks.append(table)
    problems = list(_problems(context.sweep))
    if problems:
        blocks.append(
            Paragraph(
                f"Problems: {count(len(problems), 'file')} of the sweep could not be used, or not "
                f"wholly; the numbers above do without."
                if len(problems) > 1
                else "Problem: a file of the sweep could not be used, or not wholly; the numbers "
                "above do without."
            )
        )
        shown = problems[:_MOST_PROBLEMS]
        if len(problems) > len(shown):
            shown.append(f"and {len(problems) - len(shown):,} more; results.json names all")
        blocks.append(Bullets(tuple(shown)))
    return Section("failures", "Failed and missing", tuple(blocks)) if blocks else None


def _problems(sweep: SweepResults) -> Iterator[str]:
    yield from sweep.problems
    for trial in sweep.trials:
        for problem in trial.problems:
            yield f"{trial.planned.name} ({trial.planned.trial_id}): {problem}"


def trials_section(context: Context) -> Section:
    """All trials with links to their run directories."""
    return Section("trials", "Trials", (trial_table(context.sweep),))
