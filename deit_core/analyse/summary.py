"""An analysis in rows for people: short labels, and the seeds of a variant taken together. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from statistics import fmean

from deit_core.analyse.measure import GROUND_TRUTH, Analysis
from deit_core.finished import FinishedRun
from deit_core.records import AnalysisRecord, DecisionMakerRecord, HeadName


@dataclass(frozen=True)
class Row:
    """Runs that a table shows as one: all seeds of a variant, or a single run."""

    label: str
    records: tuple[AnalysisRecord, ...]

    @property
    def heads(self) -> tuple[HeadName, ...]:
        """`cls`, or `cls`, `dist` and `fused`; runs of one variant have the same."""
        return tuple(self.records[0].heads)

    @property
    def prediction(self) -> HeadName:
        """The head that answers for the model."""
        return "fused" if "fused" in self.heads else "cls"

    def makers(self, head: HeadName) -> list[DecisionMakerRecord]:
        """What this head decided, run by run; empty where there is no such head."""
        return [record.heads[head] for record in self.records if head in record.heads]

    def to_teacher(self, head: HeadName) -> float | None:
        """Mean disagreement of a head and the run's own teacher; None where one is missing."""
        return mean_of(
            record.heads[head].disagreement[record.teacher.name]
            for record in self.records
            if record.teacher is not None and head in record.heads
        )


@dataclass(frozen=True)
class Party:
    """A line of the matrix: the ground truth, a teacher, or one head of all runs of a row."""

    label: str
    makers: tuple[str, ...]
    """Names of decision makers; of a head, run by run."""
    row: int | None = None
    """Number of its row; None for ground truth and teachers."""


def mean_of(values: Iterable[float | None]) -> float | None:
    """The mean of the numbers that are known; None where none is."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def rows_of(
    runs: Sequence[FinishedRun], analysis: Analysis, *, by_run: bool = False
) -> tuple[Row, ...]:
    """The runs as rows, in order: one for each variant, or with `by_run` one for each run."""
    labels = _variant_labels(runs)
    groups: dict[str, list[tuple[FinishedRun, AnalysisRecord]]] = {}
    for run, record in zip(runs, analysis.records, strict=True):
        groups.setdefault(run.trial.group_id, []).append((run, record))
    rows: list[Row] = []
    for group, members in groups.items():
        if not by_run:
            rows.append(Row(labels[group], tuple(record for _, record in members)))
        elif len(members) == 1:
            rows.append(Row(labels[group], (members[0][1],)))
        else:
            rows += [
                Row(f"{labels[group]}, seed={run.trial.seed}", (record,)) for run, record in members
            ]
    return tuple(rows)


def _variant_labels(runs: Sequence[FinishedRun]) -> dict[str, str]:
    """By group id: the swept values in which variants differ, else a name, each of them once."""
    first = {run.trial.group_id: run for run in reversed(runs)}
    fields = dict.fromkeys(field for run in runs for field in run.trial.swept)
    differ = [
        field
        for field in fields
        if len({json.dumps(run.trial.swept.get(field)) for run in first.values()}) > 1
    ]
    count = Counter(field.rpartition(".")[2] for field in differ)
    short = {f: last if count[last := f.rpartition(".")[2]] == 1 else f for f in differ}
    labels = {group: _label(run, short) for group, run in first.items()}
    used = Counter(labels.values())
    return {
        group: label if used[label] == 1 else f"{label} ({group[:6]})"
        for group, label in labels.items()
    }


def _label(run: FinishedRun, short: dict[str, str]) -> str:
    swept = {name: run.trial.swept.get(field) for field, name in short.items()}
    parts = [
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in swept.items()
        if value is not None
    ]
    named = [part for part in run.trial.name.split(",") if part != f"seed={run.trial.seed}"]
    # A list entry that sets nothing is the base itself.
    return ", ".join(parts or named) or ("base" if swept else run.config.model.name)


def teachers_of(analysis: Analysis) -> dict[str, DecisionMakerRecord]:
    """The teachers by name, in the order of the runs."""
    return {record.teacher.name: record.teacher for record in analysis.records if record.teacher}


def parties_of(rows: Sequence[Row], analysis: Analysis) -> tuple[Party, ...]:
    """Everyone who decides: ground truth, teachers, then every head of every row."""
    heads = [
        Party(
            row.label if row.heads == ("cls",) else f"{row.label} ({head})",
            tuple(maker.name for maker in row.makers(head)),
            number,
        )
        for number, row in enumerate(rows)
        for head in row.heads
    ]
    others = [Party(name, (name,)) for name in (GROUND_TRUTH, *teachers_of(analysis))]
    return (*others, *heads)


class Rates:
    """Disagreement of two parties: the mean over the pairs of runs that it is about."""

    def __init__(self, analysis: Analysis) -> None:
        self._rates = analysis.disagreement
        self._number = {name: i for i, name in enumerate(analysis.decision_makers)}

    def between(self, one: Party, other: Party) -> float:
        """Two heads of a row: within each run. A head and itself: between the seeds.

        A party of one decision maker and itself: 0.
        """
        pairs: Iterable[tuple[str, str]]
        if one == other:
            pairs = combinations(one.makers, 2)
        elif one.row is not None and one.row == other.row:
            pairs = zip(one.makers, other.makers, strict=True)
        else:
            pairs = product(one.makers, other.makers)
        return mean_of(self._rates[self._number[a]][self._number[b]] for a, b in pairs) or 0.0
