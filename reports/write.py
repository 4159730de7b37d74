"""Write a report's files, each replaced whole."""

from __future__ import annotations

import os
from pathlib import Path

from deit_core.run_dir import write_atomic
from reports.errors import ReportError
from reports.export import csv_text, json_text
from reports.figures.draw import draw
from reports.render_html import render_html
from reports.render_markdown import render_markdown
from reports.report import Report


def write_report(report: Report, output: Path) -> Path:
    """Write all files and return the path of the page, which is written last.

    Raises:
        RunDirError: no permission, or no space left.
    """
    pictures = {figure.name: draw(figure) for figure in report.figures}
    files = {
        "results.json": json_text(report),
        "results.csv": csv_text(report),
        **{f"figures/{name}.svg": picture.standalone for name, picture in pictures.items()},
        "report.md": render_markdown(report),
        "index.html": render_html(report, pictures),
    }
    for name, text in files.items():
        write_atomic(output / name, text.encode())
    return output / "index.html"


def source_date_epoch() -> int | None:
    """SOURCE_DATE_EPOCH of the environment (reproducible-builds.org), in Unix seconds.

    Raises:
        ReportError: it is set to something else than a whole number.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if not text:
        return None
    if not text.isdecimal():
        raise ReportError(
            f"SOURCE_DATE_EPOCH is {text!r}; give whole seconds since 1970, or unset it"
        )
    return int(text)
