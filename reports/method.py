"""How it was measured and how to read it: definitions and methods, in sentences. Pure."""

from __future__ import annotations

from reports.analysis import Analysis
from reports.load import SweepResults
from reports.stats import sampling_half_width
from reports.text import Rounding, count, listing


def how_to_read(sweep: SweepResults, analysis: Analysis, rounding: Rounding) -> tuple[str, ...]:
    """What the columns, words and intervals mean in this report."""
    return tuple(
        [
            _accuracy(sweep),
            _intervals(analysis, rounding),
            _comparisons(analysis),
            *_effects(analysis),
            "Better: the simultaneous 95 % interval of the difference excludes 0. Not "
            "distinguishable: it does not; that is no proof of equality, so read the interval. Not "
            "tested: fewer than two finished seeds on one side, or seeds that do not differ.",
            "Bold: the highest mean, which need not be distinguishable from the next.",
            "Paired differences are taken seed by seed: equal seeds share what chance they can, "
            "such as the order of the images; their interval is a t interval for that one pair.",
            *_images(sweep, analysis),
            "Throughput is not reported: speed inside a cohort says nothing about a model alone.",
        ]
    )


def _accuracy(sweep: SweepResults) -> str:
    summaries = [trial.result for trial in sweep.students if trial.result]
    text = (
        "Accuracy is top-1 on the val images after the last epoch, never the best epoch. A student "
        "with a distillation token answers with the average of both heads' logits; the "
        "columns of each head show them alone."
    )
    images = sorted({f"{summary.val_images:,}" for summary in summaries})
    epochs = sorted({f"{summary.epochs:g}" for summary in summaries})
    if images:
        text += f" Val images: {listing(images)}. Epochs: {listing(epochs)}."
    return text


def _intervals(analysis: Analysis, rounding: Rounding) -> str:
    spread = analysis.spread
    if spread.sd is None or spread.sd == 0:
        return (
            "No ± is printed: it takes two finished seeds of a variant that differ to measure "
            "chance, and a difference between two single runs means nothing below 2.8 times the "
            "standard deviation of seeds."
        )
    bartlett = (
        f"Bartlett's test of equal spread gives p = {spread.bartlett_p:.2g}"
        if spread.bartlett_p is not None
        else "Bartlett's test of equal spread needs two variants whose seeds differ"
    )
    if spread.pooled:
        return (
            f"± is the half-width of a 95 % t interval of the mean over seeds, with the standard "
            f"deviation pooled over all variants ({rounding.plain(spread.sd)} points, "
            f"{spread.df} degrees of freedom). {bartlett}; the spread of each variant is in the "
            f"column seed sd. A single seed gets no ±."
        )
    return (
        f"± is the half-width of a 95 % t interval of the mean over seeds, from each variant's own "
        f"standard deviation, because {bartlett[0].lower()}{bartlett[1:]}. A single seed gets no ±."
    ).replace("because bartlett", "because Bartlett")


def _comparisons(analysis: Analysis) -> str:
    labels = listing([analysis.results[group].variant.label for group in analysis.baseline.groups])
    text = f"Baseline: {labels} ({analysis.baseline.chosen})."
    if len(analysis.baseline.groups) > 1:
        text += " Each variant is compared with the baseline whose other swept values are equal."
    if not analysis.tested:
        return text
    method = "Dunnett's method" if analysis.critical else "Welch's t with Bonferroni's correction"
    if analysis.critical and analysis.tested == 1:
        method = "Student's t"
    errors = f", {analysis.critical:.2f} standard errors" if analysis.critical else ""
    return (
        f"{text} The intervals of the differences hold together for the family of "
        f"{count(analysis.tested, 'comparison')} ({method}{errors})."
    )


def _effects(analysis: Analysis) -> list[str]:
    arms = [effect for effect in analysis.effects if effect.against == "none"]
    sentences = []
    if any(effect.settings > 1 for effect in arms):
        sentences.append(
            f"An averaged effect weighs every tested comparison of its kind equally; its intervals "
            f"hold for {count(len(arms), 'kind')} at once (Bonferroni) and speak of these settings "
            f"only."
        )
    if len(arms) > 1:
        sentences.append(
            "The comparison of the kinds with each other is a t interval apart from that family."
        )
    return sentences


def _images(sweep: SweepResults, analysis: Analysis) -> list[str]:
    best = analysis.best
    if best is None or best.mean is None:
        return []
    images = min(trial.result.val_images for trial in best.variant.trials if trial.result)
    half = sampling_half_width(best.mean, images)
    return [
        f"Another draw of {images:,} val images would move one checkpoint at "
        f"{best.mean:.1f} % by ± {half:.2f} points (95 %, 1.96·√(p(1−p)/N)); the intervals above "  # noqa: RUF001
        f"are about seeds, on these images."
    ]
