"""One spelling of a value in names and tables, and trials found by any spelling."""

import pytest

from deit_core.records import PlannedTrial
from launcher.errors import LaunchError
from launcher.selection import select_trial
from launcher.text import value
from launcher.trial_names import value_text


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (1e12, "1e+12"),
        (1e6, "1e+06"),
        (3.0, "3"),
        (5e-5, "5e-05"),
        (0.1234567, "0.1234567"),
        (123456789.0, "123456789"),
        (True, "true"),
        (12, "12"),
        ("soft", "soft"),
        ([0.9, 0.999], "0.9-0.999"),
    ],
)
def test_a_value_has_one_spelling(given, text):
    assert value_text(given) == text
    assert value(given) == text
    if isinstance(given, float):
        assert float(text) == given


def trial(trial_id, lr, kind, seed):
    return PlannedTrial(
        trial_id=trial_id,
        group_id="g",
        name=f"lr={value_text(lr)},kind={kind},seed={seed}",
        seed=seed,
        swept={"optim.lr": lr, "distill.kind": kind},
    )


TRIALS = [trial("a1", 1e12, "soft", 1), trial("b2", 1e12, "soft", 12), trial("c3", 0.5, "hard", 1)]


@pytest.mark.parametrize("lr", ["1e12", "1e+12", "1000000000000", "1000000000000.0"])
def test_any_spelling_of_a_number_finds_the_trial(lr):
    assert select_trial(f"lr={lr},kind=soft,seed=1", TRIALS).trial_id == "a1"
    assert select_trial(f"optim.lr={lr},seed=12", TRIALS).trial_id == "b2"


def test_values_may_name_a_trial_in_any_order():
    assert select_trial("seed=1,kind=soft", TRIALS).trial_id == "a1"
    assert select_trial("kind=hard", TRIALS).trial_id == "c3"
    with pytest.raises(LaunchError, match=r"'kind=soft' is 2 trials: a1 .*; give a whole name, or"):
        select_trial("kind=soft", TRIALS)
    with pytest.raises(LaunchError, match=r"no trial 'lr=2'"):
        select_trial("lr=2", TRIALS)
