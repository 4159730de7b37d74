"""Exit code 4: something is worse than it was, or than published, beyond chance."""

from __future__ import annotations

import typer

from reports.errors import ReportError
from reports.reference.compare import compare_published
from reports.report import Report

EXIT_REGRESSION = 4


def fail_if_below(report: Report) -> None:
    """End the process where a measured mean is below the published number beyond chance.

    Raises:
        ReportError: there is nothing to compare with.
        typer.Exit: with `EXIT_REGRESSION`.
    """
    context = report.context
    found = compare_published(context.sweep, context.analysis)
    if found is None:
        raise ReportError("--fail-on-regression compares with published results: add --reference")
    labels = {variant.group_id: variant.label for variant in context.analysis.variants}
    for row in found.below:
        assert row.difference is not None
        typer.echo(
            f"regression: {labels[row.group_id]}, {row.metric.title}: {row.difference:+.2f} points "
            f"against {found.matches[row.group_id].row.name} ({row.published:g} %)",
            err=True,
        )
    if found.below:
        raise typer.Exit(EXIT_REGRESSION)
