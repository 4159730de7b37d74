"""Write a report's files, each replaced whole."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from deit_core.run_dir import write_atomic
from reports.csv_files import results_csv, summary_csv
from reports.errors import ReportError
from reports.export import json_bytes
from reports.figures.draw import Picture, draw
from reports.render.html import render_html
from reports.render.latex import latex_tables
from reports.render.markdown import render_markdown
from reports.report import Report

Files = dict[str, str | bytes | bytearray]


def _html(report: Report, pictures: dict[str, Picture]) -> Files:
    return {"index.html": render_html(report, pictures)}


def _markdown(report: Report, pictures: dict[str, Picture]) -> Files:
    return _svg(report, pictures) | {"report.md": render_markdown(report)}


def _csv(report: Report, pictures: dict[str, Picture]) -> Files:
    return {"results.csv": results_csv(report), "summary.csv": summary_csv(report)}


def _json(report: Report, pictures: dict[str, Picture]) -> Files:
    return {"results.json": json_bytes(report)}


def _tex(report: Report, pictures: dict[str, Picture]) -> Files:
    return {f"tables/{name}": text for name, text in latex_tables(report).items()}


def _svg(report: Report, pictures: dict[str, Picture]) -> Files:
    return {f"figures/{name}.svg": picture.standalone for name, picture in pictures.items()}


def _pdf(report: Report, pictures: dict[str, Picture]) -> Files:
    return {f"figures/{name}.pdf": picture.pdf or b"" for name, picture in pictures.items()}


_MAKERS: dict[str, Callable[[Report, dict[str, Picture]], Files]] = {
    "json": _json,
    "csv": _csv,
    "tex": _tex,
    "svg": _svg,
    "pdf": _pdf,
    "md": _markdown,
    "html": _html,
}
"""In the order in which they are written: the page comes last, so whoever sees it sees all."""
FORMATS = ("html", "md", "csv", "json", "tex", "svg", "pdf")
"""`md` includes the figures it shows, figures/*.svg."""
_DRAWN = {"html", "md", "svg", "pdf"}


def parse_formats(text: str) -> tuple[str, ...]:
    """`html,md` as formats.

    Raises:
        ReportError: one of them is unknown, or there is none.
    """
    asked = [part.strip().lower() for part in text.split(",") if part.strip()]
    unknown = [part for part in asked if part not in _MAKERS]
    if unknown or not asked:
        said = f"{unknown[0]!r} is no format" if unknown else "no format given"
        raise ReportError(f"--format: {said}; valid: {','.join(FORMATS)}")
    return tuple(name for name in _MAKERS if name in asked)


def write_report(report: Report, output: Path, formats: Collection[str] = FORMATS) -> Path:
    """Write the files of these formats and leave all others alone.

    Returns:
        The page, which is written last; without it the folder, or the only file.

    Raises:
        RunDirError: no permission, or no space left.
    """
    written: list[str] = []
    with _any_script():
        figures = report.figures if _DRAWN & set(formats) else []
        pictures = {one.name: draw(one, pdf="pdf" in formats) for one in figures}
        for name, make in _MAKERS.items():
            files = make(report, pictures) if name in formats else {}
            for path, content in files.items():
                data = content.encode() if isinstance(content, str) else memoryview(content)
                write_atomic(output / path, data)
            written.extend(files)
    if "html" in formats:
        return output / "index.html"
    return output / written[0] if len(written) == 1 else output


@contextmanager
def _any_script() -> Iterator[None]:
    """Names may be in any script; a figure shows a box for a letter that its font lacks."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        yield


def source_date_epoch() -> int | None:
    """SOURCE_DATE_EPOCH of the environment (reproducible-builds.org), in Unix seconds.

    Raises:
        ReportError: it is set to something else than a whole number.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()) or len(text) > 11:
        raise ReportError(
            f"SOURCE_DATE_EPOCH is {text!r}; give whole seconds since 1970, or unset it"
        )
    return int(text)
