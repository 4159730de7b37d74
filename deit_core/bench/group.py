"""Some models, measured in turn in one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

from deit_core.bench.built import Built, Entry, build, choose_sizes
from deit_core.bench.conditions import Seen, conditions, gpu_state
from deit_core.bench.core_load import CoreLoad
from deit_core.bench.latency import Calls, time_calls_in_turn
from deit_core.bench.memory import collect
from deit_core.bench.peak import matmul_peak_tflops
from deit_core.bench.raw import RawPoint, RawRecord, RawSpeed
from deit_core.bench.rounds import Cell, Pace, measure_in_turn
from deit_core.bench.stage import Stage
from deit_core.bench.subject import describe_teacher, open_subject
from deit_core.bench.watch import StoppedError, Watch
from deit_core.throughput_records import BenchProtocol, BenchTarget, Quantity

_PEAK_S = 0.3
"""How long each size of the matrix product is repeated, at most."""


def measure_group(
    targets: Sequence[BenchTarget],
    protocol: BenchProtocol,
    watch: Watch,
    make_stage: Callable[[], Stage] = Stage,
) -> list[RawRecord]:
    """Measure all quantities of these models: one quantity after the other, the models in turn.

    What goes wrong with one model is noted in its record.

    Args:
        targets: the models; all but the one at work wait in main memory.
        protocol: what to measure.
        watch: looked at between iterations.
        make_stage: makes the device's stage.

    Raises:
        StoppedError: a stop is requested.
    """
    records = [RawRecord(target.key) for target in targets]
    load = CoreLoad()
    entries = []
    for target, raw in zip(targets, records, strict=True):
        with _noting(raw, "config"):
            entries.append(Entry(open_subject(target), raw))
            raw.img_size = entries[-1].subject.image_shape[1]
    _measure_peaks(entries, protocol)
    for quantity in protocol.quantities:
        _measure_quantity(entries, quantity, protocol, make_stage(), watch)
        for entry in entries:
            collect(entry.subject.device)
            if entry.raw.speeds:
                gpu = gpu_state(entry.subject.device)  # while it is still at its working clock
                seen = Seen(gpu, load, entry.peak_tflops, entry.attention)
                entry.raw.conditions = conditions(entry.subject, seen)
    watch.tick()  # the signal that stops a job may have ended a compiler, and so failed a model
    return records


@contextmanager
def _noting(raw: RawRecord, what: str) -> Iterator[None]:
    try:
        yield
    except StoppedError:
        raise
    except Exception as error:  # noqa: BLE001 - one model must not stop the others
        raw.note(what, error)


def _measure_peaks(entries: Sequence[Entry], protocol: BenchProtocol) -> None:
    """The matrix product's peak under each model's conditions, once for all that are alike."""
    known: dict[tuple[object, ...], float] = {}
    for entry in entries:
        subject = entry.subject
        precision = subject.config.train.precision
        key = subject.device, precision, subject.threads
        with _noting(entry.raw, "matrix product"):
            torch.set_num_threads(subject.threads)
            if key not in known:
                timed_s = min(_PEAK_S, protocol.timed_s)
                known[key] = matmul_peak_tflops(subject.device, precision, timed_s=timed_s)
            entry.peak_tflops = known[key]


def _measure_quantity(
    entries: Sequence[Entry],
    quantity: Quantity,
    protocol: BenchProtocol,
    stage: Stage,
    watch: Watch,
) -> None:
    models: list[Built] = []
    for entry in entries:
        with _noting(entry.raw, quantity):
            built = build(entry, quantity)
            built.sizes = choose_sizes(built, quantity, protocol, stage, watch)
            models.append(built)
        stage.clear()
    cells = _measure_cells(models, quantity, protocol, stage, watch)
    if quantity == "inference":
        _measure_latency(models, protocol, stage, watch)
    stage.clear()
    for built in models:
        _keep(built, quantity, cells[built])


def _measure_cells(
    models: Sequence[Built],
    quantity: Quantity,
    protocol: BenchProtocol,
    stage: Stage,
    watch: Watch,
) -> dict[Built, dict[int, Cell]]:
    """By batch size: first the fixed one, then the largest, then what lies between and below."""
    cells: dict[Built, dict[int, Cell]] = {built: {} for built in models}

    def measure(wanted: Callable[[Built], int | None], share: float = 1.0) -> None:
        group = []
        for built in models:
            size = wanted(built)
            if size is None or size in cells[built] or _broken(cells[built]):
                continue
            cells[built][size] = Cell(built.work, size)
            group.append(cells[built][size])
        measure_in_turn(group, Pace.of(protocol, share), stage, watch)

    def sweep_size(size: int) -> Callable[[Built], int | None]:
        return lambda built: size if size in built.sizes.fits else None

    measure(lambda built: built.sizes.fixed(protocol.fixed_batch_size))
    measure(lambda built: built.sizes.largest)
    for size in sorted({size for built in models for size in built.sizes.fits}):
        measure(sweep_size(size), protocol.sweep_share)
    return cells


def _broken(cells: dict[int, Cell]) -> bool:
    return any(cell.broken for cell in cells.values())


def _measure_latency(
    models: Sequence[Built], protocol: BenchProtocol, stage: Stage, watch: Watch
) -> None:
    if protocol.latency_calls < 1:
        return
    calls = {built: Calls(built.work) for built in models}
    time_calls_in_turn(
        list(calls.values()), protocol.latency_calls, Pace.of(protocol), stage, watch
    )
    for built, of_model in calls.items():
        if of_model.error is not None:
            built.entry.raw.note("latency", of_model.error)
        else:
            built.entry.raw.latency_ms = [1000 * seconds for seconds in of_model.seconds]


def _keep(built: Built, quantity: Quantity, cells: dict[int, Cell]) -> None:
    """Put what was measured into the model's record."""
    raw, too_large = built.entry.raw, built.sizes.too_large
    for size, cell in cells.items():
        if cell.error is not None and (cell.broken or len(cells) == 1):
            raw.note(f"{quantity} at batch size {size}", cell.error)
    points = [
        RawPoint(size, tuple(cell.blocks), cell.peak_gib)
        if cell.error is None
        else RawPoint(size, (), None)
        for size, cell in cells.items()
        if not cell.broken
    ]
    if too_large is not None:
        points.append(RawPoint(too_large, (), None))
    if not any(point.blocks for point in points):
        return
    raw.speeds.append(
        RawSpeed(
            quantity=quantity,
            points=tuple(sorted(points, key=lambda point: point.batch_size)),
            flops_per_image=built.flops_per_image,
            teacher=None if quantity == "inference" else describe_teacher(built.entry.subject),
        )
    )
