"""Which batch sizes to measure: powers of two, until memory or patience runs out."""

from __future__ import annotations

import gc
from dataclasses import dataclass

from deit_core.bench.memory import (
    available_gib,
    forget_peak,
    is_out_of_memory,
    peak_gib,
    resident_gib,
)
from deit_core.bench.stage import Stage
from deit_core.bench.watch import Watch
from deit_core.bench.work import Work
from deit_core.throughput_records import BenchProtocol

_KEPT_FREE = 0.9
"""Share of a computer's free memory that a search may fill; a system without any stands still."""


@dataclass(frozen=True)
class BatchSizes:
    """What a search found."""

    fits: tuple[int, ...]
    """Ascending."""
    too_large: int | None = None
    """The first that did not fit; None where the search ended for another reason."""

    def fixed(self, wanted: int) -> int:
        """The wanted size, or the largest that fits where that is smaller."""
        return max((size for size in self.fits if size <= wanted), default=self.fits[0])

    @property
    def largest(self) -> int:
        """The largest power of two that fits, or is allowed."""
        return max((size for size in self.fits if size & (size - 1) == 0), default=self.fits[-1])


def find_batch_sizes(
    work: Work, first: int, protocol: BenchProtocol, stage: Stage, watch: Watch
) -> BatchSizes:
    """Double the batch until it no longer fits; the protocol's fixed size is tried too.

    Args:
        work: what is to run.
        first: where to start: 1, or a size near the fixed one where each size costs a compilation;
            halved until it fits.
        protocol: the largest size to try, and what is too slow on a CPU.
        stage: the device.
        watch: looked at before each size.

    Raises:
        RuntimeError: not even a single image fits.
        StoppedError: a stop is requested.
    """
    while (fits := _go_on(work, first, protocol, stage, watch)) is None:
        first //= 2
    sizes, too_large = [first], None
    while fits and sizes[-1] * 2 <= protocol.largest_batch_size:
        grown = _go_on(work, sizes[-1] * 2, protocol, stage, watch)
        if grown is None:
            too_large = sizes[-1] * 2
            break
        sizes.append(sizes[-1] * 2)
        fits = grown
    fixed = protocol.fixed_batch_size
    if sizes[0] < fixed < (too_large or sizes[-1]) and fixed not in sizes:
        if _go_on(work, fixed, protocol, stage, watch) is None:
            too_large = min(too_large or fixed, fixed)
        else:
            sizes = sorted([*sizes, fixed])
    return BatchSizes(tuple(sizes), too_large)


def _go_on(
    work: Work, size: int, protocol: BenchProtocol, stage: Stage, watch: Watch
) -> bool | None:
    """Try a size: whether twice as much is worth a try; None where not even this fits.

    Raises:
        RuntimeError: a single image does not fit.
    """
    watch.tick()
    try:
        return _try(work, size, protocol, stage)
    except (RuntimeError, MemoryError) as error:
        if size == 1 or not is_out_of_memory(error):
            raise
    stage.clear()
    gc.collect()
    return None


def _try(work: Work, size: int, protocol: BenchProtocol, stage: Stage) -> bool:
    """Run a size twice, as the first run may compile, and choose among kernels."""
    before_gib = resident_gib()
    clock = stage.enter(work, size)
    forget_peak(work.device)
    work.step()
    clock.synchronise()
    start = clock.now_s()
    work.step()
    clock.synchronise()
    seconds = clock.now_s() - start
    if work.device.type == "cuda":
        return True  # running out of memory there is an exception, and cheap
    if 2 * seconds > protocol.slowest_iteration_s:
        return False
    peak, free = peak_gib(work.device), available_gib()
    if before_gib is None or peak is None or free is None:
        return True
    return 2 * (peak - before_gib) <= _KEPT_FREE * (free + peak - before_gib)
