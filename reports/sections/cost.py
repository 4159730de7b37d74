"""What it cost: device time, attempts, losses, energy."""

from __future__ import annotations

from collections.abc import Iterator

from reports.context import Context
from reports.cost import ROWS, CostAccount, CostRow, account
from reports.document import Block, Bullets, Cell, Column, Section, Table
from reports.text import NOTHING, count, duration, listing

_CAUSES = {
    "preempted": "preempted by the scheduler",
    "timeout": "out of time",
    "node_failure": "lost with their node",
    "crashed": "crashed",
    "lost": "vanished",
    "gpu_memory": "out of GPU memory",
    "host_memory": "out of memory",
    "diverged": "diverged",
    "cancelled": "cancelled",
    "paused": "paused",
    "user_error": "stopped by a mistake in the config or the data",
}
_SOURCES = {
    "nvml": "the GPUs' own counters, which also count whatever else ran on those GPUs",
    "rapl": "the counters of processors and memory, which count all that ran on those machines",
}


def cost_section(context: Context) -> Section | None:
    """Device time by what became of it; None where nothing has begun."""
    found = account(context.sweep)
    if found is None:
        return None
    blocks: list[Block] = [Bullets(tuple(cost_sentences(found)))]
    if found.units:
        blocks.append(_table(found))
    return Section("cost", "What it cost", tuple(blocks))


def cost_sentences(found: CostAccount) -> Iterator[str]:
    """The account in words."""
    yield from _total(found)
    yield from _attempts(found)
    yield from _losses(found)
    yield from _pruned(found)
    yield from _energy(found)
    yield from _how_counted(found)


def _total(found: CostAccount) -> Iterator[str]:
    if not found.units:
        yield "Device time is not known: no run says on what it trained, or for how long."
        return
    hours = " and ".join(f"{amount(found.total(unit))} {unit}" for unit in found.units)
    wall = ""
    if found.wall_s is not None:
        wall = f", in {duration(found.wall_s)} from the first start to the last end"
    yield f"{count(found.began, 'trial')} took {hours}{wall}."
    teachers = found.rows.get("teacher")
    if teachers is not None and any(teachers.hours.values()):
        share = _hours(teachers, found)
        yield (
            f"Of this, {share} went into {count(teachers.trials, 'teacher')}; what its forward "
            f"passes cost while students train is part of the students' time."
        )
    if found.earlier:
        yield (
            f"{count(found.earlier, 'trial')} had been trained by an earlier sweep and "
            f"{_verb(found.earlier)} reused: the time is counted here too, but is no part of the "
            f"wall time."
        )


def _attempts(found: CostAccount) -> Iterator[str]:
    if not found.attempts:
        return
    repeated = sum(found.again.values())
    if not repeated:
        yield f"Every trial needed one attempt: {count(found.attempts, 'attempt')} in all."
        return
    causes = [
        f"{number} {_CAUSES.get(cause, cause)}" for cause, number in sorted(found.again.items())
    ]
    text = f"{count(found.attempts, 'attempt')}; {repeated} had to be followed by another one"
    waited = f" Between them, trials waited {duration(found.waiting_s)} in all."
    yield f"{text}: {listing(causes)}.{waited if found.waiting_s >= 1 else ''}"


def _losses(found: CostAccount) -> Iterator[str]:
    lost = [(unit, found.lost(unit)) for unit in found.units if found.lost(unit) > 0]
    if lost:
        words = " and ".join(
            f"{amount(hours)} {unit} ({100 * hours / found.total(unit):.2g} %)"
            if found.total(unit)
            else f"{amount(hours)} {unit}"
            for unit, hours in lost
        )
        yield (
            f"Lost to failures: {words}, in steps trained again because no checkpoint held them "
            f"and in attempts that came no further."
        )
    failed = found.rows.get("failed")
    if failed is not None and any(failed.hours.values()):
        yield f"Trials that failed for good took {_hours(failed, found)}."


def _pruned(found: CostAccount) -> Iterator[str]:
    pruned = found.rows.get("pruned")
    if pruned is None:
        return
    share = 100 * found.saved_epochs / found.scheduled_epochs if found.scheduled_epochs else 0.0
    hours = [f"about {amount(value)} {unit}" for unit, value in found.saved_hours.items()]
    at_speed = f", {' and '.join(hours)} at their own speed" if hours else ""
    yield (
        f"Pruning stopped {count(pruned.trials, 'trial')} early, on purpose, and left out "
        f"{found.saved_epochs:.4g} of {found.scheduled_epochs:.4g} scheduled epochs "
        f"({share:.2g} %){at_speed}."
    )


def _energy(found: CostAccount) -> Iterator[str]:
    if found.kwh is None:
        yield "Energy is not known: no run could read a counter of its GPU or its processors."
        return
    whose = "all of them" if found.measured == found.began else f"{found.measured} of them"
    source = " and ".join(_SOURCES[name] for name in sorted(found.sources))
    yield (
        f"Energy drawn while training: {energy(found.kwh)}, measured for {whose}, by {source}. "
        f"The rest of the machines is not included."
    )


def _how_counted(found: CostAccount) -> Iterator[str]:
    units = {
        "GPU-hours": "a GPU-hour is one GPU for one hour",
        "core-hours": "a core-hour is one CPU thread of a run for one hour",
    }
    if found.units:
        text = "; ".join(units[unit] for unit in found.units)
        yield (
            f"{text[0].upper()}{text[1:]}, from the start of a job to its end, with start-up and "
            f"evaluation."
        )
    if found.shared_jobs:
        yield (
            f"{count(found.shared_jobs, 'job')} trained several trials side by side: each is "
            f"counted with an equal share of the job's time and energy."
        )
    if found.untimed:
        yield (
            f"{count(found.untimed, 'attempt')} {_verb(found.untimed)} counted up to the last sign "
            f"of life, as no end has been seen."
        )


def _table(found: CostAccount) -> Table:
    measured = found.kwh is not None
    columns = [Column("what became of it"), Column("trials", True), Column("attempts", True)]
    for unit in found.units:
        columns += [Column(unit, True), Column(f"share of {unit} (%)", True)]
        columns.append(Column(f"of it lost ({unit})", True))
    if measured:
        columns.append(Column("energy (kWh)", True))
    rows = [_row(ROWS[key], row, found) for key, row in found.rows.items()]
    return Table("Device time by what became of it", tuple(columns), tuple(rows), name="cost")


def _row(title: str, row: CostRow, found: CostAccount) -> tuple[Cell, ...]:
    cells = [Cell(title), _count(row.trials), _count(row.attempts)]
    for unit in found.units:
        hours, total = row.hours.get(unit, 0.0), found.total(unit)
        lost = row.lost_hours.get(unit, 0.0)
        cells.append(Cell(amount(hours), value=hours))
        share = 100 * hours / total if total else None
        cells.append(Cell(NOTHING if share is None else f"{share:.1f}", value=share))
        cells.append(Cell(amount(lost), value=lost))
    if found.kwh is not None:
        kwh = row.joules / 3.6e6 if row.measured else None
        cells.append(Cell(NOTHING if kwh is None else f"{kwh:.3g}", value=kwh))
    return tuple(cells)


def _count(number: int) -> Cell:
    return Cell(str(number), value=float(number))


def _hours(row: CostRow, found: CostAccount) -> str:
    return " and ".join(
        f"{amount(row.hours[unit])} {unit}" for unit in found.units if row.hours.get(unit)
    )


def amount(hours: float) -> str:
    """`0.0123`, `1.23`, `12.3`, `1,230`: three significant digits."""
    return f"{float(f'{hours:.3g}'):,.10g}"


def energy(kwh: float) -> str:
    """In a unit that leaves digits before the point."""
    return f"{1000 * kwh:.3g} Wh" if kwh < 1 else f"{amount(kwh)} kWh"


def _verb(number: int) -> str:
    return "was" if number == 1 else "were"
