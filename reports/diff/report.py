"""Two sweeps side by side as a document, for the same renderers as a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from reports.context import Context, Options
from reports.diff.match import Matching, match_sweeps
from reports.diff.sections import differences_section, settings_section, speed_section
from reports.diff.settings import Row, changed_conditions, changed_settings
from reports.diff.stats import Difference, Differences, differences
from reports.document import Block, Bullets, Facts, Paragraph, Section
from reports.errors import ReportError
from reports.report import Report, compile_report
from reports.results import SweepResults
from reports.text import Rounding, count, listing
from reports.variants import Variant

DIFF_SCHEMA_VERSION = 1
_CHANGED = ("what", "a", "b", "where")
_WORDS = ("better in B", "worse in B", "not distinguishable", "identical", "not tested")


@dataclass(frozen=True)
class DiffReport(Report):
    """What every renderer prints; its context is that of B."""

    dated: str
    difference: Differences
    matching: Matching
    changed: tuple[Row, ...]
    names: tuple[str, str]

    @property
    def generated(self) -> str:
        """The later date of the two sweeps."""
        return self.dated

    @property
    def progress(self) -> str:
        """Nothing: both sweeps say how far they are."""
        return ""

    @property
    def files(self) -> tuple[str, ...]:
        """Files beside the page."""
        return ("diff.json", "report.md")


def compile_diff(a: SweepResults, b: SweepResults, options: Options | None = None) -> DiffReport:
    """Compare two sweeps; nothing is read or written.

    Raises:
        ReportError: one of them has no trials to compare.
    """
    for name, sweep in (("A", a), ("B", b)):
        if not sweep.students:
            raise ReportError(f"sweep {name} ({sweep.folder}) has no trials to compare")
    options = options or Options()
    matching = match_sweeps(a, b)
    found = differences(matching.pairs)
    changed = (*changed_settings(matching.pairs), *changed_conditions(a, b))
    context = _context(b, options)
    dated = max(_context(a, options).generated, context.generated)
    rounding = _rounding(found)
    sections = (
        _answer(found, matching, changed),
        differences_section(found, rounding),
        speed_section(found),
        settings_section(changed),
        _only_in_one(matching),
        _provenance(a, b),
    )
    return DiffReport(
        title=f"{_name(b)} against {_name(a)}",
        description=f"A: {a.folder}. B: {b.folder}. Differences are B minus A.",
        sections=tuple(section for section in sections if section is not None),
        context=context,
        dated=dated,
        difference=found,
        matching=matching,
        changed=changed,
        names=(a.folder, b.folder),
    )


def _context(sweep: SweepResults, options: Options) -> Context:
    return compile_report(sweep, Options(source_date_epoch=options.source_date_epoch)).context


def _name(sweep: SweepResults) -> str:
    return sweep.plan.sweep


def _rounding(found: Differences) -> Rounding:
    widths = [one.interval.half_width for one in found.accuracy if one.interval]
    return Rounding.from_uncertainty(widths)


def _answer(found: Differences, matching: Matching, changed: Sequence[Row]) -> Section:
    return Section(
        "answer", "Answer", (Paragraph(" ".join(_sentences(found, matching, changed)), "answer"),)
    )


def _sentences(found: Differences, matching: Matching, changed: Sequence[Row]) -> list[str]:
    pairs = len(matching.pairs)
    if not pairs:
        return ["The two sweeps have no variant in common, so nothing is compared."]
    words: Counter[str] = Counter(one.word for one in found.accuracy)
    if words["identical"] == pairs:
        said = [f"Identical results: all {pairs} variants have the same accuracies in A and B."]
        if pairs == 1:
            said = ["Identical results: the variant has the same accuracies in A and B."]
    else:
        parts = [f"{words[word]} {word}" for word in _WORDS if words[word]]
        said = [f"Of {count(pairs, 'variant')} that both sweeps have: {listing(parts)}."]
    if found.worse:
        named = [one.pair.label for one in found.worse]
        said.append(f"Worse in B: {listing(named)}.")
    slower = [
        one for one in found.speed if one.ratio is not None and not one.equal and one.ratio < 1
    ]
    if slower:
        labels = list(dict.fromkeys(one.pair.label for one in slower))
        said.append(f"Slower in B: {listing(labels)}.")
    alone = len(matching.only_a), len(matching.only_b)
    if any(alone):
        a, b = (str(number) if number else "none" for number in alone)
        said.append(f"Variants only in A: {a}; only in B: {b}.")
    if changed:
        names = listing([row[0] for row in changed], 4)
        which = "it" if len(changed) == 1 else "any of them"
        said.append(f"The sweeps differ in {names}; a difference may come from {which}.")
    return said


def _only_in_one(matching: Matching) -> Section | None:
    blocks: list[Block] = []
    for name, variants in (("A", matching.only_a), ("B", matching.only_b)):
        if variants:
            blocks += [Paragraph(f"Only in {name}:"), Bullets(_labels(variants))]
    if matching.ambiguous:
        blocks.append(
            Paragraph(
                f"Not matched, as several variants have these swept values: "
                f"{listing(matching.ambiguous)}."
            )
        )
    return Section("unmatched", "Only in one sweep", tuple(blocks)) if blocks else None


def _labels(variants: Sequence[Variant], most: int = 50) -> tuple[str, ...]:
    labels = [f"{v.label} ({len(v.values)}/{len(v.trials)} finished)" for v in variants[:most]]
    if len(variants) > most:
        labels.append(f"and {len(variants) - most} more")
    return tuple(labels)


def _provenance(a: SweepResults, b: SweepResults) -> Section:
    rows = []
    for name, sweep in (("A", a), ("B", b)):
        finished = sum(trial.result is not None for trial in sweep.students)
        plan = sweep.plan
        rows.append((f"{name}", f"{plan.sweep}, folder {sweep.folder}, planned {plan.created_utc}"))
        rows.append((f"{name}: sweep hash", plan.sweep_hash))
        rows.append((f"{name}: trials", f"{finished} of {len(sweep.students)} have a result"))
        if sweep.problems:
            rows.append((f"{name}: problems", listing(sweep.problems)))
    return Section("provenance", "Provenance", (Facts(tuple(rows)),))


def diff_values(report: DiffReport) -> dict[str, Any]:
    """diff.json: percent, percentage points, ratios; null where there is no number."""
    found, matching = report.difference, report.matching
    return {
        "schema_version": DIFF_SCHEMA_VERSION,
        "a": report.names[0],
        "b": report.names[1],
        "generated_utc": report.generated,
        "spread": asdict(found.spread) | {"pooled": found.spread.pooled},
        "differences_tested": found.tested,
        "variants": [_values(one) for one in found.accuracy],
        "throughput": [
            {
                "variant": one.pair.label, "quantity": one.a.quantity,
                "a_images_per_s": one.a.images_per_s, "b_images_per_s": one.b.images_per_s,
                "ratio": one.ratio, "ratio_low": one.low, "ratio_high": one.high,
                "equal": one.equal, "unlike": list(one.unlike),
            }
            for one in found.speed
        ],
        "changed": [dict(zip(_CHANGED, row, strict=True)) for row in report.changed],
        "only_a": [variant.label for variant in matching.only_a],
        "only_b": [variant.label for variant in matching.only_b],
        "ambiguous": list(matching.ambiguous),
    }  # fmt: skip


def _values(one: Difference) -> dict[str, Any]:
    return {
        "variant": one.pair.label,
        "a_group_id": one.pair.a.group_id,
        "b_group_id": one.pair.b.group_id,
        "matched_by": one.pair.how,
        "a_n": one.n_a,
        "b_n": one.n_b,
        "a_mean": one.mean_a,
        "b_mean": one.mean_b,
        "difference": one.delta,
        "interval": asdict(one.interval) if one.interval else None,
        "paired": asdict(one.paired) if one.paired else None,
        "shared_runs": one.shared_runs,
        "verdict": one.word,
    }
