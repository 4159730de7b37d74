"""From a figure's data to SVG and PDF. The same data gives the same bytes.

Marks carry a <title> (a tooltip, and a name for assistive technology), the picture <title> and
<desc>; colour is never the only sign.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

from matplotlib import rc_context
from matplotlib.figure import Figure as Canvas

from reports.document import Figure
from reports.figures.style import INK, set_style

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_REFERENCE = re.compile(r"(^|url\()#")


@dataclass(frozen=True)
class Picture:
    """One drawing in the forms that are needed."""

    standalone: str
    """An SVG document with a white background."""
    inline: str
    """An <svg> element for a page: no namespaces, the page's text colour, width by the page."""
    pdf: bytes | None
    """The same drawing for papers, where it was asked for."""


def draw(figure: Figure, *, pdf: bool = False) -> Picture:
    """Draw a figure as SVG, and as PDF where that is asked for."""
    with rc_context():
        set_style()
        canvas = _painted(figure)
        svg = _svg(figure, canvas)
        canvas.patch.set_visible(True)
        canvas.set_layout_engine("none")  # it was laid out for the SVG
        as_pdf = _pdf(figure, canvas) if pdf else None
    root = _annotate(svg, figure)
    inline = ElementTree.Element(root.tag, dict(root.attrib))
    inline.extend(root)
    for size in ("width", "height"):
        inline.attrib.pop(size, None)
    background = ElementTree.Element(f"{{{_SVG}}}rect", width="100%", height="100%", fill="#fff")
    root.insert(2, background)  # after <title> and <desc>
    return Picture(
        '<?xml version="1.0" encoding="utf-8"?>\n' + _serialise(root) + "\n",
        _serialise(inline)
        .replace(INK, "currentColor")
        .replace(f' xmlns="{_SVG}"', "")
        .replace(f' xmlns:xlink="{_XLINK}"', "")
        .replace("xlink:href", "href"),
        as_pdf,
    )


def _pdf(figure: Figure, canvas: Canvas) -> bytes:
    metadata = {"CreationDate": None, "ModDate": None, "Title": figure.title}
    buffer = io.BytesIO()
    canvas.savefig(buffer, format="pdf", metadata=metadata)
    return buffer.getvalue()


def _svg(figure: Figure, canvas: Canvas) -> ElementTree.Element:
    buffer = io.BytesIO()
    canvas.patch.set_visible(False)
    canvas.savefig(buffer, format="svg", metadata={"Date": None})
    root = ElementTree.fromstring(buffer.getvalue())
    _make_ids_unique(root, figure.name)
    return root


def _make_ids_unique(root: ElementTree.Element, name: str) -> None:
    """Several pictures share a page, and matplotlib calls the first axes of each `axes_1`."""
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == "id":
                element.set(key, f"{name}-{value}")
            elif "#" in value:  # "#hash" of <use>, "url(#hash)" of clip paths; colours stay
                changed = _REFERENCE.sub(rf"\1#{name}-", value)
                element.set(key, changed if key.endswith("href") or "url(" in value else value)


def _painted(figure: Figure) -> Canvas:
    canvas = Canvas(figsize=figure.plot.size(), layout="constrained")
    figure.plot.paint(canvas)
    for axes in canvas.axes:
        axes.patch.set_visible(False)
    return canvas


def _annotate(root: ElementTree.Element, figure: Figure) -> ElementTree.Element:
    """Add names for assistive technology; drop the metadata."""
    for child in list(root):
        if child.tag == f"{{{_SVG}}}metadata":
            root.remove(child)
    titles = {f"{figure.name}-{gid}": text for gid, text in figure.plot.tooltips().items()}
    _add_titles(root, titles)
    root.set("role", "img")
    root.set("aria-labelledby", f"{figure.name}-title {figure.name}-desc")
    texts = (("title", figure.title), ("desc", figure.description))
    for position, (tag, text) in enumerate(texts):
        element = ElementTree.Element(f"{{{_SVG}}}{tag}", id=f"{figure.name}-{tag}")
        element.text = text
        root.insert(position, element)
    return root


def _add_titles(root: ElementTree.Element, tooltips: Mapping[str, str]) -> None:
    for element in root.iter():
        text = tooltips.get(element.get("id", ""))
        if text is not None:
            title = ElementTree.Element(f"{{{_SVG}}}title")
            title.text = text
            element.insert(0, title)


def _serialise(root: ElementTree.Element) -> str:
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    return ElementTree.tostring(root, encoding="unicode")
