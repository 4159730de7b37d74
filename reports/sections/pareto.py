"""Accuracy against throughput: which variants are worth their time."""

from __future__ import annotations

from reports.context import Context
from reports.document import Block, Cell, Code, Column, Figure, Paragraph, Section, Table
from reports.figures.pareto import MOST_POINTS, ParetoPlot, most_important
from reports.main_table import MOST_ROWS, UNLIKE
from reports.speed.throughput import COMMAND, significant, where_measured
from reports.speed.tradeoff import Measure, Tradeoff, TradeoffPoint, tradeoff
from reports.stats import DOMINANCE
from reports.text import NOTHING, Rounding, count, listing

_TITLES: dict[Measure, str] = {
    "images/s": "Accuracy and throughput",
    "GMACs": "Accuracy and arithmetic",
    "parameters (M)": "Accuracy and size",
}
_MOST_STEPS = 6


def pareto_section(context: Context) -> Section | None:
    """The front; None for a single variant, as it takes two to choose."""
    analysis = context.analysis
    if len(analysis.variants) < 2:
        return None
    found = tradeoff(analysis)
    speeds = analysis.speeds
    blocks: list[Block] = []
    if not speeds.measured:
        text = "Throughput was not measured, so nothing is said about speed. To measure it:"
        blocks += [Paragraph(text, "note"), Code(COMMAND, "console")]
    if found is None:
        if speeds.measured:
            blocks.append(Paragraph(_no_choice(context)))
        return Section("pareto", _TITLES["images/s"], tuple(blocks)) if blocks else None
    blocks.append(
        Paragraph(" ".join([ladder_sentence(found, context.rounding), *_left_out(found)]))
    )
    blocks.append(_figure(found, context, where_measured(speeds)))
    blocks.append(Paragraph(definition(found), "note"))
    return Section("pareto", _TITLES[found.measure], tuple(blocks))


def _no_choice(context: Context) -> str:
    speeds = context.analysis.speeds
    found = [speeds.rate(group) for group in speeds.of]
    rates = {rate.images_per_s for rate in found if rate}
    if len(rates) == 1 and len(speeds.measured) > 1:
        return (
            f"All measured variants are equally fast: {significant(rates.pop())} images/s "
            f"({where_measured(speeds)}). Speed does not help to choose between them."
        )
    return "Fewer than two variants have both an accuracy and a speed, so there is no front yet."


def ladder_sentence(found: Tradeoff, rounding: Rounding) -> str:
    """`The highest mean is ...; for at least 900 images/s the best is ...`."""
    first, *rest = distinct_steps(found)
    what = f"{rounding.percent(first.accuracy)}, {_amount(found, first.x)}"
    text = f"The highest mean is that of {first.label} ({what})"
    if not rest:
        better = "fastest" if found.more_is_better else "smallest"
        return f"{text}, which is also the {better}: nothing has to be given up."
    limit = "at least" if found.more_is_better else "at most"
    steps = [
        f"for {limit} {_amount(found, p.x)} that of {p.label} ({rounding.percent(p.accuracy)})"
        for p in rest[:_MOST_STEPS]
    ]
    more = " The table has further steps." if len(rest) > _MOST_STEPS else ""
    return f"{text}; {'; '.join(steps)}.{more}"


def distinct_steps(found: Tradeoff) -> list[TradeoffPoint]:
    """The front without steps to a speed that is no different from that of the step before."""
    kept: list[TradeoffPoint] = []
    for point in found.ladder:
        if not kept or abs(point.x - kept[-1].x) >= max(_width(point), _width(kept[-1])):
            kept.append(point)
    return kept


def _width(point: TradeoffPoint) -> float:
    return point.x_range.high - point.x_range.low if point.x_range else 0.0


def _amount(found: Tradeoff, x: float) -> str:
    if found.measure == "parameters (M)":
        return f"{significant(x)} M parameters"
    return f"{significant(x)} {found.measure}"


def _left_out(found: Tradeoff) -> list[str]:
    sentences = []
    if found.other_machines:
        verb = "was" if len(found.other_machines) == 1 else "were"
        sentences.append(
            f"{listing(found.other_machines)} {verb} measured on another machine and left out: "
            f"such speeds share no axis."
        )
    if found.unmeasured:
        verb = "has" if found.unmeasured == 1 else "have"
        what = "speed" if found.measure == "images/s" else "size"
        sentences.append(
            f"{count(found.unmeasured, 'finished variant')} {verb} no known {what}: not placed."
        )
    return sentences


def definition(found: Tradeoff) -> str:
    """What dominance means here, in words."""
    if found.more_is_better:
        return DOMINANCE
    return (
        DOMINANCE.replace("at least as fast", "at least as small")
        .replace("at its speed or faster", "at its size or smaller")
        .partition("; speeds")[0]
        + "."
    )


def _figure(found: Tradeoff, context: Context, where: str) -> Figure:
    drawn = most_important(found)
    titles = {p.group_id: _tooltip(found, p, context.rounding) for p in drawn}
    name = {"images/s": "pareto", "GMACs": "pareto_macs"}.get(found.measure, "pareto_size")
    x_label = f"inference images/s ({where})" if found.more_is_better else found.measure
    plot = ParetoPlot(found, drawn, x_label, titles)
    caption = [
        "Line: the front. Filled: on the front; pale: dominated, but within noise of it; hollow: "
        "dominated. Vertical bar: 95 % interval of the mean."
    ]
    if found.more_is_better:
        caption.append("Horizontal bar: slowest to fastest block.")
    caption.append("The x axis is logarithmic; the y axis does not start at 0.")
    if any(point.unlike for point in found.points):
        caption.append(f"{UNLIKE} in the table: measured under other conditions than most.")
    if len(drawn) < len(found.points):
        caption.append(
            f"The front and the highest means, {MOST_POINTS} of {len(found.points)}, are drawn."
        )
    description = f"{ladder_sentence(found, context.rounding)} {_standings(found)}"
    title = f"{_TITLES[found.measure]} of {len(found.points)} variants"
    table = pareto_table(found, context.rounding)
    return Figure(name, title, description, " ".join(caption), plot, table)


def _standings(found: Tradeoff) -> str:
    front = found.front
    return (
        f"{len(front.front)} of {len(found.points)} variants are on the front, "
        f"{len(front.within_noise)} within noise of it, {len(front.dominated)} dominated."
    )


def _tooltip(found: Tradeoff, point: TradeoffPoint, rounding: Rounding) -> str:
    unlike = "".join(f", {name} {value}" for name, value in point.unlike.items())
    return (
        f"{point.label}: {rounding.with_error(point.accuracy, point.interval)} %, "
        f"{_amount(found, point.x)}{unlike}; {standing_text(found, point)}"
    )


def standing_text(found: Tradeoff, point: TradeoffPoint) -> str:
    """`on the front`, `within noise of the front` or `dominated by ...`."""
    standing = found.standing(point.group_id)
    if standing == "front":
        return "on the front"
    if standing == "within noise":
        return "within noise of the front"
    rival = found.dominated_by(point)
    return f"dominated by {rival.label}" if rival else NOTHING


def pareto_table(found: Tradeoff, rounding: Rounding) -> Table:
    """The numbers of the figure, best mean first."""
    ranked = sorted(found.points, key=lambda point: -point.accuracy)[:MOST_ROWS]
    ranges = any(point.x_range for point in ranked)
    columns = [
        Column("variant"), Column(found.measure, True), Column("slowest to fastest block", True),
        Column("top-1 % (± 95 %)", True), Column("standing"),
    ]  # fmt: skip
    rows = [_row(found, point, rounding) for point in ranked]
    if not ranges:
        del columns[2]
        rows = [(*row[:2], *row[3:]) for row in rows]
    caption = f"{_TITLES[found.measure]}: the front and what it dominates"
    if len(found.points) > MOST_ROWS:
        caption += f" (the first {MOST_ROWS:,} of {len(found.points):,})"
    return Table(caption, tuple(columns), tuple(rows), name="pareto")


def _row(found: Tradeoff, point: TradeoffPoint, rounding: Rounding) -> tuple[Cell, ...]:
    mark = f" {UNLIKE}" if point.unlike else ""
    return (
        Cell(point.label),
        Cell(significant(point.x) + mark, value=point.x),
        Cell(_span(point), value=point.x_range.low if point.x_range else None),
        Cell(rounding.with_error(point.accuracy, point.interval), value=point.accuracy),
        Cell(standing_text(found, point)),
    )


def _span(point: TradeoffPoint) -> str:
    found = point.x_range
    return f"{significant(found.low)} to {significant(found.high)}" if found else NOTHING
