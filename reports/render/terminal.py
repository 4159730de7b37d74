"""The answer and the main table on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from reports.caveats import find_caveats
from reports.document import Table
from reports.main_table import main_table
from reports.report import Report

MOST_ROWS = 40


def print_report(report: Report, console: Console) -> None:
    """Print the answer, the caveats and the main table."""
    context = report.context
    console.print(Text(" ".join(context.answer)), soft_wrap=not console.is_terminal)
    console.print()
    if context.analysis.variants:
        print_table(main_table(context.analysis, context.rounding), console)
    for caveat in find_caveats(context.sweep, context.analysis):
        console.print(Text(f"caveat: {caveat.text}"), soft_wrap=not console.is_terminal)


def print_table(table: Table, console: Console) -> None:
    """Print one table, at its full width where nothing is a terminal's."""
    shown = _rich_table(table)
    if not console.is_terminal:  # a pipe has no width to wrap at
        widest = Measurement.get(console, console.options.update(max_width=10_000), shown).maximum
        console.width = max(console.width, widest)
    console.print(shown)
    if len(table.rows) > MOST_ROWS:
        console.print(f"the first {MOST_ROWS} of {len(table.rows):,} rows; summary.csv has all")


def _rich_table(table: Table) -> RichTable:
    shown = RichTable(title=table.caption, title_justify="left")
    for column in table.columns:
        shown.add_column(column.title, justify="right" if column.numeric else "left")
    for row in table.rows[:MOST_ROWS]:
        shown.add_row(*(Text(cell.text, style="bold" if cell.strong else "") for cell in row))
    return shown
