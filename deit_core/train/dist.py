"""The processes of one job: who leads, what they agree on, what they add up.

One process alone needs no torch.distributed, so every method is then free. Several are started by
the launcher (DEIT_RENDEZVOUS says where they meet), by torchrun, or by anything that sets RANK,
WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from deit_core.data.shard import Shard
from deit_core.errors import LostProcessError, UserError
from deit_core.rendezvous import VARIABLE
from deit_core.train.rendezvous import open_store

Result = TypeVar("Result")

_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
_SIGNS_OF_A_LOST_PROCESS = ("by peer", "Broken pipe", "Read error", "Write error")
"""What gloo says when the process at the other end is gone."""


@dataclass(frozen=True)
class Ranks:
    """This process among those of its job; the first leads, and is the only one that writes."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    control: dist.ProcessGroup | None = None
    """For decisions, on the CPU: they must not wait for a GPU's queue."""

    @property
    def leads(self) -> bool:
        """Whether this process writes the files and talks to the user."""
        return self.rank == 0

    @property
    def shard(self) -> Shard:
        """Which rows of a batch, and which batches of val, are this process's."""
        return Shard(self.rank, self.world)

    def any(self, flags: Sequence[bool]) -> list[bool]:
        """Each flag as soon as one process has it."""
        if self.world == 1:
            return list(flags)
        raised = torch.tensor(flags, dtype=torch.uint8)
        dist.all_reduce(raised, op=dist.ReduceOp.MAX, group=self.control)
        return [bool(flag) for flag in raised.tolist()]

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def mean(self, values: Tensor) -> Tensor:
        """The mean over all processes, in place."""
        return self.sum(values).div_(self.world) if self.world > 1 else values

    def gather(self, value: Result) -> list[Result]:
        """Every process's value, by rank."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value, group=self.control)
        return values

    def lead(self, act: Callable[[], Result]) -> Result:
        """Act in the first process and tell its result to all.

        Raises:
            UserError: as the act did. The other processes leave with it, without a word.
        """
        if self.world == 1:
            return act()
        told: list[Any] = [None, None]
        error: UserError | None = None
        if self.leads:
            try:
                told[0] = act()
            except UserError as caught:
                error, told[1] = caught, str(caught)
        dist.broadcast_object_list(told, src=0, group=self.control)
        if error is not None:
            raise error
        if told[1] is not None:
            sys.exit(2)
        result: Result = told[0]
        return result

    def together(self, act: Callable[[], Result]) -> Result:
        """Act in every process, without collectives; none goes on unless all can.

        Raises:
            UserError: the act did, here or in another process. Where all say the same, the others
                leave it to the first process to say it.
        """
        if self.world == 1:
            return act()
        error: UserError | None = None
        result: Any = None
        try:
            result = act()
        except UserError as caught:
            error = caught
        reasons = self.gather(None if error is None else str(error))
        if error is not None and not self.leads and reasons[0] == str(error):
            sys.exit(2)
        if error is not None:
            raise error
        for rank, reason in enumerate(reasons):
            if reason is not None:
                raise UserError(f"process {rank} of the job cannot go on: {reason}")
        returned: Result = result
        return returned

    @torch.no_grad()
    def align_buffers(self, module: nn.Module) -> None:
        """Give all processes the first one's buffers: statistics of batch normalisation differ."""
        if self.world > 1:
            for buffer in module.buffers():
                dist.broadcast(buffer, src=0)


ALONE = Ranks()
"""The only process of its job."""


def ranks_of(environ: Mapping[str, str]) -> Ranks:
    """Rank and world size that a launcher has put into the environment; alone without them.

    Raises:
        UserError: variables that contradict each other.
    """
    if "WORLD_SIZE" not in environ:
        return ALONE
    try:
        rank, world, local_rank = (int(environ[name]) for name in _VARIABLES)
    except (KeyError, ValueError):
        given = ", ".join(f"{name}={environ.get(name)}" for name in _VARIABLES)
        raise UserError(f"{given} is set; set all three to numbers, as torchrun does") from None
    if not 0 <= rank < world:
        raise UserError(f"RANK={rank} is not below WORLD_SIZE={world}; start with torchrun")
    return Ranks(rank, world, local_rank)


@contextmanager
def open_ranks(ranks: Ranks, *, on_gpu: bool) -> Iterator[Ranks]:
    """Connect the processes for the time of the block: over NCCL for GPUs, else over gloo.

    Raises:
        UserError: they cannot find each other.
        LostProcessError: one of them, or what started them, is gone.
    """
    if ranks.world == 1:
        yield ranks
        return
    control = _connect(ranks, "nccl" if on_gpu else "gloo")
    try:
        yield Ranks(ranks.rank, ranks.world, ranks.local_rank, control)
    finally:
        dist.destroy_process_group()


def _connect(ranks: Ranks, backend: str) -> dist.ProcessGroup | None:
    """Make the processes one group; returns the one for decisions."""
    met = VARIABLE in os.environ
    store = open_store(os.environ, ranks.rank, ranks.world) if met else None
    try:
        dist.init_process_group(backend, store=store, rank=ranks.rank, world_size=ranks.world)
        control: dist.ProcessGroup | None = dist.new_group(backend="gloo")
        return control
    except (RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        if met:
            raise LostProcessError(
                f"{ranks.world} processes met, but cannot talk to each other ({reason})"
            ) from error
        address = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise UserError(
            f"{ranks.world} processes cannot meet at {address} ({reason}); start them with "
            f"torchrun, or set MASTER_ADDR and MASTER_PORT"
        ) from error


@contextmanager
def name_lost_processes(ranks: Ranks) -> Iterator[None]:
    """Say in one line what gloo says in many.

    Raises:
        LostProcessError: another process ended inside the block.
    """
    try:
        yield
    except RuntimeError as error:
        if ranks.world == 1 or not any(sign in str(error) for sign in _SIGNS_OF_A_LOST_PROCESS):
            raise
        raise LostProcessError(
            "another process of this job ended; its messages, or the system's log, say why"
        ) from error
