"""Loader processes: they make batches ahead, and never outlive or disturb the training process."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, Dataset

from deit_core.cores import job_cores
from deit_core.data.fetch import RawBatch
from deit_core.errors import DataError

MAX_DEFAULT_WORKERS = 8
CHEAP_SIDE = 64
"""Up to this side, in pixels, augmenting an image costs little more than copying it."""

_STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2}


class Fetcher(Protocol):
    """Makes the batch of a number; see `deit_core.data.fetch`."""

    def __getitem__(self, number: int) -> RawBatch:
        """Make the batch of one number."""


def default_workers(*, in_memory: bool, img_size: int) -> int:
    """Loader processes when the config names none.

    None for small images in memory, which are faster to make than to send; else a process for each
    core of the job but the trainer's own, at most 8.
    """
    if in_memory and img_size <= CHEAP_SIDE:
        return 0
    return min(max(job_cores(os.environ) - 1, 1), MAX_DEFAULT_WORKERS)


def fetch_all(
    fetcher: Fetcher, numbers: Sequence[int], *, workers: int, pin_memory: bool = False
) -> Generator[RawBatch, None, None]:
    """The batches of all `numbers`, in order; the same whatever the number of workers.

    Args:
        fetcher: makes a batch.
        numbers: which batches.
        workers: processes that make them ahead; 0 makes them here, when they are asked for.
        pin_memory: put them in page-locked memory, from which copies to a GPU are asynchronous.

    Raises:
        DataError: as the fetcher does, also when it runs in another process.
    """
    workers = min(workers, len(numbers))
    if workers == 0:
        for number in numbers:
            yield fetcher[number]
        return
    with _start_of_workers():
        loader = DataLoader(
            _DataErrorAsValue(fetcher),
            batch_size=None,  # the fetcher makes whole batches
            sampler=numbers,
            num_workers=workers,
            collate_fn=_unchanged,
            pin_memory=pin_memory,
            generator=torch.Generator(),  # else one number is drawn from the global generator
            multiprocessing_context="fork" if sys.platform == "linux" else None,
        )
        batches = iter(loader)
    # Workers do not hear SIGTERM, so where a crash keeps this generator from being closed they must
    # be let go before multiprocessing's own exit handler waits for them.
    shutdown = getattr(batches, "_shutdown_workers", None)
    if shutdown is not None:
        atexit.register(shutdown)
    try:
        for batch in batches:
            if isinstance(batch, DataError):
                raise batch
            yield batch
    finally:
        if shutdown is not None:
            shutdown()
            atexit.unregister(shutdown)


class _DataErrorAsValue(Dataset[RawBatch | DataError]):
    """Hands a DataError over whole; torch would add the worker's traceback to its message."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher

    def __getitem__(self, number: int) -> RawBatch | DataError:
        try:
            return self._fetcher[number]
        except DataError as error:
            return error


def _unchanged(batch: Any) -> Any:
    return batch


@contextmanager
def _start_of_workers() -> Iterator[None]:
    """Workers started inside inherit blocked stop signals.

    A scheduler or Ctrl-C signals the whole process group. The training process is to checkpoint
    and leave; a worker that died first would take it down with an error. Workers end when the
    training process closes them, and within seconds after it is killed.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        with warnings.catch_warnings():
            # Python 3.12 warns of any fork beside threads. These workers only decode: they take no
            # lock that torch's or the writer's threads could have held.
            warnings.filterwarnings("ignore", ".*fork.*", DeprecationWarning)
            # More workers than cores are what data.workers asks for.
            warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
