"""How blocks are measured: counts and times reached, models in turn, failures kept apart."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from deit_core.bench.latency import Calls, time_calls_in_turn
from deit_core.bench.memory import is_out_of_memory
from deit_core.bench.rounds import Cell, Pace, measure_in_turn
from deit_core.bench.watch import StoppedError
from tests.deit_core.bench_fakes import OUT_OF_MEMORY, FakeWork, Ticks, World

PACE = Pace(warmup_s=1.0, warmup_iterations=10, timed_s=2.0, timed_iterations=30, blocks=5)


def cells_of(world: World, **seconds: float) -> list[Cell]:
    return [
        Cell(FakeWork(world, name, lambda size, s=each: s), batch_size=4)
        for name, each in seconds.items()
    ]


def measure(cells: list[Cell], world: World, pace: Pace = PACE) -> None:
    measure_in_turn(cells, pace, world.stage(), Ticks())


def test_models_take_turns_block_by_block() -> None:
    world = World()
    measure(cells_of(world, A=0.01, B=0.02, C=0.03), world)
    assert world.turns() == ["A", "B", "C"] * 5


@pytest.mark.parametrize("seconds", [0.0001, 0.01, 0.05, 0.3, 7.0])
def test_time_and_count_are_both_reached(seconds: float) -> None:
    world = World()
    (cell,) = cells_of(world, A=seconds)
    measure([cell], world)
    warmup = world.events[: world.events.index("block A " + str(cell.blocks[0].iterations))]
    untimed = warmup.count("step A") - cell.blocks[0].iterations
    assert untimed >= 10
    assert untimed * seconds >= 1.0 - 1e-9
    assert len(cell.blocks) >= 5
    assert cell.iterations >= 30
    assert cell.seconds >= 2.0 - 1e-9
    assert cell.iterations <= max(30, 2.0 / seconds) * 1.2 + 1  # nor much longer than asked


def test_a_model_that_speeds_up_after_its_warm_up_is_timed_for_longer() -> None:
    world = World()
    slow_first = FakeWork(world, "A", lambda size: 0.1 if world.now < 1.2 else 0.001)
    cell = Cell(slow_first, batch_size=4)
    measure([cell], world)
    assert cell.seconds >= 2.0 - 1e-9
    assert len(cell.blocks) > 5


def test_blocks_are_synchronised_once_and_begin_untimed() -> None:
    """`FakeClock.time_s` checks that nothing waits inside a block."""
    world = World()
    cells = cells_of(world, A=0.01, B=0.01)
    cells[0].work.lead_in = 3  # type: ignore[misc]
    measure(cells, world)
    per_block = cells[0].blocks[0].iterations
    ends = [number for number, event in enumerate(world.events) if event.startswith("block")]
    later_blocks_of_a = [
        world.events[before + 1 : end].count("step A")
        for before, end in pairwise(ends)
        if world.events[end].startswith("block A")
    ]
    assert later_blocks_of_a == [per_block + 3] * 4


def test_only_the_model_at_work_is_on_the_device() -> None:
    world = World()
    cells = cells_of(world, A=0.01, B=0.01, C=0.01)
    works = [cell.work for cell in cells]

    class Looking(Ticks):
        def tick(self) -> None:
            assert sum(work.on_device for work in works) <= 1  # type: ignore[attr-defined]

    measure_in_turn(cells, PACE, world.stage(), Looking())


@pytest.mark.parametrize("error", [OUT_OF_MEMORY, ValueError("shapes differ")])
def test_what_fails_leaves_the_others(error: Exception) -> None:
    world = World()
    good, bad, other = cells_of(world, A=0.01, B=0.01, C=0.01)
    bad.work.fails_with = error  # type: ignore[attr-defined]
    measure([good, bad, other], world)
    assert world.turns() == ["A", "C"] * 5
    assert bad.error is error
    assert bad.broken is (error is not OUT_OF_MEMORY)
    assert good.error is None
    assert not bad.work.on_device  # type: ignore[attr-defined]


def test_a_stop_is_heard_between_iterations_and_is_no_failure() -> None:
    world = World()
    cells = cells_of(world, A=1.0, B=1.0)
    with pytest.raises(StoppedError):
        measure_in_turn(cells, PACE, world.stage(), Ticks(stop_at=3))
    assert world.events.count("step A") == 2
    assert cells[0].error is None


def test_calls_are_timed_one_by_one_in_turn() -> None:
    world = World()
    slow, fast = (
        FakeWork(world, name, lambda size, s=s: s) for name, s in (("A", 0.2), ("B", 0.1))
    )
    models = [Calls(slow), Calls(fast)]
    time_calls_in_turn(models, 23, PACE, world.stage(), Ticks())
    assert models[0].seconds == pytest.approx([0.2] * 23)
    assert models[1].seconds == pytest.approx([0.1] * 23)
    steps = [event for event in world.events if event.startswith("step")]
    order = [name for name, after in pairwise([*steps, "end"]) if name != after]
    assert order == ["step A", "step B"] * 5


def test_calls_of_a_model_that_fails_leave_the_others() -> None:
    world = World()
    models = [Calls(FakeWork(world, "A", fails_with=ValueError("no"))), Calls(FakeWork(world, "B"))]
    time_calls_in_turn(models, 5, PACE, world.stage(), Ticks())
    assert isinstance(models[0].error, ValueError)
    assert len(models[1].seconds) == 5


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OUT_OF_MEMORY, True),
        (MemoryError(), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
            True,
        ),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_running_out_of_memory_has_many_names(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_the_cpu_allocators_own_error_is_one_of_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
