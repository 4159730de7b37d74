"""A predicted cost in a few lines."""

from __future__ import annotations

from launcher.cost.interval import LEVEL, Interval
from launcher.cost.prediction import Cost
from launcher.cost.pricing import HOUR_S
from launcher.text import count, duration


def cost_lines(cost: Cost) -> list[str]:
    """Compute, wall time, disk, memory, what cohorts save, and what all that is based on."""
    lines = [f"cost unknown for {count(n, 'trial')}: {what}" for what, n in cost.unknown.items()]
    if not cost.trials:
        return lines
    lines += [_compute(cost), _wall(cost), _disk(cost)]
    if cost.saved_hours.point > 0:
        lines.append(_saving(cost))
    lines.append(f"based on: {'; '.join(cost.basis)} ({LEVEL:.0%} intervals)")
    return lines + [f"note: {note}" for note in cost.notes]


def _compute(cost: Cost) -> str:
    each = sorted(share.hours.point for share in cost.trials.values())
    unit, factor = _unit(cost)
    first, last = (_number(hours * factor) for hours in (each[0], each[-1]))
    one = first if first == last else f"{first} to {last}"
    line = f"compute: {_span(cost.hours * factor)} {unit}, {one} a trial"
    if not cost.teacher_share:
        return line
    students = f"students {1 - cost.teacher_share:.0%}, teacher {cost.teacher_share:.0%}"
    return f"{line}; {students} of the arithmetic"


def _unit(cost: Cost) -> tuple[str, float]:
    """The unit that suits the total, and how many of it an hour has."""
    if cost.hours.point >= 1:
        return cost.unit, 1.0
    return cost.unit.replace("hours", "minutes"), 60.0


def _wall(cost: Cost) -> str:
    wall = cost.wall_seconds
    if wall is None:
        return "wall time: unknown"
    return (
        f"wall time: {duration(wall.point)} ({duration(wall.low)} to {duration(wall.high)}), "
        f"without waiting in a queue"
    )


def _disk(cost: Cost) -> str:
    disk, memory = cost.disk_gib, [job.memory_gib for job in cost.jobs if job is not None]
    free = "" if cost.free_gib is None else f" of {bytes_text(cost.free_gib)} free"
    most = max(memory, key=lambda need: need.point)
    return f"disk: {_sizes(disk)}{free}; memory: up to {_sizes(most)} a process"


def _saving(cost: Cost) -> str:
    jobs = [job for job in cost.jobs if job is not None]
    asked = " and the teacher is asked" if cost.teacher_share else ""
    unit, factor = _unit(cost)
    return (
        f"cohorts: {_span(cost.saved_hours * factor)} {unit} less than one job for each trial; "
        f"the images are read{asked} in {count(len(jobs), 'job')} instead of {len(cost.trials):,}"
    )


def hours_text(hours: Interval) -> str:
    """A trial's time for a table."""
    low, point, high = (duration(HOUR_S * value) for value in (hours.low, hours.point, hours.high))
    return f"{point} ({low} to {high})"


def _span(amount: Interval) -> str:
    return f"{_number(amount.point)} ({_number(amount.low)} to {_number(amount.high)})"


def _number(value: float) -> str:
    """Two significant digits."""
    return f"{float(f'{value:.2g}'):,.0f}" if value >= 10 else f"{value:.2g}"


def _sizes(size: Interval) -> str:
    return f"{bytes_text(size.point)} ({bytes_text(size.low)} to {bytes_text(size.high)})"


def bytes_text(gib: float) -> str:
    """`4.2 GiB`, `310 MiB`."""
    if gib >= 1024:
        return f"{_number(gib / 1024)} TiB"
    return f"{_number(gib)} GiB" if gib >= 1 else f"{_number(gib * 1024)} MiB"
