"""What the intervals and words promise, counted over thousands of simulated sweeps.

The functions of the package are what is simulated, with the test of equal spread that decides about
pooling. 8,000 sweeps each: the standard error of a share of 95 % is 0.24 points.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pytest

from reports import analysis, stats
from reports.stats import Groups, Interval

SWEEPS = 8_000
FALSE_WORDS = 0.05 + 3 * math.sqrt(0.05 * 0.95 / SWEEPS)
"""At most 5 % of sweeps may have a false word; three standard errors of the count on top."""

Truth = Mapping[str, float]


def sweeps(sizes: Mapping[str, int], truth: Truth | None = None, seed: int = 0) -> Iterator[Groups]:
    """Accuracies of each variant with its number of seeds; the spread of seeds is 1."""
    rng = np.random.default_rng(seed)
    names, counts = list(sizes), list(sizes.values())
    ends = np.cumsum(counts)
    means = np.repeat([(truth or {}).get(name, 0.0) for name in names], counts)
    for row in rng.normal(size=(SWEEPS, int(ends[-1]))) + means:
        values = row.tolist()
        yield {
            name: values[end - count : end]
            for name, count, end in zip(names, counts, ends.tolist(), strict=True)
        }


def by_seed(groups: Groups) -> dict[str, dict[int, float]]:
    return {name: dict(enumerate(values)) for name, values in groups.items()}


def grid(first: int, second: int) -> dict[str, dict[str, int]]:
    return {f"{a}-{b}": {"a": a, "b": b} for a in range(first) for b in range(second)}


def share(hits: Sequence[bool]) -> float:
    assert len(hits) >= 5_000
    return sum(hits) / len(hits)


def all_cover(intervals: Sequence[tuple[Interval | None, float]]) -> bool:
    return all(found is not None and found.low <= true <= found.high for found, true in intervals)


@pytest.mark.parametrize(("variants", "seeds"), [(8, 3), (4, 2), (2, 5)])
def test_95_percent_of_the_intervals_of_a_mean_cover(variants: int, seeds: int) -> None:
    covered = []
    for groups in sweeps({str(i): seeds for i in range(variants)}):
        found = stats.spread(groups)
        for name in groups:
            estimate = stats.contrast(groups, {name: 1.0}, found)
            assert estimate is not None
            interval = estimate.interval(stats.t_critical(estimate.df))
            covered.append(interval.low <= 0 <= interval.high)
    assert 0.93 <= share(covered) <= 0.97


DESIGNS: dict[str, tuple[dict[str, int], dict[str, str]]] = {
    "7 variants against one, 3 seeds": (
        {str(i): 3 for i in range(8)},
        {str(i): "0" for i in range(1, 8)},
    ),
    "3 baselines, 2 variants each, 2 seeds": (
        {f"{i}{j}": 2 for i in range(3) for j in "bxy"},
        {f"{i}{j}": f"{i}b" for i in range(3) for j in "xy"},
    ),
    "seeds that failed": (
        {"b": 5, "x": 2, "y": 3, "z": 4},
        {"x": "b", "y": "b", "z": "b"},
    ),
}


@pytest.mark.parametrize("design", DESIGNS)
def test_95_percent_of_sweeps_have_every_difference_covered(design: str) -> None:
    sizes, baseline_of = DESIGNS[design]
    truth = {name: 0.7 * number for number, name in enumerate(sizes)}
    covered = []
    for groups in sweeps(sizes, truth):
        comparisons, _ = analysis.compare(by_seed(groups), baseline_of, stats.spread(groups))
        found = [
            (comparison.interval, truth[name] - truth[baseline_of[name]])
            for name, comparison in comparisons.items()
        ]
        assert len(found) == len(baseline_of)
        covered.append(all_cover(found))
    assert 0.93 <= share(covered) <= 0.97


@pytest.mark.parametrize("design", DESIGNS)
def test_5_percent_of_sweeps_at_most_have_a_false_word(design: str) -> None:
    """Nothing differs: any `better`, of either side, is false."""
    sizes, baseline_of = DESIGNS[design]
    false = []
    for groups in sweeps(sizes):
        comparisons, _ = analysis.compare(by_seed(groups), baseline_of, stats.spread(groups))
        words = {comparison.verdict for comparison in comparisons.values()}
        assert "not tested" not in words
        false.append(words != {"not distinguishable"})
    assert share(false) <= FALSE_WORDS


@pytest.mark.parametrize("better", [0, 3])
def test_holm_has_a_false_word_in_5_percent_at_most(better: int) -> None:
    """Also where some variants truly are better: those are taken off the family step by step."""
    names = [str(i) for i in range(1, 8)]
    truth = {name: 6.0 for name in names[:better]}
    false, true = [], []
    for groups in sweeps({str(i): 3 for i in range(8)}, truth):
        found = stats.spread(groups)
        estimates = {n: stats.contrast(groups, {n: 1.0, "0": -1.0}, found) for n in names}
        tests = stats.holm({n: e for n, e in estimates.items() if e is not None})
        words = {name: test.verdict for name, test in tests.items()}
        false.append(any(words[name] != "not distinguishable" for name in names[better:]))
        true.extend(words[name] == "better" for name in names[:better])
    assert share(false) <= FALSE_WORDS
    assert not better or share(true) > 0.9


@pytest.mark.parametrize(("shape", "seeds"), [((4, 3), 2), ((3, 2), 3)])
def test_95_percent_of_sweeps_have_every_main_effect_covered(
    shape: tuple[int, int], seeds: int
) -> None:
    variants = grid(*shape)
    truth = {name: 1.5 * v["a"] + 0.5 * v["b"] for name, v in variants.items()}
    covered = []
    for groups in sweeps(dict.fromkeys(variants, seeds), truth):
        effects = stats.main_effects(groups, variants, "a", stats.spread(groups))
        assert [effect.level for effect in effects] == list(range(1, shape[0]))
        covered.append(all_cover([(effect.interval, 1.5 * effect.level) for effect in effects]))
    assert 0.93 <= share(covered) <= 0.97


@pytest.mark.parametrize(("shape", "seeds"), [((3, 3), 2), ((2, 2), 3), ((4, 3), 3)])
def test_95_percent_of_sweeps_have_every_interaction_covered(
    shape: tuple[int, int], seeds: int
) -> None:
    variants = grid(*shape)
    truth = {name: v["a"] + v["b"] + 0.5 * v["a"] * v["b"] for name, v in variants.items()}
    covered = []
    for groups in sweeps(dict.fromkeys(variants, seeds), truth):
        found = stats.interactions(groups, variants, ("a", "b"), stats.spread(groups))
        assert len(found) == (shape[0] - 1) * (shape[1] - 1)
        covered.append(all_cover([(i.interval, 0.5 * i.levels[0] * i.levels[1]) for i in found]))
    assert 0.93 <= share(covered) <= 0.97


def test_5_percent_of_sweeps_at_most_have_a_false_interaction() -> None:
    """Both fields have effects, which add up: any other word is false."""
    variants = grid(3, 3)
    truth = {name: 2.0 * v["a"] - v["b"] for name, v in variants.items()}
    false = []
    for groups in sweeps(dict.fromkeys(variants, 2), truth):
        found = stats.interactions(groups, variants, ("a", "b"), stats.spread(groups))
        false.append({i.verdict for i in found} != {"not distinguishable"})
    assert share(false) <= FALSE_WORDS
