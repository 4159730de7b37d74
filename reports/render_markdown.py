"""report.md: the same sections for pull requests, with figures by relative path."""

from __future__ import annotations

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


def render_markdown(report: Report) -> str:
    """GitHub-flavoured Markdown."""
    parts = [f"# {escape(report.title)}"]
    if report.description:
        parts.append(escape(report.description))
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
        yield escape(block.text)
    elif isinstance(block, Bullets):
        yield "\n".join(f"- {escape(item)}" for item in block.items)
    elif isinstance(block, Facts):
        yield "\n".join(f"- {escape(name)}: {escape(value)}" for name, value in block.rows)
    elif isinstance(block, Code):
        yield _code(block)
    elif isinstance(block, Table):
        yield from (f"**{escape(block.caption)}**", markdown_table(block))
    elif isinstance(block, Figure):
        yield f"![{escape(block.title)}](figures/{block.name}.svg)"
        yield escape(block.caption)
    elif isinstance(block, Details):
        yield f"<details><summary>{escape(block.summary)}</summary>"
        yield from _blocks(block.blocks)
        yield "</details>"


def _code(block: Code) -> str:
    longest = max((len(run) for run in re.findall(r"`+", block.text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{block.language}\n{block.text.rstrip()}\n{fence}"


def escape(text: str) -> str:
    """Text that Markdown shows as it stands, on one line."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))


def markdown_table(table: Table) -> str:
    """A pipe table; numeric columns are aligned right."""
    heads = [escape(column.title) for column in table.columns]
    rules = ["---:" if column.numeric else "---" for column in table.columns]
    lines = [heads, rules, *([_cell(cell) for cell in row] for row in table.rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    if cell.href:
        text = f"[{text}](<{cell.href}>)"
    return f"**{text}**" if cell.strong and text else text
