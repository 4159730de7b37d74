"""Main effects and interactions of sweeps with holes; the search for variants that are alike."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import stats
from reports.settings import SettingIndex
from reports.stats import AxisEffect

AXES = ("kind", "depth", "lr")
values = st.none() | st.sampled_from([1, 2, 2.0, "x", [1, 2]])
variants_of = st.lists(st.tuples(values, values, values), max_size=12).map(
    lambda rows: {f"v{i}": dict(zip(AXES, row, strict=True)) for i, row in enumerate(rows)}
)


def alike(one: dict[str, Any], other: dict[str, Any], ignored: set[str]) -> bool:
    return all(
        axis in ignored or one[axis] is None or other[axis] is None or one[axis] == other[axis]
        for axis in AXES
    )


@given(variants_of, st.tuples(values, values, values), st.sets(st.sampled_from(AXES)))
def test_the_index_finds_what_comparing_each_finds(
    variants: dict[str, dict[str, Any]], row: tuple[Any, ...], ignored: set[str]
) -> None:
    wanted = dict(zip(AXES, row, strict=True))
    expected = [name for name, swept in variants.items() if alike(wanted, swept, ignored)]
    assert SettingIndex(variants, ignored).alike(wanted) == expected


def effects(
    groups: dict[str, list[float]], variants: dict[str, dict[str, Any]], axis: str, **kwargs: Any
) -> dict[Any, AxisEffect]:
    found = stats.main_effects(groups, variants, axis, stats.spread(groups), **kwargs)
    return {effect.level: effect for effect in found}


KINDS = {
    "none": {"kind": "none", "temperature": None},
    "soft1": {"kind": "soft", "temperature": 1},
    "soft3": {"kind": "soft", "temperature": 3},
    "hard": {"kind": "hard", "temperature": None},
}
KIND_VALUES = {
    "none": [70.0, 72.0],
    "soft1": [72.0, 74.0],
    "soft3": [76.0, 78.0],
    "hard": [71.0, 73.0],
}


def test_a_field_without_effect_in_the_reference_pairs_with_every_setting() -> None:
    found = effects(KIND_VALUES, KINDS, "kind")
    assert {level: (e.delta, e.settings) for level, e in found.items()} == {
        "soft": (4.0, 2),  # (2 + 6) / 2, both against the one variant without distillation
        "hard": (1.0, 1),
    }
    temperature = effects(KIND_VALUES, KINDS, "temperature")
    assert {level: (e.delta, e.reference) for level, e in temperature.items()} == {3: (4.0, 1)}


def test_the_reference_can_be_chosen() -> None:
    found = effects(KIND_VALUES, KINDS, "kind", reference="hard")
    assert {level: e.delta for level, e in found.items()} == {"none": -1.0, "soft": 3.0}


def test_one_level_has_no_effect() -> None:
    assert effects({"a": [1.0, 2.0]}, {"a": {"kind": "none"}}, "kind") == {}
    assert effects(KIND_VALUES, KINDS, "depth") == {}


def test_like_is_compared_with_like_where_a_variant_is_missing() -> None:
    """Depth adds 10; the kind that was run at depth 12 alone must not be credited with it."""
    variants = {
        "none-6": {"kind": "none", "depth": 6},
        "none-12": {"kind": "none", "depth": 12},
        "soft-6": {"kind": "soft", "depth": 6},
        "soft-12": {"kind": "soft", "depth": 12},
    }
    groups = {"none-6": [60.0, 62.0], "none-12": [70.0, 72.0], "soft-12": [71.0, 73.0]}
    found = effects(groups, variants, "kind")
    assert (found["soft"].delta, found["soft"].settings) == (1.0, 1)
    spread = stats.spread(groups)
    assert stats.interactions(groups, variants, ("kind", "depth"), spread) == ()


def test_an_effect_of_one_setting_is_its_comparison() -> None:
    """The same interval and word as Dunnett's: two ways to say the same must not differ."""
    variants = {name: {"kind": name} for name in ("none", "soft", "hard")}
    groups = {"none": [70.0, 71.0, 72.5], "soft": [74.0, 73.0, 75.0], "hard": [71.0, 71.5, 73.0]}
    spread = stats.spread(groups)
    critical = stats.dunnett_critical([(3, [3, 3])], spread.df)
    for level, effect in effects(groups, variants, "kind").items():
        estimate = stats.contrast(groups, {level: 1.0, "none": -1.0}, spread)
        assert estimate is not None
        assert effect.interval is not None
        expected = estimate.interval(critical)
        assert effect.interval.low == pytest.approx(expected.low, abs=0.01)
        assert effect.interval.high == pytest.approx(expected.high, abs=0.01)


def test_single_seeds_are_shown_and_not_tested() -> None:
    variants = {f"{k}{d}": {"kind": k, "depth": d} for k in "ab" for d in (6, 12)}
    single = {"a6": [1.0], "a12": [2.0], "b6": [3.0], "b12": [5.0]}
    found = effects(single, variants, "kind")["b"]
    assert (found.delta, found.interval, found.verdict) == (2.5, None, "not tested")
    (both,) = stats.interactions(single, variants, ("kind", "depth"), stats.spread(single))
    assert (both.delta, both.interval, both.verdict) == (1.0, None, "not tested")


def test_settings_with_single_seeds_give_way_to_those_that_can_be_tested() -> None:
    variants = {f"{k}{d}": {"kind": k, "depth": d} for k in "ab" for d in (6, 12)}
    groups = {"a6": [1.0, 2.0], "b6": [3.0, 4.0], "a12": [5.0, 6.0], "b12": [99.0]}
    found = effects(groups, variants, "kind")["b"]
    assert (found.delta, found.settings) == (2.0, 1)
    assert found.interval is not None


def test_seeds_that_do_not_differ_are_not_tested() -> None:
    groups = {"none": [70.0, 70.0], "hard": [71.0, 71.0]}
    variants = {name: {"kind": name} for name in groups}
    assert effects(groups, variants, "kind")["hard"].verdict == "not tested"


def test_unequal_spread_is_welchs_with_bonferroni() -> None:
    groups = {
        "none": [70.0, 70.1, 70.2, 70.1],
        "soft": [60.0, 90.0, 75.0, 30.0],
        "hard": [71.0, 71.1, 71.3, 71.2],
    }
    variants = {name: {"kind": name} for name in groups}
    spread = stats.spread(groups)
    assert not spread.pooled
    estimate = stats.contrast(groups, {"hard": 1.0, "none": -1.0}, spread)
    assert estimate is not None
    found = effects(groups, variants, "kind")["hard"]
    assert found.interval == estimate.interval(stats.t_critical(estimate.df, 2))
    assert found.verdict == "better"


def test_the_words_of_an_interaction() -> None:
    variants = {f"{k}{d}": {"kind": k, "depth": d} for k in "ab" for d in (6, 12)}
    corners = {"a6": 70.0, "a12": 72.0, "b6": 73.0}
    for corner, word in [
        (85.0, "more than the sum"),
        (75.0, "not distinguishable"),
        (60.0, "less than the sum"),
    ]:
        groups = {name: [x - 0.5, x, x + 0.5] for name, x in (corners | {"b12": corner}).items()}
        (found,) = stats.interactions(groups, variants, ("kind", "depth"), stats.spread(groups))
        assert (found.levels, found.references) == (("b", 12), ("a", 6))
        assert found.delta == pytest.approx(corner - 75.0)
        assert found.verdict == word


def test_a_third_field_is_averaged_over() -> None:
    variants = {
        f"{k}{d}{lr}": {"kind": k, "depth": d, "lr": lr}
        for k in "ab" for d in (6, 12) for lr in (1, 2)
    }  # fmt: skip
    together = {"b121": 3.0, "b122": 5.0}
    groups = {name: [together.get(name, 0.0) + e for e in (-0.1, 0.1)] for name in variants}
    (found,) = stats.interactions(groups, variants, ("kind", "depth"), stats.spread(groups))
    assert (found.delta, found.settings) == (pytest.approx(4.0), 2)
