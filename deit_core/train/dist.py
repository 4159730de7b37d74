"""The processes of one job: who leads, what they agree on, what they add up.

One process alone needs no torch.distributed, so every method is then free. Several are started by
torchrun, or by anything that sets RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT.
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
from torch import Tensor

from deit_core.data.shard import Shard
from deit_core.errors import UserError

Result = TypeVar("Result")

_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


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
        """Act in every process; none goes on unless all can.

        Raises:
            UserError: the act did, here or in another process.
        """
        error: UserError | None = None
        result: Any = None
        try:
            result = act()
        except UserError as caught:
            error = caught
        (failed,) = self.any([error is not None])
        if error is not None:
            raise error
        if failed:
            raise UserError("another process of this job cannot go on; its message says why")
        returned: Result = result
        return returned


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
def open_ranks(ranks: Ranks, device: torch.device) -> Iterator[Ranks]:
    """Connect the processes for the time of the block: over NCCL for GPUs, else over gloo.

    Raises:
        UserError: they cannot find each other.
    """
    if ranks.world == 1:
        yield ranks
        return
    on_gpu = device.type == "cuda"
    try:
        dist.init_process_group(
            "nccl" if on_gpu else "gloo",
            rank=ranks.rank,
            world_size=ranks.world,
            device_id=device if on_gpu else None,
        )
        control = dist.new_group(backend="gloo")
    except (RuntimeError, ValueError) as error:
        address = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{ranks.world} processes cannot meet at {address} ({reason}); start them with "
            f"torchrun, or set MASTER_ADDR and MASTER_PORT"
        ) from error
    try:
        yield Ranks(ranks.rank, ranks.world, ranks.local_rank, control)
    finally:
        dist.destroy_process_group()
