"""Works and a clock that take no time of their own, and write down what is asked of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from deit_core.bench.stage import Stage
from deit_core.bench.watch import StoppedError

OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


@dataclass
class World:
    """Time, and what happened."""

    now: float = 0.0
    events: list[str] = field(default_factory=list)

    def stage(self) -> Stage:
        """A stage whose clock is this world's."""
        return Stage(lambda device: FakeClock(self))

    def turns(self) -> list[str]:
        """Names of the timed blocks, in order."""
        return [event.split()[1] for event in self.events if event.startswith("block")]


@dataclass
class FakeClock:
    world: World

    def now_s(self) -> float:
        return self.world.now

    def synchronise(self) -> None:
        self.world.events.append("synchronise")

    def time_s(self, step: Callable[[], None], iterations: int) -> float:
        start = self.world.now
        first = len(self.world.events)
        for _ in range(iterations):
            step()
        stepped = self.world.events[first:]
        name = stepped[0].split()[1]
        assert stepped == [f"step {name}"] * iterations  # nothing waits inside a block
        self.world.events.append(f"block {name} {iterations}")
        return self.world.now - start


@dataclass(eq=False)
class FakeWork:
    """An iteration takes `seconds(batch_size)`; more than `room` images do not fit."""

    world: World
    name: str
    seconds: Callable[[int], float] = lambda size: 0.01 * size
    room: int = 10**9
    fails_with: Exception | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    threads: int = torch.get_num_threads()
    lead_in: int = 1
    batch_size: int | None = None
    on_device: bool = False

    def to_device(self) -> None:
        self.on_device = True

    def to_host(self) -> None:
        assert self.batch_size is None, "it leaves with a batch on the device"
        self.on_device = False

    def load(self, batch_size: int) -> None:
        assert self.on_device
        self.batch_size = batch_size

    def unload(self) -> None:
        self.batch_size = None

    def step(self) -> None:
        assert self.batch_size is not None
        if self.fails_with is not None:
            raise self.fails_with
        if self.batch_size > self.room:
            raise OUT_OF_MEMORY
        self.world.now += self.seconds(self.batch_size)
        self.world.events.append(f"step {self.name}")


@dataclass
class Ticks:
    """A watch that asks to stop at its n-th look."""

    stop_at: int | None = None
    count: int = 0

    def tick(self) -> None:
        self.count += 1
        if self.count == self.stop_at:
            raise StoppedError
