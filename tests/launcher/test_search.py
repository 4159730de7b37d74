import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sweep_files import TAUGHT, expand_text

from launcher.search.config import Range, Search
from launcher.search.draws import draw_choice, draw_range

LOG = Range(low=1e-4, high=1e-2, log=True)


def test_draws_are_pinned():
    """A changed draw would change every trial of every random sweep there is."""
    search = Search(method="random", trials=3, seed=0)
    assert draw_range(search, "optim.lr", LOG) == [0.0002091, 0.003232, 0.00238]
    assert draw_choice(search, "distill.kind", ("soft", "hard")) == ["soft", "soft", "hard"]


def test_more_trials_keep_the_first_ones():
    few, many = (Search(method="random", trials=n) for n in (5, 50))
    assert draw_range(many, "optim.lr", LOG)[:5] == draw_range(few, "optim.lr", LOG)


def test_seeds_and_fields_draw_apart():
    draws = [
        tuple(draw_range(Search(trials=5, seed=seed), field, LOG))
        for seed in (0, 1)
        for field in ("optim.lr", "optim.min_lr")
    ]
    assert len(set(draws)) == 4


def test_log_draws_fill_every_decade():
    draws = draw_range(Search(trials=2000), "optim.lr", LOG)
    share = sum(value < 1e-3 for value in draws) / len(draws)
    assert share == pytest.approx(0.5, abs=0.05)


def test_int_draws_take_every_value_equally_often():
    draws = draw_range(Search(trials=6000), "model.depth", Range(low=1, high=6, int=True))
    assert all(isinstance(value, int) for value in draws)
    for value in range(1, 7):
        assert draws.count(value) == pytest.approx(1000, abs=150)


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.booleans(), st.floats(0, 1, exclude_max=True))
def test_values_stay_in_their_range(low, width, log, uniform):
    low = math.exp(low / 1e5) if log else low
    if not low < low + width:
        return
    spec = Range(low=low, high=low + width, log=log)
    assert spec.low <= spec.value(uniform) <= spec.high


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"low": 2, "high": 1}, "low 2 must be below high 1"),
        ({"low": 0, "high": 1, "log": True}, "log needs low above 0"),
        ({"low": 0.5, "high": 2, "int": True}, "int needs whole numbers"),
    ],
)
def test_bounds_that_make_no_range(bounds, message):
    with pytest.raises(ValidationError, match=message):
        Range(**bounds)


def swept(folder, axes, trials=4):
    text = f"{TAUGHT}search: {{method: random, trials: {trials}}}\naxes: {axes}\n"
    return [trial.swept for trial in expand_text(folder, text).trials]


def test_draws_do_not_depend_on_other_axes_or_their_order(tmp_path):
    lr = "optim.lr: {low: 1e-4, high: 1e-2, log: true}"
    alpha = "distill.alpha: {low: 0, high: 1}"
    kind = "distill.kind: [soft, hard]"
    alone = [s["optim.lr"] for s in swept(tmp_path, f"{{random: {{{lr}}}}}")]
    first = swept(tmp_path, f"{{{kind}, random: {{{alpha}, {lr}}}}}")
    last = swept(tmp_path, f"{{random: {{{lr}, {alpha}}}, {kind}}}")
    assert [s["optim.lr"] for s in first] == alone * 2
    assert {tuple(sorted(s.items())) for s in first} == {tuple(sorted(s.items())) for s in last}


def test_every_draw_meets_every_combination_of_the_other_axes(tmp_path):
    rows = swept(
        tmp_path,
        "{random: {optim.lr: {low: 1e-4, high: 1e-2}}, model.depth: [1, 2, 3]}",
        trials=5,
    )
    assert len(rows) == 15
    assert len({(row["optim.lr"], row["model.depth"]) for row in rows}) == 15


def test_a_drawn_field_may_depend_on_another_one_that_is_drawn(tmp_path):
    axes = (
        "{random: {distill.kind: [soft, hard], "
        "distill.temperature: {low: 1, high: 9, when: {distill.kind: soft}}}}"
    )
    for row in swept(tmp_path, axes, trials=12):
        assert (row["distill.temperature"] is None) == (row["distill.kind"] == "hard")


def test_choices_of_a_drawn_field_may_be_conditional(tmp_path):
    axes = (
        "{distill.kind: [soft, hard], random: {distill.temperature: "
        "{values: [2, 4], when: {distill.kind: soft}}}}"
    )
    rows = swept(tmp_path, axes, trials=12)
    assert {row["distill.temperature"] for row in rows} == {2, 4, None}
    assert len(rows) == 3
