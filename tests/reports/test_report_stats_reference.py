"""The statistics beside scipy and statsmodels, on fixed cases."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate
from scipy import stats as scipy_stats

from reports import stats
from reports.stats import Interval

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what other versions of its dependencies say is not ours
    from statsmodels.regression.linear_model import OLS
    from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
    from statsmodels.stats.multitest import multipletests

KINDS, DEPTHS = ("none", "soft", "hard"), (6, 12)
GRID = {f"{kind}-{depth}": {"kind": kind, "depth": depth} for kind in KINDS for depth in DEPTHS}
VALUES: dict[str, list[float]] = {
    "none-6": [70.1, 70.9, 69.8],
    "none-12": [73.2, 72.4, 73.9],
    "soft-6": [70.6, 71.3, 70.5],
    "soft-12": [75.9, 76.6, 75.2],
    "hard-6": [72.4, 71.7, 73.0, 72.2],
    "hard-12": [75.0, 76.1],
}


def as_tuple(interval: Interval | None) -> tuple[float, float]:
    assert interval is not None
    return interval.low, interval.high


@given(st.floats(1, 500), st.integers(1, 5_000))
def test_t_quantiles_are_scipys(df: float, comparisons: int) -> None:
    expected = scipy_stats.t.isf(0.025 / comparisons, df)
    assert stats.t_critical(df, comparisons) == pytest.approx(expected, rel=1e-8)


@given(
    st.lists(
        st.lists(st.floats(0, 100).map(lambda x: round(x, 2)), min_size=2, max_size=5).filter(
            lambda values: len(set(values)) > 1
        ),
        min_size=2,
        max_size=6,
    )
)
def test_bartletts_p_is_scipys(samples: list[list[float]]) -> None:
    found = stats.spread({str(i): sample for i, sample in enumerate(samples)})
    expected = scipy_stats.bartlett(*samples).pvalue
    if math.isnan(expected):  # equal spreads: rounding takes scipy's statistic below 0
        expected = 1.0
    assert found.bartlett_p == pytest.approx(expected, abs=1e-9)


def cell_means_model() -> tuple[OLS, list[str]]:
    names = list(VALUES)
    rows = [name for name in names for _ in VALUES[name]]
    design = np.array([[float(row == name) for name in names] for row in rows])
    return OLS([x for name in names for x in VALUES[name]], design), names


@pytest.mark.parametrize(
    "weights",
    [
        {"soft-6": 1.0, "none-6": -1.0},
        {"hard-12": 1.0, "none-12": -1.0, "hard-6": -1.0, "none-6": 1.0},
        {name: 1 / 6 for name in VALUES},
    ],
)
def test_contrasts_are_those_of_least_squares(weights: dict[str, float]) -> None:
    model, names = cell_means_model()
    theirs = model.fit().t_test([weights.get(name, 0.0) for name in names])
    mine = stats.contrast(VALUES, weights, stats.spread(VALUES))
    assert mine is not None
    assert mine.value == pytest.approx(theirs.effect.item())
    assert mine.standard_error == pytest.approx(theirs.sd.item())
    assert mine.df == theirs.df_denom
    assert stats.p_value(mine) == pytest.approx(theirs.pvalue.item())
    interval = mine.interval(stats.t_critical(mine.df))
    assert as_tuple(interval) == pytest.approx(tuple(theirs.conf_int()[0]))


def test_the_only_main_effect_of_an_axis_is_least_squares() -> None:
    model, names = cell_means_model()
    effects = stats.main_effects(VALUES, GRID, "depth", stats.spread(VALUES))
    signs = [(1 if name.endswith("-12") else -1) / 3 for name in names]
    theirs = model.fit().t_test(signs)
    assert [(e.level, e.reference, e.settings) for e in effects] == [(12, 6, 3)]
    assert effects[0].delta == pytest.approx(theirs.effect.item())
    assert as_tuple(effects[0].interval) == pytest.approx(tuple(theirs.conf_int()[0]))


def test_interactions_are_the_coefficients_of_least_squares() -> None:
    rows = [(*GRID[name].values(), x) for name in VALUES for x in VALUES[name]]
    columns = []
    for kind, depth, _ in rows:
        soft, hard, deep = kind == "soft", kind == "hard", depth == 12
        columns.append([1, soft, hard, deep, soft and deep, hard and deep])
    fitted = OLS([x for *_, x in rows], np.array(columns, dtype=float)).fit()
    found = stats.interactions(VALUES, GRID, ("kind", "depth"), stats.spread(VALUES))
    assert [i.levels for i in found] == [("soft", 12), ("hard", 12)]
    assert [i.references for i in found] == [("none", 6)] * 2
    assert [i.delta for i in found] == pytest.approx(fitted.params[4:])
    halves = [(high - low) / 2 for low, high in fitted.conf_int()[4:]]
    for interaction, half in zip(found, halves, strict=True):
        assert interaction.interval is not None
        assert half < interaction.interval.half_width < 1.3 * half  # for two at once


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20])
def test_holms_p_values_are_statsmodels(count: int) -> None:
    p_values = (np.random.default_rng(count).random(count) ** 3).round(3).tolist()
    expected = multipletests(p_values, method="holm")[1]
    assert stats.holm_adjusted(p_values) == pytest.approx(list(expected))


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holms_p_values_lie_between_p_and_bonferronis(p_values: list[float]) -> None:
    adjusted = stats.holm_adjusted(p_values)
    for p, mine in zip(p_values, adjusted, strict=True):
        assert p <= mine <= min(1.0, p * len(p_values)) + 1e-12
    in_order = [mine for _, mine in sorted(zip(p_values, adjusted, strict=True))]
    assert in_order == sorted(in_order)


def test_holms_words_follow_its_p_values() -> None:
    found = stats.spread(VALUES)
    names = [name for name in VALUES if name != "none-6"]
    estimates = {n: stats.contrast(VALUES, {n: 1.0, "none-6": -1.0}, found) for n in names}
    tests = stats.holm({name: e for name, e in estimates.items() if e is not None})
    rejected, adjusted, *_ = multipletests([t.p for t in tests.values()], method="holm")
    assert [t.adjusted_p for t in tests.values()] == pytest.approx(list(adjusted))
    assert [t.verdict == "better" for t in tests.values()] == list(rejected)
    assert {t.verdict for t in tests.values()} == {"better", "not distinguishable"}


def outcomes(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    one = [True] * (both + first) + [False] * (second + neither)
    other = [True] * both + [False] * first + [True] * second + [False] * neither
    return np.array(one), np.array(other)


@pytest.mark.parametrize(
    "counts", [(50, 9, 2, 30), (0, 3, 7, 0), (10, 0, 0, 5), (700, 61, 40, 20), (5, 1, 0, 0)]
)
def test_mcnemars_p_is_statsmodels(counts: tuple[int, int, int, int]) -> None:
    both, first, second, neither = counts
    found = stats.mcnemar(*outcomes(*counts))
    table = [[both, first], [second, neither]]
    assert (found.both, found.only_first, found.only_second, found.neither) == counts
    assert found.p == pytest.approx(statsmodels_mcnemar(table, exact=True).pvalue)
    if first + second:
        assert found.p == pytest.approx(scipy_stats.binomtest(first, first + second).pvalue)
    assert found.difference == pytest.approx(100 * (first - second) / sum(counts))


def test_the_interval_on_equal_images_is_the_published_one() -> None:
    # Altman et al. 2000, "Statistics with Confidence", 2nd edition, chapter 6, table 6.2: 41 pairs,
    # difference 0.122, 95 % interval 0.011 to 0.226 by Newcombe's method
    found = stats.mcnemar(*outcomes(14, 5, 0, 22))
    assert found.difference == pytest.approx(12.2, abs=0.05)
    assert as_tuple(found.interval) == pytest.approx((1.1, 22.6), abs=0.06)


@given(*[st.integers(0, 200)] * 4)
def test_the_interval_on_equal_images_is_sound(
    both: int, first: int, second: int, neither: int
) -> None:
    if not both + first + second + neither:
        return
    found = stats.mcnemar(*outcomes(both, first, second, neither))
    turned = stats.mcnemar(*outcomes(both, second, first, neither))
    assert -100 <= found.interval.low <= found.difference <= found.interval.high <= 100
    assert turned.difference == -found.difference
    assert turned.p == found.p
    assert as_tuple(turned.interval) == pytest.approx(
        (-found.interval.high, -found.interval.low), abs=1e-9
    )


@pytest.mark.parametrize("images", [100, 500])
@pytest.mark.parametrize("shares", [(0.7, 0.06, 0.04, 0.2), (0.9, 0.05, 0.02, 0.03)])
def test_the_interval_on_equal_images_covers(
    images: int, shares: tuple[float, float, float, float]
) -> None:
    """5,000 pairs of checkpoints, counted; with a handful of images that differ it is wider."""
    rng = np.random.default_rng(0)
    drawn = [tuple(map(int, counts)) for counts in rng.multinomial(images, shares, size=5_000)]
    true = 100 * (shares[1] - shares[2])
    covers = {}
    for counts in set(drawn):
        interval = stats.mcnemar(*outcomes(*counts)).interval
        covers[counts] = interval.low <= true <= interval.high
    assert (
        0.93 <= sum(covers[counts] for counts in drawn) / 5_000 <= (0.98 if images == 100 else 0.97)
    )


def test_other_images_are_not_compared() -> None:
    for one, other in [([True], [True, False]), ([], [])]:
        with pytest.raises(ValueError, match="as many images"):
            stats.mcnemar(np.array(one, dtype=bool), np.array(other, dtype=bool))


@pytest.mark.parametrize(
    ("compared", "n", "df"), [(2, 3, 6), (7, 3, 16), (20, 3, 42), (60, 3, 122)]
)
def test_the_general_critical_value_is_dunnetts_for_his_family(
    compared: int, n: int, df: int
) -> None:
    family = [{f"x{i}": 1.0, "b": -1.0} for i in range(compared)]
    sizes = {"b": n} | {f"x{i}": n for i in range(compared)}
    expected = stats.dunnett_critical([(n, [n] * compared)], df)
    found = stats.simultaneous_critical(family, sizes, df)
    assert found == pytest.approx(expected, abs=0.005)
    assert stats.simultaneous_critical(family, sizes, df) == found


@pytest.mark.parametrize(("count", "df"), [(3, 10), (10, 10), (10, 40), (64, 20)])
def test_independent_families_share_only_the_spread(count: int, df: int) -> None:
    """P(all |x_i| <= c s) = E[(2 Phi(c s) - 1)^count], by another quadrature."""
    family = [{f"x{i}": 1.0} for i in range(count)]
    c = stats.simultaneous_critical(family, {f"x{i}": 2 for i in range(count)}, df)

    def density(s: float) -> float:
        inside = 1 - 2 * scipy_stats.norm.sf(c * s)
        return float(inside**count * scipy_stats.chi.pdf(s, df, scale=1 / math.sqrt(df)))

    assert integrate.quad(density, 0, 6, points=[1.0])[0] == pytest.approx(0.95, abs=0.0005)


def test_a_large_family_is_on_the_safe_side() -> None:
    family = [{f"x{i}": 1.0, "b": -1.0} for i in range(200)]
    sizes = {"b": 3} | {f"x{i}": 3 for i in range(200)}
    exact = stats.dunnett_critical([(3, [3] * 200)], 402)
    found = stats.simultaneous_critical(family, sizes, 402)
    assert exact < found < stats.t_critical(402, 200)


def test_combinations_that_depend_on_each_other_count_once() -> None:
    """Of a, b and their negatives only two are different statements."""
    sizes = {"x": 3, "y": 3, "b": 3}
    two = [{"x": 1.0, "b": -1.0}, {"y": 1.0, "b": -1.0}]
    turned = [{name: -w for name, w in weights.items()} for weights in two]
    once = stats.simultaneous_critical(two, sizes, 6)
    assert stats.simultaneous_critical([*two, *turned], sizes, 6) == pytest.approx(once, abs=0.002)


def test_the_interquartile_mean_is_scipys_trimmed_mean() -> None:
    rng = np.random.default_rng(0)
    for runs, tasks in itertools.product((1, 3, 5), (4, 7)):
        scores = rng.normal(size=(runs, tasks))
        expected = scipy_stats.trim_mean(scores.ravel(), 0.25)
        assert float(stats.iqm(scores)) == pytest.approx(expected)


def test_the_bootstrap_is_stratified_and_the_same_every_time() -> None:
    offsets = np.array([0.0, 50.0, 100.0, 150.0])
    scores = offsets + np.random.default_rng(1).normal(size=(5, 4))
    first, again = (stats.bootstrap_iqm(scores, stats.generator_of("sweep")) for _ in range(2))
    other = stats.bootstrap_iqm(scores, stats.generator_of("another"))
    assert first is not None
    assert first == again != other
    assert first.interval.low <= first.value <= first.interval.high
    assert first.interval.half_width < 3  # sets are never exchanged, though they differ by 50


def test_few_sets_or_runs_have_no_interquartile_mean() -> None:
    generator = stats.generator_of("sweep")
    assert stats.bootstrap_iqm(np.zeros((5, stats.MIN_TASKS - 1)), generator) is None
    assert stats.bootstrap_iqm(np.zeros((1, stats.MIN_TASKS)), generator) is None


def test_paired_differences_are_scipys() -> None:
    one, other = [81.0, 83.0, 82.5, 80.1], [80.0, 81.0, 79.0, 80.0]
    found = stats.paired(dict(enumerate(one)), dict(enumerate(other)))
    assert found is not None
    theirs = scipy_stats.ttest_rel(one, other).confidence_interval(0.95)
    assert as_tuple(found.interval) == pytest.approx((theirs.low, theirs.high))
    assert math.isclose(found.mean, 1.65)
