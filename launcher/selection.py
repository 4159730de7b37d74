"""Which trials a user means: by id, by the start of an id, by name, or by swept values."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import get_args

from deit_core.config_checks import nearest
from deit_core.records import FailureKind, PlannedTrial
from launcher.errors import LaunchError
from launcher.text import listing
from launcher.trial_names import same_value

FAILURES: tuple[str, ...] = get_args(FailureKind)
"""Why a trial can have failed, as `retry --cause` takes it."""


def select_causes(given: Iterable[str]) -> frozenset[str]:
    """The causes of failure that are named. Raises LaunchError."""
    causes = frozenset(given)
    for cause in sorted(causes - set(FAILURES)):
        raise LaunchError(f"no trial fails for {cause!r}{nearest(cause, FAILURES)}")
    return causes


def select_trial(given: str, trials: Sequence[PlannedTrial]) -> PlannedTrial:
    """The one trial that `given` names.

    Raises:
        LaunchError: none, or more than one.
    """
    exact = [trial for trial in trials if given in (trial.trial_id, trial.name)]
    matches = exact or [trial for trial in trials if given and trial.trial_id.startswith(given)]
    matches = matches or [trial for trial in trials if _has_values(trial, given)]
    matches = matches or [trial for trial in trials if given and given in trial.name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise LaunchError(
            f"{given!r} is {len(matches)} trials: {_list(matches)}; give a whole name, or an id"
        )
    raise LaunchError(f"there is no trial {given!r}; {_hint(given, trials)}")


def _has_values(trial: PlannedTrial, given: str) -> bool:
    """Whether every `label=value` of `given` holds for the trial, however a number is spelled."""
    values = {**trial.swept, "seed": trial.seed}
    for part in given.split(","):
        label, equals, text = part.partition("=")
        fields = [field for field in values if field == label or field.endswith(f".{label}")]
        if not equals or not any(same_value(text, values[field]) for field in fields):
            return False
    return True


def select_trials(given: Iterable[str], trials: Sequence[PlannedTrial]) -> list[PlannedTrial]:
    """Each trial that is named. Raises LaunchError."""
    return [select_trial(name, trials) for name in given]


def _hint(given: str, trials: Sequence[PlannedTrial]) -> str:
    names = [name for trial in trials for name in (trial.trial_id, trial.name)]
    close = difflib.get_close_matches(given, names, n=1, cutoff=0.4)
    if close:
        return f'did you mean "{close[0]}"?'
    return f"valid: {_list(trials)}" if trials else "this sweep has none"


def _list(trials: Sequence[PlannedTrial]) -> str:
    return listing(f"{trial.trial_id} ({trial.name})" for trial in trials)
