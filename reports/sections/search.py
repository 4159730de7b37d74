"""The search: what was searched, what each point gave, which fields mattered."""

from __future__ import annotations

from collections.abc import Sequence

from reports.context import Context
from reports.cost import account
from reports.document import Block, Bullets, Cell, Column, Figure, Paragraph, Section, Table
from reports.figures.search import MOST_POINTS, HistoryPlot, TradeOffPlot, gid_of
from reports.search.results import Point, SearchResults, read_results
from reports.search.words import (
    about_importance,
    about_search,
    fields_of,
    goal,
    number,
    params_text,
)
from reports.stats.importance import FEWEST_POINTS, Importance, importance
from reports.text import NOTHING, count
from reports.variants import short_names, value_text

MOST_ROWS = 1000


def search_section(context: Context) -> Section | None:
    """None for a grid."""
    if context.sweep.search is None:
        return None
    found = read_results(context.sweep)
    if found is None:
        text = "This sweep is a search, but search/search.json is not as this version writes it."
        return Section("search", "Search", (Paragraph(text),))
    sentences = [*about_search(found), *_saved(context, found)]
    blocks: list[Block] = [Bullets(tuple(sentences))]
    if found.points:
        blocks.append(_history(found))
    if len(found.objectives) > 1 and found.front():
        blocks.append(_trade_off(found))
    blocks += _importance(found)
    return Section("search", "Search", tuple(blocks))


def _saved(context: Context, found: SearchResults) -> list[str]:
    """What pruning left out; it is part of the account of costs too."""
    costs = account(context.sweep)
    if costs is None or not found.of_state("pruned") or not costs.scheduled_epochs:
        return []
    share = 100 * costs.saved_epochs / costs.scheduled_epochs
    return [
        f"Pruning left out {costs.saved_epochs:.4g} of {costs.scheduled_epochs:.4g} scheduled "
        f"epochs ({share:.2g} %). A pruned point has no result, as its curve might have risen."
    ]


def _history(found: SearchResults) -> Figure:
    drawn = _drawn(found)
    objective = found.objectives[0]
    titles = {gid_of(point): _title(point, found) for point in drawn}
    plot = HistoryPlot(drawn, found.best_so_far, found.points[-1].number, objective, titles)
    cut = len(found.points) - len(drawn)
    note = f" {count(cut, 'older point')} left out of the picture." if cut else ""
    return Figure(
        "search_history",
        f"{objective.metric} of every point, and the best so far",
        f"{_finding(found)}{note}",
        f"{_marks(drawn)}{note}",
        plot,
        _points_table(found),
    )


def _marks(drawn: Sequence[Point]) -> str:
    """What the marks stand for; of those that are there."""
    states = {point.state for point in drawn}
    parts = ["Dots: completed points."] if "completed" in states else []
    if any(point.broken for point in drawn):
        parts.append("Hollow: a constraint is broken.")
    if "pruned" in states:
        parts.append("Triangles: pruned, stopped early on purpose, at their last evaluation.")
    if states & {"failed", "open"}:
        parts.append("Crosses: failed or not finished, at the bottom where nothing was evaluated.")
    return " ".join([*parts, "Line: the best so far."])


def _drawn(found: SearchResults) -> tuple[Point, ...]:
    """All points, or the newest of them and those that were the best so far."""
    if len(found.points) <= MOST_POINTS:
        return found.points
    best = {point for point, _ in found.best_so_far}
    older = [point for point in found.points[:-MOST_POINTS] if point.number in best]
    return (*older, *found.points[-MOST_POINTS:])


def _finding(found: SearchResults) -> str:
    if not found.best_so_far:
        return "No point that keeps the constraints has completed yet."
    at, value = found.best_so_far[-1]
    later = sum(point.number > at and point.counts for point in found.points)
    since = f"; none of the {later} completed after it is better" if later else ""
    return (
        f"The best {found.objectives[0].metric} is {number(value)}, by point {at}{since}. The best "
        f"so far changed {count(len(found.best_so_far) - 1, 'time')}."
    )


def _title(point: Point, found: SearchResults) -> str:
    params = params_text(point, fields_of(found))
    if point.state == "completed":
        values = ", ".join(
            f"{objective.metric} {number(value)}"
            for objective, value in zip(found.objectives, point.values, strict=True)
        )
        broken = f"; breaks {', '.join(point.broken)}" if point.broken else ""
        return f"point {point.number}: {values} ({params}){broken}"
    seen = f" at {number(point.last_seen)}" if point.last_seen is not None else ""
    return f"point {point.number}: {point.state}{seen} ({params})"


def _points_table(found: SearchResults) -> Table:
    """Best first, then what has no result."""
    names = short_names(fields_of(found))
    columns = [Column("point", True), Column("state", filters=True)]
    columns += [Column(objective.metric, True) for objective in found.objectives]
    columns += [Column(name) for name in names.values()]
    if found.constraints:
        columns.append(Column("breaks"))
    sign = -1.0 if found.objectives[0].maximised else 1.0
    order = sorted(
        found.points,
        key=lambda point: (
            not point.counts,
            not point.values,
            sign * point.values[0] if point.values else 0.0,
            point.number,
        ),
    )
    rows = tuple(_point_row(point, found, list(names)) for point in order[:MOST_ROWS])
    cut = len(order) - len(rows)
    more = f"; the first {MOST_ROWS:,} of {len(order):,}, results.csv has all trials" if cut else ""
    return Table(f"Points, best first{more}", tuple(columns), rows, name="search_points")


def _point_row(point: Point, found: SearchResults, fields: Sequence[str]) -> tuple[Cell, ...]:
    best = found.winner is not None and point.number == found.winner.number
    cells = [Cell(str(point.number), value=float(point.number)), Cell(point.state)]
    if point.values:
        cells += [
            Cell(number(v), strong=best and i == 0, value=v) for i, v in enumerate(point.values)
        ]
    else:
        cells += [Cell(NOTHING)] * len(found.objectives)
    for name in fields:
        value = point.params.get(name)
        size = float(value) if isinstance(value, int | float) else None
        cells.append(Cell(NOTHING if value is None else value_text(value), value=size))
    return (*cells, Cell(", ".join(point.broken))) if found.constraints else tuple(cells)


def _trade_off(found: SearchResults) -> Figure:
    front = found.front()
    finished = [point for point in found.points if point.state == "completed"][-MOST_POINTS:]
    shown = {point.number for point in finished}
    finished += [point for point in front if point.number not in shown]
    titles = {gid_of(point): _title(point, found) for point in finished}
    goals = " and ".join(goal(objective) for objective in found.objectives)
    others = len(found.objectives) > 2
    columns = [Column("point", True), *(Column(one.metric, True) for one in found.objectives)]
    columns.append(Column("values"))
    rows = tuple(
        (
            Cell(str(point.number), value=float(point.number)),
            *(Cell(number(value), value=value) for value in point.values),
            Cell(params_text(point, fields_of(found))),
        )
        for point in front[:MOST_ROWS]
    )
    return Figure(
        "search_front",
        f"Trade-off between {goals}",
        f"{count(len(front), 'point')} of {count(len(finished), 'completed point')} "
        f"{'is' if len(front) == 1 else 'are'} beaten by no other one in all objectives at once.",
        "Filled and joined: the front, beaten by no other point in all objectives at once. Hollow: "
        "the others; squares break a constraint. Each value is of one choice of the fields, and "
        "carries the noise of its seeds."
        + (" Only the first two objectives are drawn." if others else ""),
        TradeOffPlot(tuple(finished), tuple(front), found.objectives, titles),
        Table("The front", tuple(columns), rows, name="search_front"),
    )


def _importance(found: SearchResults) -> list[Block]:
    """For each objective; of more than one, each by itself."""
    finished = found.of_state("completed")
    blocks: list[Block] = []
    if len(finished) < FEWEST_POINTS:
        return [Paragraph(about_importance((), len(finished)))]
    fields = fields_of(found)
    for index, objective in enumerate(found.objectives):
        judged = importance(
            [point.params for point in finished], [p.values[index] for p in finished], fields
        )
        prefix = f"{objective.metric}: " if len(found.objectives) > 1 else ""
        blocks.append(Paragraph(prefix + about_importance(judged, len(finished))))
        if judged:
            blocks.append(_importance_table(judged, objective.metric, index))
    blocks.append(
        Paragraph(
            "Share: how much of the variance of the points' ranks lies between groups of the "
            "field's values (epsilon squared, Kelley 1935; numbers in up to four groups of equal "
            "size). p: Kruskal and Wallis, adjusted by Holm; approximate: a sampler's points are "
            "not independent. Each field alone: what fields do together is not seen. Pruned points "
            "are left out, and the share holds for where the search looked.",
            "legend",
        )
    )
    return blocks


def _importance_table(judged: Sequence[Importance], metric: str, index: int) -> Table:
    titles = ("share of the order (%)", "p", "points", "groups")
    columns = [Column("field"), *(Column(title, True) for title in titles)]
    rows = tuple(
        (
            Cell(one.field),
            Cell(f"{100 * one.share:.0f}", value=100 * one.share),
            Cell("< 0.001" if one.p < 0.001 else f"{one.p:.2g}", value=one.p),
            Cell(str(one.points), value=float(one.points)),
            Cell(str(one.groups), value=float(one.groups)),
        )
        for one in judged
    )
    name = f"importance_{index}" if index else "importance"
    return Table(f"What {metric} goes with", tuple(columns), rows, name=name)
