"""index.html: one file, no network; all of it works with scripts off."""

from __future__ import annotations

import base64
import hashlib
import unicodedata
from collections.abc import Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reports.figures.draw import Picture
from reports.render.html_cells import LONG_TEXT, content, tail_widths
from reports.report import Report

MOST_ROWS = 1000
"""Of a table that are on the page."""
TALL_ROWS = 30
"""A table of more rows scrolls inside a box, below its headings."""
_DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def environment(*, autoescape: bool) -> Environment:
    """Jinja with this package's templates; an unknown name in a template is an error."""
    made = Environment(
        loader=PackageLoader("reports"),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.tests["block"] = lambda block, name: type(block).__name__ == name
    return made


def render_html(report: Report, pictures: Mapping[str, Picture]) -> str:
    """The page, with its style, its script and its pictures (by figure name) inside."""
    page = environment(autoescape=True)
    page.finalize = visible
    page.filters |= {"content": content, "tail_widths": tail_widths, "sentence": sentence}
    page.globals |= {"most_rows": MOST_ROWS, "tall_rows": TALL_ROWS, "long_text": LONG_TEXT}
    script = _own("page.js")
    return page.get_template("report.html.j2").render(
        report=report,
        policy=content_policy(script),
        style=Markup(_own("style.css")),
        script=Markup(script),
        pictures={name: Markup(picture.inline) for name, picture in pictures.items()},
    )


def content_policy(script: str) -> str:
    """Content-Security-Policy of the page: nothing is fetched, and no script runs but this."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def visible(value: Any) -> Any:
    r"""Text with control and direction characters spelt out, as `\u202e`.

    They are not seen, but a name that holds them could turn around the text behind it.
    """
    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return value
    return "".join(_spelt(char) for char in value)


def _spelt(char: str) -> str:
    controls = unicodedata.category(char) in {"Cc", "Cs"} and char not in "\n\t"
    turns = char in "\u061c\u200e\u200f" or unicodedata.bidirectional(char) in _DIRECTIONS
    return char.encode("unicode_escape").decode() if controls or turns else char


def sentence(text: str) -> str:
    """Text that ends as a sentence does."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _own(name: str) -> str:
    return resources.files("reports").joinpath(f"templates/{name}").read_text("utf-8").strip()
