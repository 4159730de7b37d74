"""report.md: the same sections for pull requests, with the figure by relative path."""

from __future__ import annotations

import re

from reports.render_html import environment
from reports.report import Report
from reports.table import Cell, Table


def render_markdown(report: Report) -> str:
    """GitHub-flavoured Markdown."""
    template = environment(autoescape=False)
    template.filters["table"] = markdown_table
    template.filters["md"] = escape
    return template.get_template("report.md.j2").render(report=report)


def escape(text: str) -> str:
    """Text that Markdown shows as it stands, on one line."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))


def markdown_table(table: Table) -> str:
    """A pipe table; numeric columns are aligned right."""
    heads = [escape(column.title) for column in table.columns]
    rules = ["---:" if column.numeric else "---" for column in table.columns]
    lines = [heads, rules, *([_cell(cell) for cell in row] for row in table.rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    if cell.href:
        text = f"[{text}](<{cell.href}>)"
    return f"**{text}**" if cell.strong and text else text
