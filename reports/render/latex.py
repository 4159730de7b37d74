r"""tables/*.tex: booktabs, siunitx, no vertical rules; each file is a table to \input.

Columns of numbers are S columns, aligned at their decimal marker; what is no number in them stands
in braces, which siunitx prints as text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from reports.document import Cell, Table
from reports.render.latex_text import comment, escape, label
from reports.report import Report

MOST_ROWS = 1_000
"""Of a table; results.csv and summary.csv have all."""
_NUMBER = re.compile(
    r"(?P<sign>[+\u2212-]?)(?P<whole>\d[\d,]*)(?:\.(?P<part>\d+))?"
    r"(?:\s*\u00b1\s*(?P<error>\d[\d,]*(?:\.\d+)?))?"
)
PREAMBLE = (
    r"\usepackage{booktabs}",
    r"\usepackage{siunitx}",
    r"\sisetup{separate-uncertainty = true, detect-weight = true}",
    r"\usepackage{textcomp}",
)
"""What a document needs that reads the tables."""


@dataclass(frozen=True)
class _Number:
    """The parts of a cell that is a number."""

    sign: str
    whole: str
    part: str
    error: str

    def __str__(self) -> str:
        text = self.sign + self.whole + (f".{self.part}" if self.part else "")
        return f"{text} +- {self.error}" if self.error else text


def latex_tables(report: Report) -> dict[str, str]:
    """File name -> LaTeX, for every table that has a name."""
    sweep = report.context.sweep.plan.sweep
    return {f"{table.name}.tex": latex_table(table, sweep) for table in report.tables}


def latex_table(table: Table, sweep: str) -> str:
    """A floating table with caption and label."""
    rows = table.rows[:MOST_ROWS]
    formats = [
        _table_format([row[index] for row in rows]) if column.numeric else None
        for index, column in enumerate(table.columns)
    ]
    kinds = [
        (f"S[{chosen}]" if chosen else "r") if column.numeric else "l"
        for column, chosen in zip(table.columns, formats, strict=True)
    ]
    heads = [
        f"{{{escape(column.title)}}}" if chosen else escape(column.title)
        for column, chosen in zip(table.columns, formats, strict=True)
    ]
    caption = table.caption
    if len(table.rows) > MOST_ROWS:
        caption += f" (the first {MOST_ROWS:,} of {len(table.rows):,} rows)"
    lines = [
        f"% Made by deit-report from the sweep {comment(sweep)}. The preamble needs:",
        *(f"%   {line}" for line in PREAMBLE),
        r"\begin{table}",
        r"  \centering",
        f"  \\caption{{{escape(caption)}}}",
        f"  \\label{{tab:{label(sweep)}-{label(table.name)}}}",
        f"  \\begin{{tabular}}{{{' '.join(kinds)}}}",
        r"    \toprule",
        f"    {' & '.join(heads)} \\\\",
        r"    \midrule",
        *(f"    {_row(row, formats)} \\\\" for row in rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _row(row: Sequence[Cell], formats: Sequence[str | None]) -> str:
    return " & ".join(_cell(cell, chosen) for cell, chosen in zip(row, formats, strict=True))


def _cell(cell: Cell, table_format: str | None) -> str:
    if table_format is None:
        return _marked(escape(cell.text), cell)
    number = _number(cell.text)
    if number is None:
        return f"{{{_marked(escape(cell.text), cell)}}}" if cell.text.strip() else ""
    if cell.second:  # an S column cannot underline a number that it aligns
        return f"{{\\underline{{\\num{{{number}}}}}}}"
    return f"\\bfseries {number}" if cell.strong else str(number)


def _marked(text: str, cell: Cell) -> str:
    if not text:
        return ""
    if cell.strong:
        return f"\\textbf{{{text}}}"
    return f"\\underline{{{text}}}" if cell.second else text


def _number(text: str) -> _Number | None:
    found = _NUMBER.fullmatch(text.strip())
    if found is None:
        return None
    sign = found["sign"].replace("\N{MINUS SIGN}", "-")
    error = (found["error"] or "").replace(",", "")
    return _Number(sign, found["whole"].replace(",", ""), found["part"] or "", error)


def _table_format(cells: Sequence[Cell]) -> str | None:
    """The widest number of a column as siunitx wants it, `table-format = +2.1(2)`; None: none."""
    numbers = [number for cell in cells if (number := _number(cell.text))]
    if not numbers:
        return None
    sign = "+" if any(number.sign for number in numbers) else ""
    whole = max(len(number.whole) for number in numbers)
    part = max(len(number.part) for number in numbers)
    errors = [len(number.error.replace(".", "").lstrip("0")) for number in numbers if number.error]
    text = f"{sign}{whole}" + (f".{part}" if part else "")
    return f"table-format = {text}" + (f"({max(errors)})" if errors else "")
