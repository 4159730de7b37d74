"""A measurement that is planned, in a few lines, with a rough time."""

from __future__ import annotations

import math

from deit_core.throughput_records import BenchProtocol
from launcher.bench.plan import BenchPlan
from launcher.text import count, duration, one_line


def bench_lines(plan: BenchPlan) -> list[str]:
    """What is measured, how long that takes at most, and what is not."""
    missing = plan.missing
    if plan.later:
        return [
            "bench: once the search has asked for all its points; if nobody is there to start it "
            "then, by the next `deit-launch sweep` or `bench`"
        ]
    parts = []
    if plan.models:
        seconds = rough_seconds(plan.protocol, len(plan.models))
        parts.append(f"{count(len(plan.models), 'model')} to measure, about {duration(seconds)}")
    if plan.open_orders:
        orders = count(len(plan.open_orders), "measurement")
        parts.append(f"{orders} that had stopped to go on")
    if missing.ordered and not plan.open_orders:
        parts.append(f"{missing.ordered:,} ordered already")
    if missing.measured:
        parts.append(f"{missing.measured:,} measured")
    when = ", after the trials" if plan.waits_for and plan.submits else ""
    where = f" ({_where(plan)}{when})" if plan.submits else ""
    lines = [f"bench: {' · '.join(parts) or 'no model to measure'}{where}"]
    if plan.failed is not None:
        why = one_line(plan.failed.seen.status.reason)
        lines.append(f"bench: failed, not tried again: {why}; to try again: deit-launch bench")
    return lines


def _where(plan: BenchPlan) -> str:
    gpus = f", {count(plan.size.gpus, 'GPU')}" if plan.size.gpus else ""
    return f"alone on a machine, {count(plan.size.cpus, 'core')}{gpus}"


def rough_seconds(protocol: BenchProtocol, models: int) -> float:
    """What a measurement takes by its protocol where each of its times is just kept.

    Every quantity is measured at the fixed batch size, at the largest, and for a share of the time
    at each other power of two. Slow machines take longer, as numbers of iterations are kept too.
    """
    others = max(0, math.floor(math.log2(protocol.largest_batch_size)) - 1)
    each = (2 + others * protocol.sweep_share) * (protocol.warmup_s + protocol.timed_s)
    return models * protocol.processes * len(protocol.quantities) * each
