"""An analysis as tables for people, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deit_core.analyse.measure import Analysis
from deit_core.records import AnalysisRecord, DecisionMakerRecord

_COLUMN_WIDTH = 7
_NAME_LIMIT = 40


def as_json(analysis: Analysis) -> str:
    """The matrix with its names, and the records of all runs."""
    values: dict[str, Any] = {
        "decision_makers": analysis.decision_makers,
        "disagreement": analysis.disagreement,
        "runs": [record.model_dump(mode="json") for record in analysis.records],
    }
    return json.dumps(values, indent=2, ensure_ascii=False)


def show(analysis: Analysis, console: Console) -> None:
    """Print accuracy by head, disagreement, likeness of tokens, and what is missing."""
    records = analysis.records
    what = f"{records[0].weights} weights, {records[0].images} images of val"
    _print(console, f"Accuracy by head: {what}", _accuracy_table(analysis))
    title = "Disagreement: share of images with another top-1 class"
    for table in _disagreement_tables(analysis, console.width):
        _print(console, title, table)
        title = "Disagreement, more columns"
    if any(record.token_cosine for record in records):
        title = "Cosine similarity of class and distillation token, by block"
        _print(console, title, _token_table(records))
    for note in _notes(records):
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def _print(console: Console, title: str, table: Table) -> None:
    console.print(title, style="bold", highlight=False, soft_wrap=True)
    console.print(table)
    console.print()


def _table() -> Table:
    table = Table(pad_edge=False, box=None)
    table.add_column("", overflow="fold", max_width=_NAME_LIMIT)
    return table


def _accuracy_table(analysis: Analysis) -> Table:
    table = _table()
    for heading in ("top-1 %", "top-5 %", "loss"):
        table.add_column(heading, justify="right")
    for maker in _makers(analysis):
        loss = "-" if maker.loss is None else f"{maker.loss:.4f}"
        table.add_row(escape(maker.name), f"{maker.top1:.2f}", f"{maker.top5:.2f}", loss)
    return table


def _makers(analysis: Analysis) -> Iterator[DecisionMakerRecord]:
    """Teachers and heads, in the order of the matrix."""
    found: dict[str, DecisionMakerRecord] = {}
    for record in analysis.records:
        for maker in (record.teacher, *record.heads.values()):
            if maker is not None:
                found[maker.name] = maker
    return (found[name] for name in analysis.decision_makers if name in found)


def _disagreement_tables(analysis: Analysis, width: int) -> Iterator[Table]:
    """The matrix, cut into as many columns as fit."""
    count = len(analysis.decision_makers)
    digits = len(str(count))
    makers = enumerate(analysis.decision_makers, start=1)
    names = [f"{row:{digits}}  {name}" for row, name in makers]
    taken = min(max(map(len, names)), _NAME_LIMIT) + 1
    fit = max(1, (width - taken) // _COLUMN_WIDTH)
    for first in range(0, count, fit):
        columns = range(first, min(first + fit, count))
        table = _table()
        for column in columns:
            table.add_column(str(column + 1), justify="right", no_wrap=True)
        for name, rates in zip(names, analysis.disagreement, strict=True):
            table.add_row(escape(name), *(f"{rates[column]:.3f}" for column in columns))
        yield table


def _token_table(records: Sequence[AnalysisRecord]) -> Table:
    table = _table()
    with_tokens = [record for record in records if record.token_cosine]
    places = _places(with_tokens)
    for place in places:
        table.add_column(place.removeprefix("block "), justify="right")
    for record in with_tokens:
        assert record.token_cosine is not None
        found = {item.place: item.cosine for item in record.token_cosine}
        cells = [found.get(place) for place in places]
        table.add_row(escape(record.name), *("-" if c is None else f"{c:.2f}" for c in cells))
    return table


def _places(records: Sequence[AnalysisRecord]) -> list[str]:
    """Places of the deepest model; those of the others are among them."""
    deepest = max(records, key=lambda record: len(record.token_cosine or ()))
    return [item.place for item in deepest.token_cosine or ()]


def _notes(records: Sequence[AnalysisRecord]) -> Iterator[str]:
    for record in records:
        for reason in (record.teacher_missing, record.token_cosine_missing):
            if reason is not None:
                yield f"{record.name}: {reason}"
    if records[0].unreadable_images:
        yield f"{records[0].unreadable_images} images of val cannot be read and are left out"
