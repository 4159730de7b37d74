"""What a report consists of: sections of blocks, that every renderer prints in the same order.

A section is made from data and knows no format; a renderer knows formats and no statistics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:  # half a second to import; what only reads a report does not need it
    from matplotlib.figure import Figure as Canvas


@dataclass(frozen=True)
class Column:
    """A column's heading and how its cells stand."""

    title: str
    numeric: bool = False
    filters: bool = False
    """Whether a reader may want to see the rows of one value only, as of a swept field."""


@dataclass(frozen=True)
class Cell:
    """One cell."""

    text: str
    strong: bool = False
    href: str | None = None
    """Relative link, as seen from the report's folder."""
    value: float | None = None
    """The number behind the text, in full precision, to sort by."""
    second: bool = False
    """Second best of its column: underlined."""


@dataclass(frozen=True)
class Table:
    """Rows under a caption; the first `row_headers` cells of a row name it."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    row_headers: int = 1
    name: str = ""
    """Its file in tables/, without the ending, and its id on the page; unique. Empty: no file."""


@dataclass(frozen=True)
class Paragraph:
    """Sentences."""

    text: str
    kind: Literal["text", "answer", "legend", "note"] = "text"


@dataclass(frozen=True)
class Bullets:
    """A list without an order."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """Names and what they are."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Code:
    """Text to copy, shown as it stands."""

    text: str
    language: str = ""


class Plot(Protocol):
    """What is drawn, as plain data that can be tested, and how it is drawn."""

    def size(self) -> tuple[float, float]:
        """Width and height, inches."""

    def paint(self, canvas: Canvas) -> None:
        """Draw; every mark that has a tooltip gets its key as gid."""

    def tooltips(self) -> Mapping[str, str]:
        """What is said of a mark, by its gid."""


@dataclass(frozen=True)
class Figure:
    """A plot with all that those need who do not see it."""

    name: str
    """Its file in figures/, without the ending, and its id on the page; unique."""
    title: str
    description: str
    """States the finding, not the shape."""
    caption: str
    plot: Plot
    table: Table
    """The numbers that are drawn."""


@dataclass(frozen=True)
class Details:
    """Blocks that are folded away until somebody asks."""

    summary: str
    blocks: tuple[Block, ...]


Block = Paragraph | Bullets | Facts | Code | Table | Figure | Details


@dataclass(frozen=True)
class Section:
    """One part of the report under its heading."""

    id: str
    title: str
    blocks: tuple[Block, ...]
    warning: bool = False
    """Whether it is set apart, as the caveats are."""


def figures_of(sections: tuple[Section, ...]) -> list[Figure]:
    """All figures, in reading order."""
    return [block for section in sections for block in section.blocks if isinstance(block, Figure)]


def tables_of(sections: tuple[Section, ...]) -> list[Table]:
    """All tables that have a name, in reading order; those of figures and of folded parts too."""
    return [table for section in sections for table in _tables(section.blocks) if table.name]


def _tables(blocks: tuple[Block, ...]) -> list[Table]:
    found: list[Table] = []
    for block in blocks:
        if isinstance(block, Table):
            found.append(block)
        elif isinstance(block, Figure):
            found.append(block.table)
        elif isinstance(block, Details):
            found.extend(_tables(block.blocks))
    return found
