"""How cells of the page are set: numbers of a column stand with their decimal points aligned."""

from __future__ import annotations

import re
from collections.abc import Sequence

from markupsafe import Markup

from reports.document import Cell, Column

LONG_TEXT = 40
"""Characters from which on a cell may break into lines."""
_COMMA = re.compile(r",(?=\S)")
_NUMBER = re.compile(r"([+\-\N{MINUS SIGN}]?[\d,]*\d)(\D.*)?", re.DOTALL)


def tail_widths(
    rows: Sequence[Sequence[Cell]], columns: Sequence[Column]
) -> tuple[int | None, ...]:
    """Per column the characters that the longest of its numbers has from its decimal point on.

    None: they all have equally many, so that they are aligned at the right as they are.
    """
    return tuple(
        _tail_width([row[index].text for row in rows]) if column.numeric else None
        for index, column in enumerate(columns)
    )


def _tail_width(texts: Sequence[str]) -> int | None:
    lengths = {len(tail) for text in texts if (tail := split_number(text)[1]) is not None}
    return max(lengths) if len(lengths) > 1 else None


def split_number(text: str) -> tuple[str, str | None]:
    """`84.1 ± 1.2` as (`84`, `.1 ± 1.2`); None for the second of what is no number."""
    match = _NUMBER.fullmatch(text)
    return (match[1], match[2] or "") if match else (text, None)


def content(cell: Cell, tail_width: int | None) -> Markup | str:
    """A cell's text; what follows the decimal point of a number gets `tail_width` characters.

    Long text, such as the name of a trial, breaks after commas rather than anywhere.
    """
    shown: Markup | str = cell.text
    if tail_width is not None:
        head, tail = split_number(cell.text)
        if tail is not None:
            box = Markup('<span class="tail" style="min-width:{}ch">{}</span>')
            shown = Markup("{}{}").format(head, box.format(tail_width, tail))
    elif len(cell.text) > LONG_TEXT:
        shown = Markup(",<wbr>").join(_COMMA.split(cell.text))
    if cell.strong:
        shown = Markup("<strong>{}</strong>").format(shown)
    return Markup("<u>{}</u>").format(shown) if cell.second else shown
