"""A comparison of two sweeps as files, and on the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.text import Text

from deit_core.run_dir import write_atomic
from reports.diff.report import DiffReport, diff_values
from reports.document import Paragraph, Table
from reports.render.html import render_html
from reports.render.markdown import render_markdown
from reports.render.terminal import print_table
from reports.store import compact_lines


def write_diff(report: DiffReport, output: Path) -> Path:
    """Write diff.json, report.md and index.html, the page last; returns its path.

    Raises:
        RunDirError: no permission, or no space left.
    """
    files = {
        "diff.json": compact_lines(diff_values(report)) + "\n",
        "report.md": render_markdown(report),
        "index.html": render_html(report, {}),
    }
    for name, text in files.items():
        write_atomic(output / name, text.encode())
    return output / "index.html"


def print_diff(report: DiffReport, console: Console) -> None:
    """Print the answer and all tables."""
    for block in report.sections[0].blocks:
        if isinstance(block, Paragraph):
            console.print(Text(block.text), soft_wrap=not console.is_terminal)
    for section in report.sections[1:]:
        for block in section.blocks:
            if isinstance(block, Table):
                console.print()
                print_table(block, console)
