"""The one-paragraph answer, in sentences made from the numbers. Pure.

Only the report's three verdicts are used: better, not distinguishable, not tested.
"""

from __future__ import annotations

from collections.abc import Sequence

from reports.analysis import Analysis, Comparison, Effect, VariantResult
from reports.results import SweepResults, TrialResult
from reports.search.answer import search_answer
from reports.speed.answer import speed_sentences
from reports.stats import Interval
from reports.text import Rounding, count, listing
from reports.variants import KIND

_KIND_WORDS = {"none": "no distillation", "hard": "hard distillation", "soft": "soft distillation"}


def answer(sweep: SweepResults, analysis: Analysis, rounding: Rounding) -> tuple[str, ...]:
    """The sentences of the answer, most important first."""
    best = analysis.best
    if found := search_answer(sweep):
        return found
    if best is None:
        return (_nothing_yet(sweep),)
    if sweep.single_run:
        body = [_single_run(best, rounding)]
    elif analysis.baseline.is_distillation_free:
        body = _about_distillation(analysis, rounding)
    else:
        body = _about_variants(analysis, best, rounding)
    evidence = "" if sweep.single_run else _evidence(analysis)
    speed = speed_sentences(analysis, rounding)
    rest = (*speed, _lost(sweep), evidence, _teacher(sweep, rounding))
    sentences = [_open(sweep), *body, *rest]
    return tuple(sentence for sentence in sentences if sentence)


def _nothing_yet(sweep: SweepResults) -> str:
    trials = sweep.students
    if not trials:
        return "The plan of this sweep lists no trial to compare, so there is nothing to report."
    if sweep.single_run:
        yet = "" if _is_lost(trials[0]) else " yet"
        return f"{sweep.plan.sweep} has no result{yet}: {trials[0].state}, {trials[0].reason}."
    if all(trial.state == "failed" for trial in trials):
        return f"No trial has a result: all {len(trials)} failed."
    failed = sum(trial.state in ("failed", "damaged") for trial in trials)
    note = f"; {failed} failed or damaged" if failed else ""
    return f"No trial has finished yet: {count(len(trials), 'trial')} planned{note}."


def _single_run(best: VariantResult, rounding: Rounding) -> str:
    (result,) = (trial.result for trial in best.variant.trials)
    assert result is not None
    images = f"{result.val_images:,}" if result.val_images is not None else "an unknown number of"
    epochs = f" of {result.epochs:g} epochs" if result.epochs is not None else ""
    return (
        f"{best.variant.label} reaches {rounding.percent(best.mean)} top-1 on "
        f"{images} val images, in a single run{epochs}."
    )


def _open(sweep: SweepResults) -> str:
    trials = sweep.students
    number = sum(trial.result is None and not _is_lost(trial) for trial in trials)
    verb = "has" if number == 1 else "have"
    text = f"Preliminary: {number} of {count(len(trials), 'trial')} {verb} no result yet."
    return text if number else ""


def _lost(sweep: SweepResults) -> str:
    trials = sweep.students
    number = sum(trial.result is None and _is_lost(trial) for trial in trials)
    verb = "is" if number == 1 else "are"
    ended = f"{number} of {count(len(trials), 'trial')} ended without a result"
    return f"{ended} and {verb} not in the means." if number else ""


def _is_lost(trial: TrialResult) -> bool:
    """Whether nothing will bring a result without the user's doing."""
    return trial.state in ("failed", "pruned", "damaged")


# distillation against none -----------------------------------------------------------------


def _about_distillation(analysis: Analysis, rounding: Rounding) -> list[str]:
    arms = [e for e in analysis.effects if e.against == "none"]
    if not arms:
        return _untested_distillation(analysis, rounding)
    sentences = [_verdict_on_distillation(analysis, arms)]
    for effect in arms:
        sentences += [_arm(analysis, effect, rounding), *_exceptions(analysis, effect)]
    sentences += [_between(e, rounding) for e in analysis.effects if e.against != "none"]
    sentences += _untested(analysis)
    if len(analysis.comparisons) > len(arms):
        best = analysis.ranked[0]
        sentences.append(
            f"The highest mean of all is that of {best.variant.label}: "
            f"{rounding.percent(best.mean)}."
        )
    return sentences


def _verdict_on_distillation(analysis: Analysis, arms: Sequence[Effect]) -> str:
    """The headline, from the very verdicts that the sentences after it print."""
    verdicts = {effect.verdict for effect in arms}
    if "better" in verdicts:
        return "Distillation helps here."
    singly = {comparison.verdict for comparison in analysis.comparisons.values()}
    if "better" in singly:
        return "Distillation helps here in some settings."
    if verdicts == {"baseline better"}:
        return "Distillation does not help here."
    if "baseline better" in verdicts | singly:
        return "Distillation is not shown to help here."
    return "Whether distillation helps here cannot be told from these runs."


def _arm(analysis: Analysis, effect: Effect, rounding: Rounding) -> str:
    """One kind against none."""
    name = _KIND_WORDS.get(effect.kind, effect.kind)
    if effect.settings > 1:
        note = f", averaged over {effect.settings} comparisons at otherwise equal settings"
        return _compare_sentence(name, "no distillation", effect, rounding, note)
    (comparison,) = _members(analysis, effect)
    sides = [comparison.group_id, comparison.baseline_id]
    if effect.verdict == "baseline better":
        sides.reverse()
    first, second = (analysis.results[group].mean for group in sides)
    means = f", {rounding.plain(first)} against {rounding.percent(second)} top-1"
    return _compare_sentence(name, "no distillation", effect, rounding, means)


def _members(analysis: Analysis, effect: Effect) -> list[Comparison]:
    """The tested comparisons with none that an effect averages."""
    return [
        c
        for group, c in analysis.comparisons.items()
        if analysis.results[group].variant.swept[KIND] == effect.kind and c.interval
    ]


def _exceptions(analysis: Analysis, effect: Effect) -> list[str]:
    """Settings whose own comparison is decided, and not as the average over them is."""
    decided: dict[str, list[str]] = {"better": [], "baseline better": []}
    for comparison in _members(analysis, effect):
        if comparison.verdict in decided and comparison.verdict != effect.verdict:
            decided[comparison.verdict].append(comparison.group_id)
    better, beaten = decided["better"], decided["baseline better"]
    sentences = []
    if better:
        verb = "is" if len(better) == 1 else "are"
        names = _names(analysis, better)
        sentences.append(f"Taken singly, {names} {verb} better than no distillation.")
    if beaten:
        names = _names(analysis, beaten)
        sentences.append(f"Taken singly, no distillation is better than {names}.")
    return sentences


def _compare_sentence(
    name: str, base: str, found: Comparison | Effect, rounding: Rounding, note: str = ""
) -> str:
    """`Hard distillation is better than no distillation: +2.1 points (...)`."""
    assert found.interval is not None
    amount = _amount(found.delta, found.interval, rounding)
    if found.verdict == "better":
        sentence = f"{name} is better than {base}{note}: {amount}."
    elif found.verdict == "baseline better":
        flipped = Interval(-found.interval.high, -found.interval.low)
        amount = _amount(-found.delta, flipped, rounding)
        sentence = f"{base} is better than {name}{note}: {amount}."
    else:
        sentence = f"{name} is not distinguishable from {base}{note}: {amount}."
    return sentence[0].upper() + sentence[1:]


def _amount(delta: float, interval: Interval, rounding: Rounding) -> str:
    rounding = rounding.finer(interval)
    return f"{rounding.signed(delta)} points (95 % simultaneous interval {rounding.span(interval)})"


def _untested(analysis: Analysis) -> list[str]:
    untested = [c for c in analysis.comparisons.values() if c.verdict == "not tested"]
    sentences = []
    for single, want in ((True, "a second seed"), (False, "seeds that differ")):
        groups = [c.group_id for c in untested if _has_single_seed(analysis, c) == single]
        if groups:
            sentences.append(f"{_names(analysis, groups)}: not tested, for want of {want}.")
    return sentences


def _has_single_seed(analysis: Analysis, comparison: Comparison) -> bool:
    sides = (comparison.group_id, comparison.baseline_id)
    return min(analysis.results[group].n for group in sides) < 2


def _between(effect: Effect, rounding: Rounding) -> str:
    first, second = (_KIND_WORDS.get(kind, kind) for kind in (effect.kind, effect.against))
    assert effect.interval is not None
    rounding = rounding.finer(effect.interval)
    amount = f"{rounding.signed(effect.delta)} points (95 % interval "
    amount += f"{rounding.span(effect.interval)})"
    if effect.verdict == "better":
        return f"Of the two, {first} is better than {second}: {amount}."
    return f"The two kinds are not distinguishable from each other: {first} {amount}."


def _untested_distillation(analysis: Analysis, rounding: Rounding) -> list[str]:
    if not analysis.comparisons:
        return [
            "Whether distillation helps is not tested: no variant with it and one without it "
            "at the same settings have both finished.",
            _highest(analysis, rounding),
        ]
    pairs = sorted(analysis.comparisons.values(), key=lambda c: -c.delta)
    means = [
        f"{analysis.results[c.group_id].variant.label} {rounding.signed(c.delta)} points"
        for c in pairs
    ]
    return [
        "Whether distillation helps is not tested: it takes two finished seeds of both sides that "
        "differ to measure chance.",
        f"The differences from no distillation so far: {listing(means)}.",
        _highest(analysis, rounding),
    ]


# any other sweep ---------------------------------------------------------------------------


def _about_variants(analysis: Analysis, best: VariantResult, rounding: Rounding) -> list[str]:
    if len(analysis.variants) == 1:
        value = rounding.with_error(best.mean, best.interval)
        what = "mean top-1" if best.n > 1 else "top-1 in a single run"
        return [f"{best.variant.label} reaches {value} % {what}.", "There is nothing to compare."]
    sentences = [_highest(analysis, rounding)]
    comparison = analysis.comparisons.get(best.variant.group_id)
    if comparison is not None:
        base = analysis.results[comparison.baseline_id].variant.label
        sentences.append(_best_against(comparison, base, rounding))
    elif best.variant.group_id in analysis.baseline.groups:
        sentences.append(_baseline_is_best(analysis, best))
    else:
        sentences.append("It is not tested: no finished baseline has the same settings.")
    return sentences


def _best_against(comparison: Comparison, base: str, rounding: Rounding) -> str:
    if comparison.interval is None:
        return (
            f"Its {rounding.signed(comparison.delta)} points over the baseline {base} are not "
            f"tested: it takes two finished seeds of both that differ to measure chance."
        )
    return _compare_sentence("it", f"the baseline {base}", comparison, rounding)


def _baseline_is_best(analysis: Analysis, best: VariantResult) -> str:
    mine = [c for c in analysis.comparisons.values() if c.baseline_id == best.variant.group_id]
    counts = {
        verdict: sum(c.verdict == verdict for c in mine)
        for verdict in ("baseline better", "not distinguishable", "not tested")
    }
    parts = [f"better than {counts['baseline better']}"] if counts["baseline better"] else []
    if counts["not distinguishable"]:
        parts.append(f"not distinguishable from {counts['not distinguishable']}")
    if counts["not tested"]:
        parts.append(f"not tested against {counts['not tested']}")
    if not parts:
        return "It is the baseline, and nothing else has finished."
    return f"It is the baseline: {listing(parts)} of {count(len(mine), 'other variant')}."


def _highest(analysis: Analysis, rounding: Rounding) -> str:
    best = analysis.ranked[0]
    value = rounding.with_error(best.mean, best.interval)
    return f"The highest mean is that of {best.variant.label}: {value} % top-1."


# what it rests on --------------------------------------------------------------------------


def _evidence(analysis: Analysis) -> str:
    finished = [row for row in analysis.results.values() if row.n]
    seeds = sorted({row.n for row in finished})
    results = [trial.result for v in analysis.variants for trial in v.trials if trial.result]
    images = sorted({r.val_images for r in results if r.val_images is not None})
    per = f"{seeds[0]} to {seeds[-1]} seeds" if len(seeds) > 1 else count(seeds[0], "seed")
    shown = " or ".join(f"{n:,}" for n in images) or "an unknown number of"
    what = "variant" if len(finished) == 1 else "variants"
    return f"This rests on {per} of {len(finished)} {what} and {shown} val images."


def _teacher(sweep: SweepResults, rounding: Rounding) -> str:
    accuracies = sorted(teacher_accuracies(sweep))
    if not accuracies:
        return ""
    if len(accuracies) == 1:
        return f"The teacher itself reaches {rounding.percent(accuracies[0])}."
    low, high = rounding.plain(accuracies[0]), rounding.percent(accuracies[-1])
    return f"The {len(accuracies)} teachers reach {low} to {high}."


def teacher_accuracies(sweep: SweepResults) -> set[float]:
    """Top-1 of each teacher, from its own trial or as its students measured it."""
    own = {t.result.val_top1 for t in sweep.teachers if t.result}
    if not own:
        own = {t.result.teacher_val_top1 for t in sweep.students if t.result}
    return {accuracy for accuracy in own if accuracy is not None}


def _names(analysis: Analysis, groups: Sequence[str]) -> str:
    return listing([analysis.results[group].variant.label for group in groups])
