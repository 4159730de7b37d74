"""What the winner costs, and the fastest variant that is as good as far as can be told. Pure.

Whether a variant is distinguishable from the best is asked with the best as the one that all are
compared with (Hsu 1981, "Simultaneous confidence intervals for all distances from the best", Ann.
Statist. 9): Dunnett's two-sided critical value over all others keeps 95 % whichever is the best.
"""

from __future__ import annotations

from dataclasses import dataclass

from reports import stats
from reports.analysis import Analysis, VariantResult
from reports.speed.throughput import Rate, Speeds, as_fast, significant, where_measured
from reports.stats import Interval
from reports.text import Rounding


@dataclass(frozen=True)
class FastAlternative:
    """The fastest variant whose distance from the best may be chance."""

    group_id: str
    rate: Rate
    delta: float
    """Its mean minus the best one, in percentage points."""
    interval: Interval
    """Simultaneous over all variants."""


def speed_sentences(analysis: Analysis, rounding: Rounding) -> list[str]:
    """Cost of the best, and what is faster without being told apart; nothing where not measured."""
    best = analysis.best
    speeds = analysis.speeds
    if best is None or not speeds.measured:
        return []
    rate = speeds.rate(best.variant.group_id)
    sentences = [_cost(analysis, best, speeds)]
    if rate is None or len(analysis.variants) < 2:
        return sentences
    found = fast_alternative(analysis, best, speeds)
    if found is not None:
        label = analysis.results[found.group_id].variant.label
        ratio = found.rate.images_per_s / rate.images_per_s
        sentences.append(
            f"The fastest variant that is not distinguishable from it is {label}: {ratio:.3g} "
            f"times as fast ({significant(found.rate.images_per_s)} images/s), "
            f"{rounding.signed(found.delta)} points (95 % simultaneous interval "
            f"{rounding.finer(found.interval).span(found.interval)})."
        )
    elif not _faster(best, speeds):
        sentences.append("No variant that was measured is faster.")
    elif _is_tested(analysis, best):
        sentences.append("Every variant that is faster is distinguishable from it.")
    return sentences


def _cost(analysis: Analysis, best: VariantResult, speeds: Speeds) -> str:
    group, label = best.variant.group_id, best.variant.label
    named = f"The variant with the highest mean, {label}," if len(analysis.variants) > 1 else "It"
    inference, training = (speeds.rate(group, q) for q in ("inference", "training"))
    if not inference and not training:
        return f"The speed of {label} was not measured."
    size = analysis.sizes[group]
    has, runs = [], []
    if size.parameters is not None:
        has.append(f"{significant(size.parameters / 1e6)} M parameters")
    if size.macs is not None:
        has.append(f"{significant(size.macs / 1e9)} GMACs")
    if inference:
        runs.append(f"{significant(inference.images_per_s)} images/s in inference")
    if training:
        runs.append(f"{significant(training.images_per_s)} images/s in training")
    where = where_measured(speeds)
    for name, value in speeds.unlike(group).items():
        where += f"; but {name} {value}"
    first = f"has {' and '.join(has)}, and " if has else ""
    return f"{named} {first}runs at {' and '.join(runs)} ({where})."


def fast_alternative(
    analysis: Analysis, best: VariantResult, speeds: Speeds
) -> FastAlternative | None:
    """The fastest variant, faster than the best, that is not distinguishable from it.

    None where there is none, or nothing can be tested.
    """
    faster, spread = _faster(best, speeds), analysis.spread
    groups = {g: list(row.values.values()) for g, row in analysis.results.items() if row.n >= 2}
    if not faster or not spread.sd or best.variant.group_id not in groups:
        return None
    others = [group for group in groups if group != best.variant.group_id]
    if not others:
        return None
    sizes = [len(groups[group]) for group in others]
    critical = None
    if spread.pooled:
        critical = stats.dunnett_critical([(best.n, sizes)], spread.df)
    found: FastAlternative | None = None
    for group in others:
        rate = faster.get(group)
        if rate is None or (found is not None and rate.images_per_s <= found.rate.images_per_s):
            continue
        estimate = stats.contrast(groups, {group: 1.0, best.variant.group_id: -1.0}, spread)
        if estimate is None:
            continue
        interval = estimate.interval(critical or stats.t_critical(estimate.df, len(others)))
        if not interval.excludes_zero():
            found = FastAlternative(group, rate, estimate.value, interval)
    return found


def _faster(best: VariantResult, speeds: Speeds) -> dict[str, Rate]:
    """Variants that are faster than the best beyond the range of blocks, under its conditions."""
    own = speeds.rate(best.variant.group_id)
    if own is None:
        return {}
    unlike = speeds.unlike(best.variant.group_id)
    return {
        group: rate
        for group in speeds.of
        if (rate := speeds.rate(group)) is not None
        and speeds.unlike(group) == unlike
        and rate.images_per_s > own.images_per_s
        and not as_fast(rate, own)
    }


def _is_tested(analysis: Analysis, best: VariantResult) -> bool:
    """Whether every finished variant has the seeds to be told apart from the best."""
    finished = [row for row in analysis.results.values() if row.n]
    return bool(analysis.spread.sd) and best.n >= 2 and all(row.n >= 2 for row in finished)
