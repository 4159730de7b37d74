"""The published results beside one's own."""

from __future__ import annotations

from collections import Counter

from reports.context import Context
from reports.document import Block, Bullets, Cell, Column, Details, Paragraph, Section, Table
from reports.reference.compare import BesidePublished, ReferenceComparison, compare_published
from reports.text import NOTHING, Rounding, count, listing

_MOST_ROWS = 200
_MOST_NAMED = 12
_WORDS = {
    "above": "above the published number",
    "below": "below the published number",
    "not distinguishable": "not distinguishable from the published number",
    "not tested": "not tested",
    "not comparable": "not comparable",
}


def reference_section(context: Context) -> Section | None:
    """Measured and published side by side; None where no reference was asked for."""
    found = compare_published(context.sweep, context.analysis)
    if found is None:
        return None
    labels = {variant.group_id: variant.label for variant in context.analysis.variants}
    blocks: list[Block] = [Paragraph(_summary(found))]
    if found.rows:
        blocks += [_table(found, labels, context.rounding), Paragraph(_legend(found), "legend")]
        blocks += [_differences(found, labels), _published_table(found, labels)]
    if found.unmatched:
        blocks.append(_unmatched(found, labels))
    return Section("reference", "Beside the published results", tuple(blocks))


def _summary(found: ReferenceComparison) -> str:
    """What came out, in sentences."""
    published = found.reference.source.rstrip(".")
    opening = f"Published: {published}."
    if not found.rows:
        return f"{opening} No variant of this sweep has a published row to stand beside."
    words = Counter(row.word for row in found.rows)
    said = [f"{number} {_WORDS[word]}" for word in _WORDS if (number := words[word])]  # type: ignore[index]
    text = f"{opening} Of {count(len(found.rows), 'accuracy')} set beside it: {listing(said)}."
    reasons = sorted({match.unlike for match in found.matches.values() if match.unlike})
    if reasons:
        text += f" No difference is computed where the data are not the same: {reasons[0]}"
        text += "." if len(reasons) == 1 else f"; and {count(len(reasons) - 1, 'further reason')}."
    return text


def _table(found: ReferenceComparison, labels: dict[str, str], rounding: Rounding) -> Table:
    columns = (
        Column("variant"),
        Column("published model"),
        Column("accuracy"),
        Column("n", numeric=True),
        Column("measured (%)", numeric=True),
        Column("published (%)", numeric=True),
        Column("difference (points)", numeric=True),
        Column("95 % interval", numeric=True),
        Column("against the published"),
    )
    rows = tuple(
        _row(row, labels[row.group_id], found, rounding) for row in found.rows[:_MOST_ROWS]
    )
    caption = "Measured and published accuracy"
    if len(found.rows) > _MOST_ROWS:
        caption += f" (the first {_MOST_ROWS} of {len(found.rows)} rows)"
    return Table(caption, columns, rows, row_headers=1, name="published")


def _row(
    row: BesidePublished, label: str, found: ReferenceComparison, rounding: Rounding
) -> tuple[Cell, ...]:
    fine = rounding.finer(row.difference_interval or row.interval)
    difference = NOTHING if row.difference is None else fine.signed(row.difference)
    span = NOTHING if row.difference_interval is None else fine.span(row.difference_interval)
    return (
        Cell(label),
        Cell(found.matches[row.group_id].row.name),
        Cell(row.metric.title),
        Cell(str(row.n), value=row.n),
        Cell(fine.with_error(row.mean, row.interval), value=row.mean),
        Cell(_as_printed(row.published), value=row.published),
        Cell(difference, value=row.difference),
        Cell(span),
        Cell(row.word, strong=row.word == "below"),
    )


def _as_printed(value: float) -> str:
    """At least one decimal, as papers print accuracies."""
    return f"{value:.1f}" if round(value, 1) == value else f"{value:g}"


def _legend(found: ReferenceComparison) -> str:
    tested = sum(row.difference_interval is not None for row in found.rows)
    text = (
        "Published numbers come without an interval, so the intervals hold the chance of the "
        "measured seeds only; n is their number. The difference is measured minus published. "
    )
    if tested:
        text += (
            f"The {count(tested, 'interval')} of differences hold together with 95 % confidence "
            f"for each kind of accuracy. "
        )
    return text + (
        "Above and below: that interval excludes 0. Not tested: fewer than two finished seeds, "
        "or no spread between them. A difference is the sum of all that differs, recipe and code "
        "included."
    )


def _differences(found: ReferenceComparison, labels: dict[str, str]) -> Block:
    """Why each row was matched, and what of the recipe differs."""
    items = []
    for group, match in list(found.matches.items())[:_MOST_NAMED]:
        recipe = found.reference.recipe_of(match.row).source
        text = f"{labels[group]} beside {match.row.name}: {match.why}."
        if match.unlike:
            text += f" Not comparable: {match.unlike}."
        if match.differences:
            text += f" Differs: {'; '.join(match.differences)}."
        elif not match.unlike:
            text += " Nothing that is published of the recipe differs."
        if match.unknown:
            text += f" Not known here: {listing(match.unknown)}."
        if match.row.note:
            text += f" Published row: {match.row.note}."
        sources = dict.fromkeys(filter(None, (match.row.source, recipe)))
        text += f" Source: {'; '.join(sources)}."
        items.append(text)
    left = len(found.matches) - len(items)
    if left > 0:
        items.append(f"And {count(left, 'further variant')}; results.json has all.")
    return Details(
        "Why these rows, and what differs from the published recipe", (Bullets(tuple(items)),)
    )


def _published_table(found: ReferenceComparison, labels: dict[str, str]) -> Block:
    """Sizes and speeds as published: never subtracted, as they are of other machines."""
    speed = found.reference.throughput
    columns = (
        Column("published model"),
        Column("parameters (M)", numeric=True),
        Column("GMACs", numeric=True),
        Column("resolution (px)", numeric=True),
        Column("images/s, as published", numeric=True),
        Column("source"),
    )
    named = {match.row.name: match.row for match in found.matches.values()}
    rows = tuple(
        (
            Cell(row.name),
            _number(row.parameters / 1e6 if row.parameters is not None else None, ".1f"),
            _number(row.gmacs, ".3g"),
            _number(row.img_size, "d"),
            _number(row.images_per_s, ",.1f"),
            Cell(row.source),
        )
        for row in named.values()
    )
    words = [found.reference.note] if found.reference.note else []
    if speed is not None:
        how = f" ({speed.conditions})" if speed.conditions else ""
        words.append(
            f"Images/s were measured by the authors on {speed.device}{how}: not comparable with "
            f"speeds on another machine, so no ratio is given."
        )
    table = Table("Sizes and speeds as published", columns, rows, name="as_published")
    blocks: list[Block] = [table]
    if words:
        blocks.append(Paragraph(" ".join(words), "legend"))
    return Details("Sizes and speeds as published", tuple(blocks))


def _number(value: float | None, form: str) -> Cell:
    return Cell(NOTHING if value is None else format(value, form), value=value)


def _unmatched(found: ReferenceComparison, labels: dict[str, str]) -> Block:
    reasons: dict[str, list[str]] = {}
    for group, why in found.unmatched.items():
        reasons.setdefault(why, []).append(labels[group])
    items = tuple(
        f"{listing(names, 4)}: {why}." for why, names in list(reasons.items())[:_MOST_NAMED]
    )
    return Details(
        f"{count(len(found.unmatched), 'variant')} without a published row", (Bullets(items),)
    )
