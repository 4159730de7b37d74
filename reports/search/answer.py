"""The answer of a search: what won, and what that is worth. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from reports.results import SweepResults
from reports.search.results import Point, SearchResults, read_results
from reports.search.words import fields_of, goal, measured, params_text, states_text
from reports.text import count, listing


def search_answer(sweep: SweepResults) -> tuple[str, ...]:
    """The sentences of the answer, most important first; empty for a grid."""
    found = read_results(sweep)
    return tuple(_sentences(sweep, found)) if found is not None and found.points else ()


def _sentences(sweep: SweepResults, found: SearchResults) -> Iterator[str]:
    waiting = len(found.of_state("open"))
    if waiting:
        verb = "has" if waiting == 1 else "have"
        yield f"Preliminary: {count(waiting, 'point')} of the search {verb} no result yet."
    goals = listing([goal(objective) for objective in found.objectives])
    yield (
        f"This is a search for {goals}, no comparison of chosen variants: of "
        f"{count(len(found.points), 'point')}, {states_text(found)}."
    )
    able = [point for point in found.points if point.counts]
    if not able:
        kept = " that keeps the constraints" if found.constraints else ""
        yield f"No point{kept} has completed, so nothing has won yet."
        return
    yield from _winners(found)
    yield from _worth(sweep, found, able)


def _winners(found: SearchResults) -> Iterator[str]:
    winner, front = found.winner, found.front()
    assert winner is not None
    if len(found.objectives) == 1 or len(front) == 1:
        yield f"The best is {_point(found, winner)}."
        return
    yield (
        f"{len(front)} points are trade-offs that no other one beats in all objectives, from "
        f"{_point(found, front[0])} to {_point(found, front[-1])}."
    )


def _point(found: SearchResults, point: Point) -> str:
    values = [
        f"{objective.metric} {measured(objective, value)}"
        for objective, value in zip(found.objectives, point.values, strict=True)
    ]
    return f"{params_text(point, fields_of(found))} with {listing(values)}"


def _worth(sweep: SweepResults, found: SearchResults, able: list[Point]) -> Iterator[str]:
    """A winner is partly lucky: it was picked for its number."""
    if len(able) < 2:
        yield "Nothing else has completed that it could be compared with."
        return
    seeds = sorted({len(point.trial_ids) for point in able})
    each = f"{seeds[0]} to {seeds[-1]} seeds" if len(seeds) > 1 else count(seeds[0], "seed")
    yield (
        f"It was picked as the best of {len(able)} completed points, of {each} each, by the very "
        f"numbers that are printed here, so these are flattered by chance."
        if len(found.objectives) == 1
        else f"They were picked out of {len(able)} completed points, of {each} each, by the very "
        f"numbers that are printed here, so these are flattered by chance."
    )
    yield (
        "To know what a point is worth, train it again with fresh seeds: `deit-launch best` prints "
        "the command."
    )
