"""The plan: what happens to each trial of a sweep, and the jobs that will be submitted. Pure.

`--dry-run` prints the same object that `reconcile` submits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from deit_core.pruning import PrunerRecord
from launcher.backends.base import Capacity
from launcher.bench.plan import BenchPlan
from launcher.cohort import form_cohorts
from launcher.cohort_room import CohortRoom
from launcher.cost.prediction import Cost
from launcher.expand import Expansion, Trial
from launcher.job_size import JobSize, job_size
from launcher.observe import NOTHING, Observation
from launcher.resources import Resources

Action = Literal["run", "resume", "retry", "keep", "done", "failed", "leave"]
"""`keep`: queued or running. `failed`: not tried again by itself. `leave`: not asked for."""

STARTS: frozenset[str] = frozenset({"run", "resume", "retry"})


@dataclass(frozen=True)
class PlannedAction:
    """What happens to one trial, and why."""

    trial: Trial
    action: Action
    reason: str = ""


@dataclass(frozen=True)
class PlannedJob:
    """One job to submit."""

    trials: tuple[Trial, ...]
    after: tuple[str, ...]
    cpus: int
    gpus: int
    processes: int = 1


@dataclass(frozen=True)
class Plan:
    """What a call of the launcher will do to a sweep."""

    sweep: str
    backend: str
    cells: int
    actions: tuple[PlannedAction, ...]
    jobs: tuple[PlannedJob, ...]
    size: JobSize
    notes: tuple[str, ...]
    largest_cohort: int
    resources: Resources = field(default_factory=Resources)
    """What is asked for."""
    cost: Cost | None = None
    """Predicted; None where nothing is started, or nothing was predicted yet."""
    bench: BenchPlan | None = None
    """What is measured; None where nothing is."""
    pruner: PrunerRecord | None = None
    """How trials that start are compared; None where none is stopped early."""

    def counts(self) -> dict[str, int]:
        """Number of trials by action."""
        return dict(Counter(planned.action for planned in self.actions))

    def first_jobs(self, most: int) -> Plan:
        """The plan with so many of its jobs; what the others would start is left for later."""
        jobs = self.jobs[:most]
        chosen = {trial.trial_id for job in jobs for trial in job.trials}
        actions = tuple(
            replace(planned, action="leave", reason="another job's turn")
            if planned.action in STARTS and planned.trial.trial_id not in chosen
            else planned
            for planned in self.actions
        )
        return replace(self, jobs=jobs, actions=actions)

    def starting(self) -> int:
        """Number of trials this plan starts."""
        return sum(planned.action in STARTS for planned in self.actions)


@dataclass(frozen=True)
class Wish:
    """What the user asked for beyond continuing the sweep."""

    retry: frozenset[str] = frozenset()
    """Failed trials to try again, and pruned ones to go on with."""
    only: frozenset[str] | None = None
    """Start nothing but these, the teachers they need, and what failed for want of these."""
    unasked: bool = False
    """Nobody has named any of them, so that failed teachers, and others than these, stay as they
    are."""


@dataclass(frozen=True)
class Situation:
    """What is known when a plan is made."""

    observations: Mapping[str, Observation]
    backend: str
    capacity: Capacity | None
    node: Capacity | None = None
    """What a node of the scheduler has, as far as that is known."""
    room: int | None = None
    """Jobs that may be added, where fewer than fit; None: as many as fit."""


NO_WISH = Wish()


def make_plan(
    sweep: str,
    expansion: Expansion,
    resources: Resources,
    situation: Situation,
    wish: Wish = NO_WISH,
) -> Plan:
    """Decide what happens to every trial, and form the jobs.

    Raises:
        LaunchError: a job would not fit where it is to run.
    """
    actions = _decide(expansion, situation.observations, wish)
    starting = [planned.trial for planned in actions.values() if planned.action in STARTS]
    size = job_size(resources, situation.capacity, starting, situation.node)
    untrained = frozenset(
        trial_id for trial_id, planned in actions.items() if planned.action != "done"
    )
    room = CohortRoom(resources.process_memory_gib, expansion.trials, size.processes)
    cohorts = form_cohorts(
        starting,
        untrained=untrained,
        largest=resources.cohort_size,
        slots=size.slots if situation.room is None else situation.room,
        fits=room.fits,
    )
    return Plan(
        sweep=sweep,
        backend=situation.backend,
        cells=expansion.cells,
        actions=tuple(actions.values()),
        jobs=tuple(
            PlannedJob(cohort.trials, cohort.after, size.cpus, size.gpus, size.processes)
            for cohort in cohorts
        ),
        size=size,
        notes=(*expansion.notes, *size.notes, *room.notes(starting)),
        largest_cohort=resources.cohort_size,
        resources=resources,
    )


def _decide(
    expansion: Expansion, observations: Mapping[str, Observation], wish: Wish
) -> dict[str, PlannedAction]:
    """An action for every trial; teachers come before those that need them."""
    wish = _with_teachers(expansion, observations, wish)
    actions: dict[str, PlannedAction] = {}
    for trial in expansion.trials:
        seen = observations.get(trial.trial_id, NOTHING)
        actions[trial.trial_id] = _action(trial, seen, actions, wish)
    return actions


def _with_teachers(
    expansion: Expansion, observations: Mapping[str, Observation], wish: Wish
) -> Wish:
    """Asking for a student asks for its failed teacher too, but not for its siblings.

    Asking for a teacher asks for all students that failed for want of it.
    """
    if wish.unasked or (wish.only is None and not wish.retry):
        return wish
    retry, only = set(wish.retry), None if wish.only is None else set(wish.only)
    asked = wish.only or frozenset()
    for trial in expansion.trials:
        if trial.trial_id in (retry if only is None else only):
            retry.update(trial.after)
            if only is not None:
                only.update(trial.after)
    for trial in expansion.trials:
        failure = observations.get(trial.trial_id, NOTHING).status.failure
        if only is not None and failure == "dependency" and asked.intersection(trial.after):
            only.add(trial.trial_id)
    return Wish(frozenset(retry), None if only is None else frozenset(only))


def _action(
    trial: Trial, seen: Observation, earlier: Mapping[str, PlannedAction], wish: Wish
) -> PlannedAction:
    fixed = _settled(trial, seen, wish)
    if fixed is not None:
        return fixed
    reason = seen.status.reason or ""
    asked = wish.only is None or trial.trial_id in wish.only
    absent = [name for name in trial.after if name not in earlier]
    if absent:
        return PlannedAction(trial, "leave", f"its teacher {absent[0]} was deleted")
    hopeless = [name for name in trial.after if _is_failed(earlier[name])]
    if hopeless:
        return PlannedAction(trial, "failed", f"its teacher {hopeless[0]} failed")
    if seen.condition == "failed" and seen.status.failure != "dependency":
        if trial.trial_id not in wish.retry:
            return PlannedAction(trial, "failed", reason)
        return PlannedAction(trial, "retry", reason)
    if not asked:
        return PlannedAction(trial, "leave", "not asked for")
    if seen.condition == "pruned":
        return PlannedAction(trial, "retry", reason)
    if seen.condition == "failed":
        return PlannedAction(trial, "retry", "its teacher is no longer failed")
    return PlannedAction(trial, "resume" if seen.condition == "stopped" else "run", reason)


def _settled(trial: Trial, seen: Observation, wish: Wish) -> PlannedAction | None:
    """The action of a trial that needs no start."""
    status = seen.status
    if seen.condition == "completed":
        return PlannedAction(trial, "done")
    if seen.condition == "pruned" and trial.trial_id not in wish.retry:
        return PlannedAction(trial, "done", status.reason or "pruned")
    if seen.condition == "unknown" and seen.job is not None:
        why = f"the backend says nothing about job {seen.job.job_id}, so it is left alone"
        return PlannedAction(trial, "keep", why)
    if seen.held:
        return PlannedAction(trial, "keep", "paused, until `deit-launch resume`")
    if seen.condition in ("queued", "running"):
        return PlannedAction(trial, "keep", seen.condition)
    return None


def _is_failed(planned: PlannedAction) -> bool:
    return planned.action == "failed"
