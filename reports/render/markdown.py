"""report.md: the same sections for pull requests, with figures by relative path."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator

from reports.document import (
    Block,
    Bullets,
    Cell,
    Code,
    Details,
    Facts,
    Figure,
    Paragraph,
    Section,
    Table,
)
from reports.report import Report

MOST_ROWS = 200
"""Of a table: GitHub refuses to show files of more than half a megabyte."""
_LONG = 30
"""A table of more rows is folded away."""


def render_markdown(report: Report) -> str:
    """GitHub-flavoured Markdown."""
    parts = [f"# {escape(report.title)}"]
    if report.description:
        parts.append(_start(report.description))
    for section in report.sections:
        parts += [_heading(section), *_blocks(section.blocks)]
    parts.append(f"Results as of {report.generated}.")
    return "\n\n".join(parts) + "\n"


def _heading(section: Section) -> str:
    return f"## {escape(section.title)}"


def _blocks(blocks: Iterable[Block]) -> Iterator[str]:
    for block in blocks:
        yield from _block(block)


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Paragraph):
        yield _start(block.text)
    elif isinstance(block, Bullets):
        yield "\n".join(f"- {_start(item)}" for item in block.items)
    elif isinstance(block, Facts):
        yield "\n".join(f"- {_start(name)}: {escape(value)}" for name, value in block.rows)
    elif isinstance(block, Code):
        yield _code(block)
    elif isinstance(block, Table):
        yield from _table(block)
    elif isinstance(block, Figure):
        yield f"![{escape(block.title)}](figures/{block.name}.svg)"
        yield _start(block.caption)
        yield from _folded("The numbers of this figure", [markdown_table(block.table)])
    elif isinstance(block, Details):
        yield from _folded(block.summary, _blocks(block.blocks))


def _table(table: Table) -> Iterator[str]:
    if len(table.rows) > _LONG:
        yield from _folded(f"{table.caption} ({len(table.rows):,} rows)", [markdown_table(table)])
    else:
        yield from (f"**{escape(table.caption)}**", markdown_table(table))


def _folded(summary: str, parts: Iterable[str]) -> Iterator[str]:
    """Parts that show on request; the summary is HTML, where Markdown's escapes do not hold."""
    yield f"<details><summary>{html.escape(' '.join(summary.split()))}</summary>"
    yield from parts
    yield "</details>"


def _code(block: Code) -> str:
    longest = max((len(run) for run in re.findall(r"`+", block.text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{block.language}\n{block.text.rstrip()}\n{fence}"


_SPECIAL = re.compile(r"[\\`*_\[\]<>|#~&$!@]")
_LIST = re.compile(r"^(?:[-+=]|\d{1,9}(?=[.)]))")
_LINK = re.compile(r"(?:https?|ftp|mailto):|www\.", re.IGNORECASE)


def escape(text: str) -> str:
    """Text that Markdown shows as it stands, on one line: no link, no mention, no HTML."""
    line = " ".join(text.split())
    line = _SPECIAL.sub(
        lambda found: f"&#{ord(found[0])};" if found[0] in "@&$" else "\\" + found[0], line
    )
    # GitHub links bare addresses, and what begins like a list becomes one.
    line = _LINK.sub(lambda found: f"{found[0][:-1]}&#{ord(found[0][-1])};", line)
    return line


def _start(text: str) -> str:
    """Text at the start of a line: what looks like a list there is none."""
    return _LIST.sub(lambda found: f"&#{ord(found[0][0])};{found[0][1:]}", escape(text))


def markdown_table(table: Table) -> str:
    """A pipe table; numeric columns are aligned right."""
    heads = [escape(column.title) for column in table.columns]
    rules = ["---:" if column.numeric else "---" for column in table.columns]
    lines = [heads, rules, *([_cell(cell) for cell in row] for row in table.rows[:MOST_ROWS])]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    if len(table.rows) > MOST_ROWS:
        text += f"\n\nThe first {MOST_ROWS:,} of {len(table.rows):,} rows; results.csv has all."
    return text


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    if cell.href:
        text = f"[{text}](<{cell.href}>)"
    return f"**{text}**" if cell.strong and text else text
