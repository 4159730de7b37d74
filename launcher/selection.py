"""Which trials a user means: by id, by the start of an id, or by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from deit_core.records import PlannedTrial
from launcher.errors import LaunchError

_SHOWN = 5


def select_trial(given: str, trials: Sequence[PlannedTrial]) -> PlannedTrial:
    """The one trial that `given` names.

    Raises:
        LaunchError: none, or more than one.
    """
    exact = [trial for trial in trials if given in (trial.trial_id, trial.name)]
    matches = exact or [trial for trial in trials if given and trial.trial_id.startswith(given)]
    matches = matches or [trial for trial in trials if given and given in trial.name]
    if len(matches) == 1:
        return matches[0]
    if matches:
        listed = _list(matches)
        raise LaunchError(f"{given!r} is {len(matches)} trials: {listed}; give more of the id")
    raise LaunchError(f"there is no trial {given!r}; {_hint(given, trials)}")


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
    listed = ", ".join(f"{trial.trial_id} ({trial.name})" for trial in trials[:_SHOWN])
    return listed + (f" and {len(trials) - _SHOWN} more" if len(trials) > _SHOWN else "")
