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
_NAME_WIDTH = 36


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
    console.print(_accuracy_table(analysis))
    for table in _disagreement_tables(analysis, console.width):
        console.print(table)
    if any(record.token_cosine for record in analysis.records):
        console.print(_token_table(analysis.records))
    for note in _notes(analysis.records):
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", pad_edge=False, box=None)


def _accuracy_table(analysis: Analysis) -> Table:
    images = analysis.records[0].images
    table = _table(f"\nAccuracy by head, {analysis.records[0].weights} weights, {images} images")
    table.add_column("", overflow="fold")
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
    fit = max(1, (width - _NAME_WIDTH) // _COLUMN_WIDTH)
    for first in range(0, count, fit):
        columns = range(first, min(first + fit, count))
        more = "" if first == 0 else " (more columns)"
        table = _table(f"\nDisagreement: share of images with another top-1 class{more}")
        table.add_column("", justify="right")
        table.add_column("", overflow="fold")
        for column in columns:
            table.add_column(str(column + 1), justify="right")
        for row, name in enumerate(analysis.decision_makers):
            rates = (analysis.disagreement[row][column] for column in columns)
            table.add_row(str(row + 1), escape(name), *(f"{rate:.3f}" for rate in rates))
        yield table


def _token_table(records: Sequence[AnalysisRecord]) -> Table:
    table = _table("\nCosine similarity of class and distillation token")
    table.add_column("", overflow="fold")
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
