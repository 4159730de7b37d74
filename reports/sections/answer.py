"""The answer, and what to be careful about."""

from __future__ import annotations

from reports.caveats import find_caveats
from reports.context import Context
from reports.document import Bullets, Paragraph, Section


def answer_section(context: Context) -> Section:
    """One paragraph: which variant, how much, how sure."""
    return Section("answer", "Answer", (Paragraph(" ".join(context.answer), "answer"),))


def caveats_section(context: Context) -> Section | None:
    """What limits what the numbers say."""
    found = find_caveats(context.sweep, context.analysis)
    if not found:
        return None
    items = tuple(caveat.text for caveat in found)
    return Section("caveats", "Be careful", (Bullets(items),), warning=True)
