"""Rules that say what to be careful about. Each looks at the results and may speak. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from deit_core.records import EnvRecord
from reports.analysis import Analysis, VariantResult
from reports.results import SweepResults, TrialResult
from reports.search.caveats import SEARCH_RULES
from reports.speed.caveats import SPEED_RULES
from reports.stats import BARTLETT_LEVEL, sampling_half_width
from reports.text import count, listing
from reports.variants import KIND

FEW_SEEDS = 3
SMALL_VAL_POINTS = 1.0
"""Sampling error of the val images from which on it is called small, in percentage points."""
SMALL_TRAIN_IMAGES = 10_000
MANY_VARIANTS = 5


@dataclass(frozen=True)
class Caveat:
    """One thing that limits what the numbers say."""

    code: str
    text: str


def find_caveats(sweep: SweepResults, analysis: Analysis) -> tuple[Caveat, ...]:
    """All caveats that apply, the gravest first."""
    return tuple(
        Caveat(rule.__name__.strip("_"), text) for rule in _RULES for text in rule(sweep, analysis)
    )


def _incomplete(sweep: SweepResults, analysis: Analysis) -> Iterator[str]:
    states = Counter(trial.state for trial in sweep.students if trial.result is None)
    if states:
        parts = [f"{n} {state}" for state, n in sorted(states.items())]
        yield (
            f"{sum(states.values())} of {count(len(sweep.students), 'trial')} have no result "
            f"({', '.join(parts)}); means are over the finished seeds only."
        )
    lost = [t for t in sweep.teachers if t.result is None and t.state != "pending"]
    if lost:
        yield f"The teacher's own run is {listing([t.state for t in lost])}."


def _few_seeds(sweep: SweepResults, analysis: Analysis) -> Iterator[str]:
    few = [row for row in analysis.results.values() if 0 < row.n < FEW_SEEDS]
    if sweep.single_run and few:
        yield "One seed only: by how much another seed would move the accuracy is not known."
    elif few:
        names = listing([f"{row.variant.label} ({row.n})" for row in few])
        yield f"Fewer than {FEW_SEEDS} finished seeds: {names}."


def _unequal_seeds(sweep: SweepResults, analysis: Analysis) -> Iterator[str]:
    seeds = {tuple(sorted(row.values)) for row in analysis.results.values() if row.n}
    if len(seeds) > 1:
        yield "The variants did not finish the same seeds, so their means rest on unlike draws."


def _baseline_absent(sweep: SweepResults, analysis: Analysis) -> Iterator[str]:
    kinds = {variant.swept.get(KIND) for variant in analysis.variants} - {None}
    if kinds and "none" not in kinds:
        yield (
            "No variant was trained without distillation, so this sweep cannot say whether "
            "distillation helps."
        )
    baseline = analysis.baseline
    if sweep.search is not None and not baseline.groups:
        return  # a search compares nothing unless it is asked to
    idle = [g for g in baseline.groups if not analysis.results[g].n]
    if idle:
        names = listing([analysis.results[group].variant.label for group in idle])
        yield f"No seed of the baseline has finished: {names}."
    alone = [
        v.label
        for v in analysis.variants
        if v.group_id not in baseline.of and v.group_id not in baseline.groups
    ]
    if alone:
        yield (
            f"No baseline has the same settings, so there is no comparison: {listing(alone)}; "
            f"--baseline chooses one."
        )


def _unequal_spread(sweep: SweepResults, analysis: Analysis) -> Iterator[str]:
    spread = analysis.spread
    if not spread.pooled:
        yield (
            f"The seeds of some variants differ more than those of others (Bartlett p = "
            f"{spread.bartlett_p:.2g}, below {BARTLETT_LEVEL}), so every interval uses the "
            f"variant's own spread and is wider."
        )
    if spread.suspicious:
        varying = sorted((row for row in analysis.results.values() if row.sd), key=_sd)
        least, most = varying[0], varying[-1]
        yield (
            f"Some variants may vary more from seed to seed than others (Bartlett p = "
            f"{spread.bartlett_p:.2g}; seed sd {_sd(least):.2g} to {_sd(most):.2g} points). The "
            f"intervals assume equal spread; if it is not, those of {most.variant.label} are too "
            f"narrow. More seeds would tell."
        )


def _sd(row: VariantResult) -> float:
    return row.sd or 0.0


def _no_spread(sweep: SweepResults, analysis: Analysis) -> Iterator[str]:
    spread = analysis.spread
    if spread.sd == 0:
        yield "All seeds of a variant gave equal accuracies, so chance cannot be measured."
        return
    equal = [row for row in analysis.results.values() if row.sd == 0]
    if not equal:
        return
    images = _val_images([t for row in equal for t in row.variant.trials])
    treated = (
        "their intervals use the spread of the other variants"
        if spread.pooled
        else "they get no interval"
    )
    step = (
        f", as one of {images:,} val images is a step of {100 / images:.2g} points"
        if images
        else ""
    )
    yield (
        f"All seeds gave the same accuracy: {listing([row.variant.label for row in equal])}. That "
        f"is no certainty{step}; {treated}."
    )


def _val_images(trials: Sequence[TrialResult]) -> int | None:
    """The fewest that a finished trial was evaluated on; None where that is not known."""
    results = [trial.result for trial in trials if trial.result]
    return min((r.val_images for r in results if r.val_images is not None), default=None)


def _mixed_conditions(sweep: SweepResults, analysis: Analysis) -> Iterator[str]:
    finished = [trial for trial in sweep.students if trial.result]
    for what, read in _CONDITIONS.items():
        found = {value for trial in finished if (value := read(trial)) is not None}
        if len(found) > 1:
            yield f"Trials ran under different conditions: {what} {listing(sorted(found))}."


def _env(read: Callable[[EnvRecord], str | None]) -> Callable[[TrialResult], str | None]:
    return lambda trial: read(trial.env) if trial.env else None


_CONDITIONS: dict[str, Callable[[TrialResult], str | None]] = {
    "device": _env(lambda env: env.device_name or env.device),
    "torch": _env(lambda env: env.versions.get("torch")),
    "git commit": _env(lambda env: env.git_sha[:10] if env.git_sha else None),
    "precision": lambda trial: trial.config.train.precision if trial.config else None,
    "number of val images": lambda trial: (
        f"{trial.result.val_images:,}" if trial.result and trial.result.val_images else None
    ),
}


def _dirty_tree(sweep: SweepResults, analysis: Analysis) -> Iterator[str]:
    dirty = sum(bool(t.result and t.env and t.env.git_dirty) for t in sweep.students)
    if dirty:
        yield (
            f"{count(dirty, 'trial')} ran from a git tree with uncommitted changes; "
            f"env.json of each keeps the patch."
        )


def _unreadable_images(sweep: SweepResults, analysis: Analysis) -> Iterator[str]:
    finished = [trial for trial in sweep.students if trial.result]
    bad = [trial.result.unreadable_images for trial in finished if trial.result]
    if any(bad):
        firsts = {trial.status.first_unreadable for trial in finished if trial.status}
        paths = sorted(path for path in firsts if path)
        such = ": " if max(bad) == 1 else ", such as "
        named = f"{such}{paths[0]}" if paths else ""
        trials = count(sum(n > 0 for n in bad), "trial")
        most = "Up to " if len(set(bad)) > 1 else ""
        verb = "was" if max(bad) == 1 else "were"
        images = count(max(bad), "image")
        yield f"{most}{images} could not be read and {verb} left out, in {trials}{named}."


def _small_val(sweep: SweepResults, analysis: Analysis) -> Iterator[str]:
    best = analysis.best
    if best is None or best.mean is None:
        return
    images = _val_images(best.variant.trials)
    if images is None:
        return
    half = sampling_half_width(best.mean, images)
    if half >= SMALL_VAL_POINTS:
        compared = "" if sweep.single_run else "; differences on equal images feel less of it"
        yield (
            f"The val set is small: with {images:,} images the draw of the images alone moves an "
            f"accuracy by ± {half:.1f} points (95 %){compared}."
        )


def _small_data(sweep: SweepResults, analysis: Analysis) -> Iterator[str]:
    finished = [trial for trial in sweep.students if trial.result]
    known = [trial.result.train_images for trial in finished if trial.result]
    images = [number for number in known if number is not None]
    if not images:
        return
    sources = listing(sorted({t.config.data.source for t in finished if t.config}))
    if min(images) < SMALL_TRAIN_IMAGES or sources in ("digits", "fashion_mnist"):
        yield (
            f"Small data ({sources}, {min(images):,} training images): what holds here need not "
            f"hold for large natural images."
        )


def _imported(sweep: SweepResults, analysis: Analysis) -> Iterator[str]:
    records = [trial.imported for trial in sweep.students if trial.imported]
    if not records:
        return
    yield (
        f"{count(len(records), 'run')} of other programs, imported: the value of the last epoch "
        f"counts, and what their files do not say (data, images, hardware, code) is not known, so "
        f"the runs may differ in more than their names."
    )
    unnamed = sum(not record.seed_known for record in records)
    if unnamed:
        yield f"The seeds of {count(unnamed, 'imported run')} are not known: they are numbered."


def _best_of_many(sweep: SweepResults, analysis: Analysis) -> Iterator[str]:
    finished = sum(row.n > 0 for row in analysis.results.values())
    if finished >= MANY_VARIANTS:
        yield (
            f"The best of {finished} variants was picked on the same val images it is reported on, "
            f"so its mean is flattered by chance."
        )


_RULES: tuple[Callable[[SweepResults, Analysis], Iterator[str]], ...] = (
    _incomplete,
    _baseline_absent,
    _few_seeds,
    _unequal_seeds,
    _unequal_spread,
    _no_spread,
    _mixed_conditions,
    _dirty_tree,
    _unreadable_images,
    _small_val,
    _small_data,
    _imported,
    _best_of_many,
    *SPEED_RULES,
    *SEARCH_RULES,
)
