"""Rules on early stopping, for `reports.caveats`. Each may speak. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from reports.analysis import Analysis
from reports.results import SweepResults
from reports.text import count, listing


def _pruned_seeds(sweep: SweepResults, analysis: Analysis) -> Iterator[str]:
    """Seeds that were stopped for being behind are missing from means, which flatters those."""
    found = []
    for variant in analysis.variants:
        pruned = sum(trial.state == "pruned" for trial in variant.trials)
        if pruned and variant.values:
            found.append(f"{variant.label} ({pruned} of {len(variant.trials)})")
    if found:
        yield (
            f"Seeds were pruned because they were behind, so the mean over the others is "
            f"flattered: {listing(found)}."
        )


def _all_pruned(sweep: SweepResults, analysis: Analysis) -> Iterator[str]:
    """Whole variants that were stopped; in a search that is what was asked for."""
    if sweep.search is not None:
        return
    stopped = [
        variant.label
        for variant in analysis.variants
        if variant.trials and all(trial.state == "pruned" for trial in variant.trials)
    ]
    if stopped:
        verb = "has" if len(stopped) == 1 else "have"
        yield (
            f"{count(len(stopped), 'variant')} {verb} no result, as every seed was stopped early "
            f"on purpose, which is hardest on curves that rise late: {listing(stopped)}."
        )


SEARCH_RULES: tuple[Callable[[SweepResults, Analysis], Iterator[str]], ...] = (
    _pruned_seeds,
    _all_pruned,
)
