"""How it was measured and how to read it: definitions and methods, in sentences. Pure."""

from __future__ import annotations

from reports.analysis import Analysis
from reports.main_table import UNLIKE
from reports.results import SweepResults
from reports.speed.throughput import COMMAND, Speeds, where_measured
from reports.stats import sampling_half_width
from reports.text import Rounding, count, listing


def how_to_read(sweep: SweepResults, analysis: Analysis, rounding: Rounding) -> tuple[str, ...]:
    """What the columns, words and intervals mean in this report."""
    sentences = [_accuracy(sweep)]
    if not sweep.single_run:
        sentences.append(_intervals(analysis, rounding))
    if analysis.comparisons:
        sentences += [_comparisons(analysis), *_effects(analysis), *_WORDS]
    sentences += _images(sweep, analysis)
    return (*sentences, *_throughput(analysis))


def legend(sweep: SweepResults, analysis: Analysis) -> tuple[str, ...]:
    """What the main table needs to be read at all; only of what this table holds."""
    sentences = ["Accuracies in percent of the val images."]
    if len(analysis.variants) > 1:
        sentences.append("Bold: the best of a column; underlined: the second.")
    if any(row.interval for row in analysis.results.values()):
        sentences.append("±: 95 % interval of the mean over seeds.")
    if analysis.comparisons:
        sentences.append(
            "Difference: to the baseline, in percentage points, with a 95 % interval that holds "
            "for all comparisons at once."
        )
    speeds = analysis.speeds
    if speeds.measured:
        sentences += _speed_legend(speeds)
    return tuple(sentences)


def _speed_legend(speeds: Speeds) -> list[str]:
    sentences = [
        f"Images/s: the median block, {where_measured(speeds)}; training includes the teacher. "
        f"Speeds closer than the range of their blocks count as equal."
    ]
    kinds = {s.conditions.device for s in speeds.measured if s.conditions}
    if kinds == {"cpu"}:
        sentences.append("Peak GiB: memory of the process.")
    if any(speeds.unlike(group) for group in speeds.of):
        sentences.append(f"{UNLIKE}: measured under other conditions; see the caveats.")
    return sentences


def _throughput(analysis: Analysis) -> list[str]:
    """How speed was measured, or how to measure it."""
    speeds = analysis.speeds
    if not speeds.measured:
        return [
            f"Throughput was not measured, and is not taken from training, where other trials and "
            f"the data loader share the machine; `{COMMAND}` measures it."
        ]
    protocols = {speed.record.protocol for speed in speeds.measured}
    sentences = [
        "Throughput is measured apart from training, on synthetic images that lie on the device: "
        "inference is the forward pass alone; training is a whole step, with the teacher's forward "
        "pass. Neither is derived from the other, and numbers of other machines are not comparable."
    ]
    if len(protocols) == 1:
        (p,) = protocols
        turns = max(speed.record.interleaved_with for speed in speeds.measured)
        taken = f", {turns + 1} models in turn" if turns else ""
        processes = "one process" if p.processes == 1 else f"{p.processes} fresh processes"
        sentences.append(
            f"Protocol: warm-up of at least {p.warmup_s:g} s and {p.warmup_iterations} iterations, "
            f"then at least {p.timed_s:g} s and {p.timed_iterations} iterations in {p.blocks} "
            f"blocks{taken}, in {processes}. The figure is the median block; the range is that "
            f"from the slowest to the fastest block."
        )
    else:
        sentences.append("The measurements followed different protocols; results.json has each.")
    sentences.append("GMACs: multiply-accumulates of one forward pass; FLOPs are twice as many.")
    return sentences


_WORDS = (
    "Better: the simultaneous 95 % interval of the difference excludes 0. Not "
    "distinguishable: it does not; that is no proof of equality, so read the interval. Not "
    "tested: fewer than two finished seeds on one side, or no spread of seeds to measure with.",
    "The highest mean is in bold; it need not be distinguishable from the next.",
    "Paired differences are taken seed by seed: equal seeds share what chance they can, "
    "such as the order of the images; their interval is a t interval for that one pair.",
)


def _accuracy(sweep: SweepResults) -> str:
    summaries = [trial.result for trial in sweep.students if trial.result]
    text = (
        "Accuracy is top-1 on the val images after the last epoch, never the best epoch. A student "
        "with a distillation token answers with the average of both heads' logits; the "
        "columns of each head show them alone."
    )
    images = sorted({f"{s.val_images:,}" for s in summaries if s.val_images is not None})
    epochs = sorted({f"{s.epochs:g}" for s in summaries if s.epochs is not None})
    if images:
        text += f" Val images: {listing(images)}."
    if epochs:
        text += f" Epochs: {listing(epochs)}."
    return text


_ASSUMED = (
    "Pooling assumes that all variants have the same spread, and with few seeds Bartlett's test "
    "often misses that they do not: with 3 seeds, the 95 % interval of a variant three to five "
    "times as noisy as the others covers in 70 to 80 % of the sweeps only, and all comparisons at "
    "once in 80 to 90 %."
)
"""Measured by simulation, which tests/reports/test_report_stats.py repeats."""


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
        assumed = f" {_ASSUMED}" if len(analysis.variants) > 1 else ""
        return (
            f"± is the half-width of a 95 % t interval of the mean over seeds, with the standard "
            f"deviation pooled over all variants whose seeds differ ({rounding.plain(spread.sd)} "
            f"points, {spread.df} degrees of freedom). {bartlett}; the spread of each variant is "
            f"in the column seed sd. A single seed gets no ±.{assumed}"
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
            f"An averaged effect weighs every tested comparison of its kind equally; its interval "
            f"is made for {count(len(arms), 'kind')} at once (Bonferroni) and speaks of these "
            f"settings only. A kind with a single comparison keeps the interval of that."
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
    results = [trial.result for trial in best.variant.trials if trial.result]
    known = [result.val_images for result in results if result.val_images is not None]
    if not known:
        return []
    images = min(known)
    half = sampling_half_width(best.mean, images)
    shown = any(row.interval for row in analysis.results.values())
    seeds = "; the intervals above are about seeds, on these images" if shown else ""
    return [
        f"Another draw of {images:,} val images would move one checkpoint at "
        f"{best.mean:.1f} % by ± {half:.2f} points (95 %, 1.96·√(p(1−p)/N)){seeds}."  # noqa: RUF001
    ]
