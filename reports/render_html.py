"""index.html: one file, no network, works with scripts off."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reports.figures.draw import Picture
from reports.report import Report


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
    """The page, with its style and its pictures (by figure name) inside."""
    style = resources.files("reports").joinpath("templates/style.css").read_text("utf-8")
    drawn = {name: Markup(picture.inline) for name, picture in pictures.items()}
    return (
        environment(autoescape=True)
        .get_template("report.html.j2")
        .render(
            report=report,
            generated=report.context.generated,
            style=Markup(style),  # our own file
            pictures=drawn,  # XML-escaped by their serialiser
        )
    )
