"""How it was measured, and where it comes from."""

from __future__ import annotations

from reports.context import Context
from reports.document import Block, Bullets, Code, Details, Facts, Section
from reports.method import how_to_read
from reports.provenance import provenance


def method_section(context: Context) -> Section:
    """Definitions and methods, in sentences."""
    items = how_to_read(context.sweep, context.analysis, context.rounding)
    return Section("method", "How it was measured, and how to read it", (Bullets(items),))


def provenance_section(context: Context) -> Section:
    """Sweep, code, versions, machines, time, and the sweep file itself."""
    blocks: list[Block] = [Facts(provenance(context.sweep))]
    if context.sweep.sweep_yaml is not None:
        what = "Config file" if context.sweep.single_run else "Sweep file"
        blocks.append(Details(what, (Code(context.sweep.sweep_yaml, "yaml"),)))
    return Section("provenance", "Provenance", tuple(blocks))
