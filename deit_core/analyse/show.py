"""An analysis as tables for people, and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deit_core.analyse.measure import GROUND_TRUTH, Analysis
from deit_core.analyse.summary import (
    Party,
    Rates,
    Row,
    mean_of,
    parties_of,
    rows_of,
    teachers_of,
)
from deit_core.finished import FinishedRun
from deit_core.records import AnalysisRecord, HeadName

MATRIX_LIMIT = 12
"""Most decision makers whose pairs are all printed unless that is asked for."""
PLACES_LIMIT = 6
"""Most blocks whose tokens are printed unless all are asked for."""
_COLUMN_WIDTH = 7
_NAME_LIMIT = 40
_TITLE = "Disagreement: share of images with another top-1 class"


def as_json(analysis: Analysis) -> str:
    """The matrix with its names, and the records of all runs."""
    values: dict[str, Any] = {
        "decision_makers": analysis.decision_makers,
        "disagreement": analysis.disagreement,
        "runs": [record.model_dump(mode="json") for record in analysis.records],
    }
    return json.dumps(values, indent=2, ensure_ascii=False)


def show(
    analysis: Analysis, runs: Sequence[FinishedRun], console: Console, *, everything: bool = False
) -> None:
    """Print accuracy by head, disagreement, likeness of tokens, and what is missing.

    Args:
        analysis: what was found.
        runs: the analysed ones, in the same order.
        console: where to.
        everything: a row for each run instead of means over seeds, all pairs, and all blocks.
    """
    records, rows = analysis.records, rows_of(runs, analysis, by_run=everything)
    what = f"{records[0].weights} weights, {records[0].images} images of val"
    _print(console, f"Accuracy by head: {what}", _accuracy_table(rows, analysis))
    parties = parties_of(rows, analysis)
    if everything or len(parties) <= MATRIX_LIMIT:
        title = _TITLE
        for table in _matrix_tables(parties, Rates(analysis), console.width):
            _print(console, title, table)
            title = "Disagreement, more columns"
    else:
        _print(console, _TITLE, _own_pairs_table(rows, parties, Rates(analysis)))
        _say(console, f"All pairs of {len(parties)} decision makers: --all, or analysis.json.\n")
    title = "Cosine similarity of class and distillation token, by block"
    for table in _token_tables(rows, console.width, everything=everything):
        _print(console, title, table)
        title = "Cosine similarity, more blocks"
    for note in _notes(rows):
        _say(console, note)


def _print(console: Console, title: str, table: Table) -> None:
    console.print(title, style="bold", highlight=False, soft_wrap=True)
    console.print(table)
    console.print()


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _table(*headings: str) -> Table:
    table = Table(pad_edge=False, box=None)
    table.add_column("", overflow="fold", max_width=_NAME_LIMIT)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _cell(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _accuracy_table(rows: Sequence[Row], analysis: Analysis) -> Table:
    """A row for each teacher and each row; a head's own accuracy where there are two."""
    two = any(len(row.heads) > 1 for row in rows)
    heads: tuple[HeadName, ...] = ("cls", "dist") if two else ()
    table = _table("runs", "top-1 %", *(f"{head} %" for head in heads), "top-5 %", "loss")
    for teacher in teachers_of(analysis).values():
        own = (_cell(teacher.top1, 2), *("-" for _ in heads), _cell(teacher.top5, 2))
        table.add_row(escape(teacher.name), "-", *own, _cell(teacher.loss, 4))
    for row in rows:
        makers = row.makers(row.prediction)
        table.add_row(
            escape(row.label),
            str(len(row.records)),
            _cell(mean_of(maker.top1 for maker in makers), 2),
            *(_cell(mean_of(maker.top1 for maker in row.makers(head)), 2) for head in heads),
            _cell(mean_of(maker.top5 for maker in makers), 2),
            _cell(mean_of(maker.loss for maker in makers), 4),
        )
    return table


def _matrix_tables(parties: Sequence[Party], rates: Rates, width: int) -> Iterator[Table]:
    """All pairs, cut into as many columns as fit."""
    digits = len(str(len(parties)))
    names = [f"{number:{digits}}  {party.label}" for number, party in enumerate(parties, start=1)]
    taken = min(max(map(len, names)), _NAME_LIMIT) + 1
    fit = max(1, (width - taken) // _COLUMN_WIDTH)
    for first in range(0, len(parties), fit):
        columns = range(first, min(first + fit, len(parties)))
        table = _table(*(str(column + 1) for column in columns))
        for name, one in zip(names, parties, strict=True):
            cells = (rates.between(one, parties[column]) for column in columns)
            table.add_row(escape(name), *(_cell(rate, 3) for rate in cells))
        yield table


def _own_pairs_table(rows: Sequence[Row], parties: Sequence[Party], rates: Rates) -> Table:
    """Each row against ground truth, its teacher, its own other head and its own other seeds."""
    table = _table(
        *("ground\ntruth", "teacher", "cls to\nteacher", "dist to\nteacher", "cls to\ndist"),
        "seed to\nseed",
    )
    for number, row in enumerate(rows):
        of_head = dict(zip(row.heads, (p for p in parties if p.row == number), strict=True))
        own = of_head[row.prediction]
        two = "dist" in of_head
        truth = mean_of(maker.disagreement[GROUND_TRUTH] for maker in row.makers(row.prediction))
        cells = (
            truth,
            row.to_teacher(row.prediction),
            row.to_teacher("cls") if two else None,
            row.to_teacher("dist"),
            rates.between(of_head["cls"], of_head["dist"]) if two else None,
            rates.between(own, own) if len(row.records) > 1 else None,
        )
        table.add_row(escape(row.label), *(_cell(rate, 3) for rate in cells))
    return table


def _token_tables(rows: Sequence[Row], width: int, *, everything: bool) -> Iterator[Table]:
    """Means over the runs of a row, at a few blocks of a deep model or at all, as many as fit."""
    with_tokens = [row for row in rows if row.records[0].token_cosine]
    if not with_tokens:
        return
    places = _places([record for row in with_tokens for record in row.records])
    if not everything:
        places = _thinned(places)
    taken = min(max(len(row.label) for row in with_tokens), _NAME_LIMIT) + 1
    fit = max(1, (width - taken) // (_COLUMN_WIDTH + 2))
    for first in range(0, len(places), fit):
        shown = places[first : first + fit]
        table = _table(*(place.removeprefix("block ") for place in shown))
        for row in with_tokens:
            cells = (_cell(_cosine(row.records, place), 2) for place in shown)
            table.add_row(escape(row.label), *cells)
        yield table


def _places(records: Sequence[AnalysisRecord]) -> list[str]:
    """Places of the deepest model; those of the others are among them."""
    deepest = max(records, key=lambda record: len(record.token_cosine or ()))
    return [item.place for item in deepest.token_cosine or ()]


def _thinned(places: Sequence[str]) -> list[str]:
    """Every n-th block, and all that is no block."""
    blocks = [place for place in places if place.startswith("block ")]
    step = math.ceil(len(blocks) / PLACES_LIMIT) or 1
    kept = set(blocks[::-step])
    return [place for place in places if place in kept or place not in blocks]


def _cosine(records: Sequence[AnalysisRecord], place: str) -> float | None:
    return mean_of(
        item.cosine
        for record in records
        for item in record.token_cosine or ()
        if item.place == place
    )


def _notes(rows: Sequence[Row]) -> Iterator[str]:
    """Why something is missing, each reason once with the rows it is about."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        for record in row.records:
            for reason in (record.teacher_missing, record.token_cosine_missing):
                labels = reasons.setdefault(reason, []) if reason is not None else []
                if row.label not in labels:
                    labels.append(row.label)
    for reason, labels in reasons.items():
        yield f"{_named(labels, len(rows))}: {reason}"
    unreadable = rows[0].records[0].unreadable_images
    if unreadable:
        yield f"{unreadable} images of val cannot be read and are left out"


def _named(labels: Sequence[str], rows: int) -> str:
    if 1 < len(labels) == rows:
        return "all runs"
    return "; ".join([*labels[:3], *([f"and {len(labels) - 3} more"] if len(labels) > 3 else [])])
