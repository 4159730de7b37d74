"""The best of a sweep by its objectives: of a search, or of any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deit_core.config_checks import nearest
from launcher.backends.base import Backend
from launcher.errors import LaunchError
from launcher.expand import Trial
from launcher.live_jobs import observe_sweep
from launcher.observe import NOTHING, Observation
from launcher.request import Request, read_request
from launcher.search.config import Direction, Search
from launcher.search.metrics import METRICS
from launcher.search.outcomes import directions, mean_of, violations
from launcher.search.records import SearchDir
from launcher.sweep_dir import SweepDir


@dataclass(frozen=True)
class Candidate:
    """One variant of a sweep that has finished with all its seeds."""

    name: str
    """Of its first trial."""
    trial_ids: tuple[str, ...]
    swept: Mapping[str, Any]
    values: tuple[float, ...]
    """One for each objective, the mean over seeds."""
    seeds: int
    broken: tuple[str, ...] = ()
    """Constraints that it breaks."""


@dataclass(frozen=True)
class Best:
    """Finished variants, best first; of several objectives the trade-offs come first."""

    objective: tuple[str, ...]
    directions: tuple[Direction, ...]
    candidates: tuple[Candidate, ...]
    front: int
    """How many of them no other one beats in every objective; 1 with one objective."""
    unfinished: int
    """Variants without a result, by now or for good."""
    command: str
    """That made the sweep."""


def find_best(
    sweep_dir: SweepDir, backend: Backend, objective: Sequence[str] | None = None
) -> Best:
    """Rank the variants of a sweep.

    Args:
        sweep_dir: the sweep.
        backend: one of the runs folder's.
        objective: metrics; None: what the search asks for, else `val_top1`.

    Raises:
        LaunchError: a metric that no trial reports.
    """
    request = read_request(sweep_dir)
    search = request.search.search if SearchDir(sweep_dir).exists() and request.search else Search()
    if objective:
        for metric in objective:
            if metric not in METRICS:
                raise LaunchError(f"no trial reports {metric!r}{nearest(metric, METRICS)}")
        search = search.model_copy(update={"objective": tuple(objective), "direction": None})
    seen = observe_sweep(sweep_dir, request, backend)
    groups = _groups(request)
    found = [_candidate(search, trials, seen) for trials in groups]
    candidates = [one for one in found if one is not None]
    ranked, front = _rank(candidates, directions(search))
    return Best(
        objective=search.objective,
        directions=directions(search),
        candidates=tuple(ranked),
        front=front,
        unfinished=len(groups) - len(candidates),
        command=request.command,
    )


def _groups(request: Request) -> list[list[Trial]]:
    """Students by variant, in plan order."""
    groups: dict[str, list[Trial]] = {}
    for trial in request.expansion.trials:
        if trial.role == "student":
            groups.setdefault(trial.group_id, []).append(trial)
    return list(groups.values())


def _candidate(
    search: Search, trials: Sequence[Trial], seen: Mapping[str, Observation]
) -> Candidate | None:
    """A variant as one can compare it; None where a seed is missing or does not report a metric."""
    pairs = []
    for trial in trials:
        summary = seen.get(trial.trial_id, NOTHING).summary
        if summary is None:
            return None
        pairs.append((trial.config, summary))
    values = [mean_of(metric, pairs) for metric in search.objective]
    known = tuple(value for value in values if value is not None)
    if len(known) < len(values):
        return None
    broken = tuple(name for name, by in violations(search, pairs).items() if by > 0)
    ids = tuple(trial.trial_id for trial in trials)
    return Candidate(trials[0].name, ids, trials[0].swept, known, len(trials), broken)


def _rank(
    candidates: Sequence[Candidate], wanted: Sequence[Direction]
) -> tuple[list[Candidate], int]:
    """Those that keep the constraints first; of these, what no other one beats everywhere."""
    signs = [1.0 if direction == "maximize" else -1.0 for direction in wanted]

    def scores(one: Candidate) -> list[float]:
        return [sign * value for sign, value in zip(signs, one.values, strict=True)]

    feasible = [one for one in candidates if not one.broken]
    front = [
        one
        for one in feasible
        if not any(_dominates(scores(other), scores(one)) for other in feasible)
    ]
    ids = {one.trial_ids for one in front}
    order = sorted(
        candidates,
        key=lambda one: (one.trial_ids not in ids, bool(one.broken), [-s for s in scores(one)]),
    )
    return order, len(front)


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether the first is nowhere worse and somewhere better; more is better."""
    pairs = list(zip(one, other, strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)
