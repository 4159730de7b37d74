"""Find the parts of a compiled report."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from reports.context import Options
from reports.document import Block, Code, Details, Figure, Paragraph, Section, Table
from reports.figures.draw import draw
from reports.load import load_sweep
from reports.report import Report, compile_report


def compiled(path: Path, baseline: str | None = None) -> Report:
    return compile_report(load_sweep(path), Options(baseline=baseline))


def section(report: Report, name: str) -> Section:
    (found,) = [one for one in report.sections if one.id == name]
    return found


def has_section(report: Report, name: str) -> bool:
    return any(one.id == name for one in report.sections)


def table(report: Report, name: str) -> Table:
    (found,) = [one for one in report.tables if one.name == name]
    return found


def figure(report: Report, name: str) -> Figure:
    (found,) = [one for one in report.figures if one.name == name]
    return found


def words(blocks: tuple[Block, ...]) -> str:
    """All sentences of a section, folded ones too."""
    texts = []
    for block in blocks:
        if isinstance(block, Paragraph | Code):
            texts.append(block.text)
        elif isinstance(block, Details):
            texts.append(words(block.blocks))
    return " ".join(texts)


def columns(found: Table) -> list[str]:
    return [column.title for column in found.columns]


def column(found: Table, title: str) -> list[str]:
    """The texts of a column, top down."""
    index = columns(found).index(title)
    return [row[index].text for row in found.rows]


def drawn(found: Figure) -> ElementTree.Element:
    """The figure as SVG, which must parse and have a title and a description."""
    root = ElementTree.fromstring(draw(found).standalone.encode())
    space = "{http://www.w3.org/2000/svg}"
    assert root.findtext(f"{space}title") == found.title
    assert root.findtext(f"{space}desc") == found.description
    return root


def texts(root: ElementTree.Element) -> list[str]:
    """All words in a picture."""
    return ["".join(one.itertext()).strip() for one in root.iter() if one.tag.endswith("}text")]
