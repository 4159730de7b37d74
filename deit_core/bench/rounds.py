"""Measuring in turn: A B C A B C, so that heat and drift touch all models alike."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from deit_core.bench.device_clock import DeviceClock
from deit_core.bench.memory import forget_peak, is_out_of_memory, peak_gib
from deit_core.bench.stage import Stage
from deit_core.bench.watch import StoppedError, Watch
from deit_core.bench.work import Work
from deit_core.throughput_records import BenchProtocol

_SPARE = 1.05
"""Blocks are planned a little longer, or half of all cells would lack a moment at the end."""


@dataclass(frozen=True)
class Pace:
    """How long to warm up, and to measure, at one batch size."""

    warmup_s: float
    warmup_iterations: int
    timed_s: float
    timed_iterations: int
    blocks: int

    @classmethod
    def of(cls, protocol: BenchProtocol, share: float = 1.0) -> Pace:
        """The protocol's pace, or a share of it."""
        return cls(
            warmup_s=protocol.warmup_s * share,
            warmup_iterations=max(1, math.ceil(protocol.warmup_iterations * share)),
            timed_s=protocol.timed_s * share,
            timed_iterations=max(1, math.ceil(protocol.timed_iterations * share)),
            blocks=protocol.blocks,
        )


@dataclass(frozen=True)
class Block:
    """Iterations that were timed together."""

    iterations: int
    seconds: float


@dataclass(eq=False)
class Cell:
    """One model at one batch size, and what was found."""

    work: Work
    batch_size: int
    blocks: list[Block] = field(default_factory=list)
    peak_gib: float | None = None
    error: Exception | None = None
    """What ended it: an error of memory where it does not fit."""

    @property
    def broken(self) -> bool:
        """Whether it failed for another reason than too little memory."""
        return self.error is not None and not is_out_of_memory(self.error)

    @property
    def iterations(self) -> int:
        """Timed so far."""
        return sum(block.iterations for block in self.blocks)

    @property
    def seconds(self) -> float:
        """Timed so far."""
        return sum(block.seconds for block in self.blocks)


def measure_in_turn(cells: Sequence[Cell], pace: Pace, stage: Stage, watch: Watch) -> None:
    """Warm each cell up, then measure a block of each in turn until all have enough.

    What fails is noted in its cell, and the others go on.

    Raises:
        StoppedError: a stop is requested.
    """
    lengths: dict[Cell, int] = {}
    for cell in cells:
        with noting(cell, stage):
            lengths[cell] = _warm_up(cell, pace, stage, watch)
    while unfinished := [cell for cell in cells if not _has_enough(cell, pace)]:
        for cell in unfinished:
            watch.tick()
            with noting(cell, stage):
                _measure_block(cell, lengths[cell], stage)


def _has_enough(cell: Cell, pace: Pace) -> bool:
    return cell.error is not None or (
        len(cell.blocks) >= pace.blocks
        and cell.iterations >= pace.timed_iterations
        and cell.seconds >= pace.timed_s
    )


def _warm_up(cell: Cell, pace: Pace, stage: Stage, watch: Watch) -> int:
    """Run untimed until time and count are reached; returns the iterations of a block."""
    clock = stage.enter(cell.work, cell.batch_size)
    forget_peak(cell.work.device)
    start = clock.now_s()
    count, latest_s = 0, 0.0
    while count < pace.warmup_iterations or clock.now_s() - start < pace.warmup_s:
        watch.tick()
        latest_s = _one(clock, cell.work)
        count += 1
    cell.peak_gib = peak_gib(cell.work.device)
    by_count = math.ceil(pace.timed_iterations / pace.blocks)
    by_time = math.ceil(_SPARE * pace.timed_s / pace.blocks / latest_s) if latest_s > 0 else 1
    return max(1, by_count, by_time)


def _one(clock: DeviceClock, work: Work) -> float:
    """Seconds of one iteration, waited for."""
    start = clock.now_s()
    work.step()
    clock.synchronise()
    return clock.now_s() - start


def _measure_block(cell: Cell, iterations: int, stage: Stage) -> None:
    clock = stage.enter(cell.work, cell.batch_size)
    for _ in range(cell.work.lead_in):
        cell.work.step()
    cell.blocks.append(Block(iterations, clock.time_s(cell.work.step, iterations)))


class Failing(Protocol):
    """Has a place for what went wrong with it."""

    error: Exception | None


@contextmanager
def noting(one: Failing, stage: Stage) -> Iterator[None]:
    """Keep what goes wrong with one, and clear the stage, so that the others can go on."""
    try:
        yield
    except StoppedError:
        raise
    except Exception as error:  # noqa: BLE001 - one model must not stop the others
        # The traceback holds the frames, and with them the tensors that did not fit.
        one.error = error.with_traceback(None)
    if one.error is not None:
        stage.clear()
        gc.collect()
