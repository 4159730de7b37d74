"""Who decides like whom, and how alike the two tokens are."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from reports.agreement import (
    GROUND_TRUTH,
    MOST_IN_MATRIX,
    Agreement,
    Party,
    TokenLine,
    disagreement,
    find_agreement,
    places_of,
    token_lines,
)
from reports.context import Context
from reports.document import Block, Cell, Code, Column, Figure, Paragraph, Section, Table
from reports.figures.tokens import TokenPlot
from reports.learning import choose_variants
from reports.text import NOTHING, count
from reports.variants import Variant

MOST_ROWS = 1000


def agreement_section(context: Context) -> Section | None:
    """None where no finished run was distilled through a head of its own, and none is analysed."""
    variants = [row.variant for row in context.analysis.ranked if row.n]
    found = find_agreement(variants)
    title = "Who decides like whom"
    if found is None:
        if not any(variant.seed_values("val_top1_dist") for variant in variants):
            return None
        return Section("agreement", title, _how_to_measure(context))
    blocks: list[Block] = [Paragraph(" ".join(_about(found)))]
    if len(found.parties) <= MOST_IN_MATRIX:
        blocks.append(_matrix(found))
    else:
        blocks.append(_summary(found))
    blocks.append(Paragraph(_legend(found), "legend"))
    tokens = _tokens(choose_variants(context.analysis))
    if tokens is not None:
        blocks.append(tokens)
    return Section("agreement", title, tuple(blocks))


def _how_to_measure(context: Context) -> tuple[Block, ...]:
    return (
        Paragraph(
            "Whether the distillation head decides like the teacher has not been measured. It "
            "takes one pass over the val images, from the folder in which the sweep was started; "
            "then make this report again:"
        ),
        Code(f"python -m deit_core.analyse {shlex.quote(f'runs/{context.sweep.folder}')}", "sh"),
    )


def _about(found: Agreement) -> Iterator[str]:
    """Teacher against each head, over all distilled variants."""
    runs = count(found.runs, "run")
    yield f"Decisions of {runs} on {found.images:,} val images are compared."
    for teacher in found.teachers:
        nearer = [
            pair for variant in found.variants if (pair := _to_teacher(found, variant, teacher))
        ]
        if not nearer:
            continue
        closer = sum(dist < cls for cls, dist in nearer)
        cls, dist = (sum(values) / len(nearer) for values in zip(*nearer, strict=True))
        yield (
            f"The distillation head differs from {_name(teacher)} on {100 * dist:.1f} % of the "
            f"images, the class head on {100 * cls:.1f} % (means over "
            f"{count(len(nearer), 'distilled variant')}); it is the nearer one in {closer} of "
            f"{len(nearer)}."
        )


def _to_teacher(found: Agreement, variant: Variant, teacher: Party) -> tuple[float, float] | None:
    shares = []
    for head in ("cls", "dist"):
        party = found.find(variant.group_id, head)
        share = disagreement(party, teacher) if party else None
        if share is None:
            return None
        shares.append(share)
    return shares[0], shares[1]


def _name(teacher: Party) -> str:
    return "the teacher" if teacher.label == "teacher" else f"the teacher {teacher.label}"


def _matrix(found: Agreement) -> Table:
    columns = [Column("decides"), Column("runs", True)]
    columns += [Column(party.label, True) for party in found.parties]
    rows = tuple(
        (Cell(one.label), _runs(one), *(_share(one, other) for other in found.parties))
        for one in found.parties
    )
    return Table(
        "Disagreement: share of images with another top-1 class",
        tuple(columns),
        rows,
        name="disagreement",
    )


def _summary(found: Agreement) -> Table:
    """One row for each variant, where all pairs would be too many."""
    teachers = found.teachers
    columns = [Column("variant"), Column("runs", True), Column(GROUND_TRUTH, True)]
    columns += [Column(f"{_name(t)}, {head} head", True) for t in teachers for head in _SIDES]
    columns += [Column("between its heads", True), Column("between its seeds", True)]
    rows = []
    for variant in found.variants[:MOST_ROWS]:
        cls, dist = found.find(variant.group_id, "cls"), found.find(variant.group_id, "dist")
        main = found.find(variant.group_id, "fused") or cls
        if main is None:
            continue
        cells = [Cell(variant.label), _runs(main), _share(main, found.truth)]
        cells += [_share(party, teacher) for teacher in teachers for party in (cls, dist)]
        cells += [_share(cls, dist), _share(main, main) if len(main.members) > 1 else _DASH]
        rows.append(tuple(cells))
    return Table(
        "Disagreement: share of images with another top-1 class",
        tuple(columns),
        tuple(rows),
        name="disagreement",
    )


_SIDES = ("class", "distillation")
_DASH = Cell(NOTHING)


def _runs(party: Party) -> Cell:
    own = [member for member in party.members if member.run]
    return Cell(str(len(own)), value=float(len(own))) if own else _DASH


def _share(one: Party | None, other: Party | None) -> Cell:
    if one is None or other is None:
        return _DASH
    value = disagreement(one, other)
    return _DASH if value is None else Cell(f"{value:.3f}", value=value)


def _legend(found: Agreement) -> str:
    parts = [
        "As Table 4 of DeiT (arXiv 2012.12877). With the ground truth, disagreement is 1 minus "
        "accuracy. Heads of one variant are compared within each run, variants in all pairs of "
        "their runs.",
        "Two seeds of one config disagree too, and that is the yardstick for other pairs"
        + (" (the diagonal)." if len(found.parties) <= MOST_IN_MATRIX else "."),
    ]
    if found.left_out:
        parts.append(
            f"{count(found.left_out, 'run')} analysed apart from these cannot be compared with "
            f"them; analyse all at once."
        )
    return " ".join(parts)


def _tokens(variants: Sequence[Variant]) -> Figure | None:
    lines = [line for line in token_lines(variants) if line.cosines]
    if not lines:
        return None
    places = places_of(lines)
    return Figure(
        "token_similarity",
        "Likeness of class and distillation token by depth",
        _finding(lines, places),
        "Cosine similarity of the two tokens, the mean over images and runs. learned: the learned "
        "vectors; input: with their positions, as they enter the first block; then after each "
        "block; norm: what the heads read. DeiT gives 0.06 for the input and 0.93 for the last "
        "layer on ImageNet (arXiv 2012.12877, section 3.2).",
        TokenPlot(tuple(lines), tuple(places)),
        _token_table(lines, places),
    )


def _finding(lines: Sequence[TokenLine], places: Sequence[str]) -> str:
    first, last = places[0], places[-1]
    parts = [
        f"{line.label}: {line.cosines[first]:.2f} ({first}) to {line.cosines[last]:.2f} ({last})"
        for line in lines
        if first in line.cosines and last in line.cosines
    ]
    return "; ".join(parts[:4]) + "." if parts else "No variant has both ends of the network."


def _token_table(lines: Sequence[TokenLine], places: Sequence[str]) -> Table:
    columns = [Column("variant"), Column("n", True), *(Column(place, True) for place in places)]
    rows = tuple(
        (
            Cell(line.label),
            Cell(str(line.n), value=float(line.n)),
            *(
                Cell(f"{line.cosines[place]:.3f}", value=line.cosines[place])
                if place in line.cosines
                else _DASH
                for place in places
            ),
        )
        for line in lines
    )
    return Table(
        "Cosine similarity of class and distillation token",
        tuple(columns),
        rows,
        name="token_similarity",
    )
