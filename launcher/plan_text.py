"""A plan in words and a table, compact enough for 10,000 trials."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.table import Table

from launcher.bench.words import bench_lines
from launcher.cost.words import cost_lines, hours_text
from launcher.plan import Plan
from launcher.policy import POLICY_TEXT
from launcher.text import count, one_line, print_lines

MOST_ROWS = 40
"""Trials listed one by one; the rest is counted."""
_MOST_REASONS = 8
_PLAIN_REASONS = ("queued", "running", "not asked for")
"""Reasons that the line of totals or the table says already."""
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
    print_lines(console, plan_lines(plan))
    if trials and plan.jobs:
        print_lines(console, [f"policy: {POLICY_TEXT}"])
    if trials:
        console.print(_table(plan), soft_wrap=False)
        hidden = len(plan.actions) - MOST_ROWS
        if hidden > 0:
            print_lines(console, [f"… and {hidden:,} more trials"])


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
        lines += [_jobs_line(plan), _resources_line(plan)]
    if plan.cost is not None:
        lines += cost_lines(plan.cost)
    if plan.bench is not None:
        lines += bench_lines(plan.bench)
    return lines + _why(plan)


def _jobs_line(plan: Plan) -> str:
    sizes = Counter(len(job.trials) for job in plan.jobs)
    parts = [
        f"{amount:,} of {count(size, 'trial')}" for size, amount in sorted(sizes.items())[::-1]
    ]
    waiting = sum(bool(job.after) for job in plan.jobs)
    tail = f"; {waiting:,} wait for a teacher" if waiting else ""
    if plan.largest_cohort > 1:
        most = plan.largest_cohort
        parts[-1] += f"; trials with the same images and teacher share one, at most {most}"
    return f"jobs: {len(plan.jobs):,} ({', '.join(parts)}){tail}"


def _resources_line(plan: Plan) -> str:
    size = plan.size
    gpus = f", {count(size.gpus, 'GPU')}" if size.gpus else ""
    at_once = "as many at once as fit" if size.slots is None else f"{size.slots:,} at once"
    several = f"{size.processes:,} processes, " if size.processes > 1 else ""
    where = f"{plan.backend}, {several}{count(size.cpus, 'core')}{gpus} a job"
    return f"resources: {where}{_of_cluster(plan)}, {at_once}"


def _of_cluster(plan: Plan) -> str:
    """What only a cluster is told: also the defaults, which hold for all that is not given."""
    if plan.backend != "slurm":
        return ""
    asked = plan.resources
    partition = (
        "the default partition" if asked.partition is None else f"partition {asked.partition}"
    )
    limit = "the partition's time limit" if asked.time is None else f"time limit {asked.time}"
    memory = "" if asked.mem_gb is None else f", {asked.mem_gb:g} GB a node"
    return f" on {count(asked.nodes, 'node')}{memory}, {partition}, {limit}"


def _why(plan: Plan) -> list[str]:
    """Each reason for what happens to trials: whole, and once for all trials that share it."""
    reasons = Counter(
        (planned.action, one_line(planned.reason).replace(planned.trial.trial_id, "TRIAL"))
        for planned in plan.actions
        if planned.reason not in ("", *_PLAIN_REASONS)
    )
    lines = [
        f"{_WORDS[action]}: {count(amount, 'trial')}: {reason}"
        for (action, reason), amount in reasons.most_common(_MOST_REASONS)
    ]
    hidden = sum(reasons.values()) - sum(amount for _, amount in reasons.most_common(_MOST_REASONS))
    if hidden:
        lines.append(f"… and other reasons for {count(hidden, 'trial')} (`deit-launch status`)")
    if any(planned.action == "failed" for planned in plan.actions):
        lines.append("to try them again: deit-launch retry --failed")
    return lines


def _table(plan: Plan) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    costs = plan.cost.trials if plan.cost is not None else {}
    unit = plan.cost.unit.replace("-hours", " time") if plan.cost is not None else "cost"
    for column in ("trial", "name", "action", "job", unit):
        table.add_column(column, overflow="fold", no_wrap=column != "name")
    jobs = {
        trial.trial_id: str(number)
        for number, job in enumerate(plan.jobs, start=1)
        for trial in job.trials
    }
    for planned in plan.actions[:MOST_ROWS]:
        trial = planned.trial
        action = planned.reason if planned.reason in _PLAIN_REASONS[:2] else planned.action
        job, share = jobs.get(trial.trial_id, "-"), costs.get(trial.trial_id)
        hours = "-" if share is None else hours_text(share.hours)
        table.add_row(trial.trial_id, trial.name, action, job, hours)
    return table
