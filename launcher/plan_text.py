"""A plan in words and a table, compact enough for 10,000 trials."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.table import Table

from launcher.plan import STARTS, Plan, PlannedAction
from launcher.policy import POLICY_TEXT
from launcher.text import count, duration, short

MOST_ROWS = 40
"""Trials listed one by one; the rest is counted."""
_MOST_REASONS = 8
_WORDS = {
    "run": "to run",
    "resume": "to resume",
    "retry": "to retry",
    "keep": "queued or running",
    "done": "done",
    "failed": "failed, not tried again",
    "leave": "not asked for",
}


def print_plan(plan: Plan, console: Console, *, trials: bool) -> None:
    """Print what will be done; with `trials`, also the trials themselves."""
    for line in plan_lines(plan):
        console.print(line)
    if trials:
        console.print(_table(plan))
        hidden = len(plan.actions) - MOST_ROWS
        if hidden > 0:
            console.print(f"… and {hidden:,} more trials")


def plan_lines(plan: Plan) -> list[str]:
    """The plan without its table."""
    amounts = plan.counts()
    what = " · ".join(f"{amounts[key]:,} {word}" for key, word in _WORDS.items() if key in amounts)
    distinct = len(plan.actions)
    lines = [f"{plan.sweep}: {count(distinct, 'trial')} ({what or 'none'})"]
    if plan.cells > distinct:
        lines[0] += f", from {plan.cells:,} combinations"
    lines += [f"note: {note}" for note in plan.notes]
    if plan.jobs:
        lines += [_jobs_line(plan), _resources_line(plan), _cost_line(plan)]
    lines += _why_not(plan)
    if plan.jobs:
        lines.append(f"policy: {POLICY_TEXT}")
    return lines


def _jobs_line(plan: Plan) -> str:
    sizes = Counter(len(job.trials) for job in plan.jobs)
    parts = [
        f"{amount:,} of {count(size, 'trial')}" for size, amount in sorted(sizes.items())[::-1]
    ]
    waiting = sum(bool(job.after) for job in plan.jobs)
    tail = f"; {waiting:,} wait for a teacher" if waiting else ""
    return (
        f"jobs: {len(plan.jobs):,} ({', '.join(parts)}; "
        f"trials with the same images and teacher share one, at most {plan.largest_cohort}){tail}"
    )


def _resources_line(plan: Plan) -> str:
    size = plan.size
    gpus = f", {count(size.gpus, 'GPU')}" if size.gpus else ""
    at_once = "as many at once as fit" if size.slots is None else f"{size.slots:,} at once"
    return f"resources: {plan.backend}, {count(size.cpus, 'core')}{gpus} a job, {at_once}"


def _cost_line(plan: Plan) -> str:
    starting, unknown = plan.starting(), plan.cost.unknown
    if unknown == starting:
        return "cost: unknown, as no other seed of these trials has finished"
    total = duration(plan.cost.seconds)
    tail = f"; unknown for {count(unknown, 'trial')}" if unknown else ""
    return f"cost: {total} of training for {count(starting - unknown, 'trial')}{tail}"


def _why_not(plan: Plan) -> list[str]:
    """One line for each reason why trials are not started."""
    reasons = Counter(
        (planned.action, planned.reason)
        for planned in plan.actions
        if planned.action not in STARTS and planned.reason
    )
    lines = [
        f"{_WORDS[action]}: {count(amount, 'trial')}: {short(reason)}"
        for (action, reason), amount in reasons.most_common(_MOST_REASONS)
        if reason != action and action == "failed"
    ]
    if any(planned.action == "failed" for planned in plan.actions):
        lines.append("to try them again: deit-launch retry --failed")
    return lines


def _table(plan: Plan) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("trial", "name", "action", "job", "why"):
        table.add_column(column, overflow="fold" if column == "name" else "ellipsis")
    jobs = {
        trial.trial_id: str(number)
        for number, job in enumerate(plan.jobs, start=1)
        for trial in job.trials
    }
    for planned in plan.actions[:MOST_ROWS]:
        table.add_row(*_cells(planned, jobs))
    return table


def _cells(planned: PlannedAction, jobs: dict[str, str]) -> tuple[str, ...]:
    trial = planned.trial
    reason = planned.reason if planned.reason != planned.action else ""
    return (
        trial.trial_id,
        trial.name,
        planned.action,
        jobs.get(trial.trial_id, "-"),
        short(reason),
    )
