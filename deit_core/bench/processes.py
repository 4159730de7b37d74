"""The same measurement in fresh processes, one after the other."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from multiprocessing.connection import Connection

from deit_core.bench.group import measure_group
from deit_core.bench.raw import RawRecord
from deit_core.bench.watch import StoppedError, Watch
from deit_core.errors import LostProcessError
from deit_core.throughput_records import BenchProtocol, BenchTarget
from deit_core.train.signals import StopRequest

_POLL_S = 0.5
_PATIENCE_S = 20.0
"""How long a process that was told to stop may take to come to the end of a block."""


def measure_in_processes(
    targets: Sequence[BenchTarget], protocol: BenchProtocol, watch: Watch
) -> list[list[RawRecord]]:
    """`measure_group` in as many fresh processes as the protocol asks for; here if that is one.

    Returns:
        the records of each process, in the order of the targets.

    Raises:
        LostProcessError: a process ended without an answer.
        StoppedError: a stop is requested.
    """
    if protocol.processes == 1:
        return [measure_group(targets, protocol, watch)]
    return [_in_fresh_process(targets, protocol, watch) for _ in range(protocol.processes)]


def _in_fresh_process(
    targets: Sequence[BenchTarget], protocol: BenchProtocol, watch: Watch
) -> list[RawRecord]:
    context = multiprocessing.get_context("spawn")  # a fork could not use CUDA
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(there, list(targets), protocol))
    process.start()
    there.close()
    try:
        while not here.poll(_POLL_S):
            watch.tick()
        records: list[RawRecord] = here.recv()
    except EOFError:
        process.join()
        watch.tick()
        raise LostProcessError(
            f"a measuring process ended with exit code {process.exitcode} and no answer; "
            f"its own messages say why"
        ) from None
    finally:
        here.close()
        _end(process)
    watch.tick()
    return records


def _end(process: multiprocessing.context.SpawnProcess) -> None:
    """Have it gone: at the end of its block, or at once if it takes too long."""
    if process.is_alive():
        process.join(1.0)
    if process.is_alive():
        process.terminate()  # its own StopRequest sees that at the next iteration
        process.join(_PATIENCE_S)
    if process.is_alive():
        process.kill()
    process.join()


class _OwnStop:
    """Stops this process at its next iteration once a signal has come, or its parent has gone."""

    def __init__(self) -> None:
        self._stop = StopRequest().install()
        self._parent = os.getppid()

    def tick(self) -> None:
        """Raise StoppedError where it is to stop."""
        if self._stop or os.getppid() != self._parent:
            raise StoppedError


def _child(answer: Connection, targets: Sequence[BenchTarget], protocol: BenchProtocol) -> None:
    try:
        records = measure_group(targets, protocol, _OwnStop())
    except StoppedError:
        return
    answer.send(records)
    answer.close()
