"""index.html: one file, no network, works with scripts off."""

from __future__ import annotations

from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reports.figures import Picture
from reports.report import Report


def environment(*, autoescape: bool) -> Environment:
    """Jinja with this package's templates; an unknown name in a template is an error."""
    return Environment(
        loader=PackageLoader("reports"),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render_html(report: Report, picture: Picture | None) -> str:
    """The page, with its style and its picture inside."""
    style = resources.files("reports").joinpath("templates/style.css").read_text("utf-8")
    return (
        environment(autoescape=True)
        .get_template("report.html.j2")
        .render(
            report=report,
            style=Markup(style),  # our own file
            figure=Markup(picture.inline) if picture else None,  # XML-escaped by its serialiser
        )
    )
