"""Which batch sizes a search finds."""

from __future__ import annotations

import pytest
import torch

from deit_core.bench import search
from deit_core.bench.search import BatchSizes, find_batch_sizes
from deit_core.bench.watch import StoppedError
from deit_core.throughput_records import BenchProtocol
from tests.deit_core.bench_fakes import FakeWork, Ticks, World


@pytest.fixture(autouse=True)
def plenty_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "peak_gib", lambda device: 1.0)
    monkeypatch.setattr(search, "resident_gib", lambda: 1.0)
    monkeypatch.setattr(search, "available_gib", lambda: 100.0)


def find(
    work: FakeWork, first: int = 1, *, fixed: int = 256, largest: int = 4096, slowest_s: float = 1e9
) -> BatchSizes:
    protocol = BenchProtocol(
        fixed_batch_size=fixed, largest_batch_size=largest, slowest_iteration_s=slowest_s
    )
    sizes = find_batch_sizes(work, first, protocol, work.world.stage(), Ticks())
    return sizes


def work_with(**fields: object) -> FakeWork:
    return FakeWork(World(), "A", **fields)  # type: ignore[arg-type]


def test_it_doubles_until_it_does_not_fit() -> None:
    sizes = find(work_with(room=700))
    assert sizes == BatchSizes((1, 2, 4, 8, 16, 32, 64, 128, 256, 512), too_large=1024)
    assert (sizes.fixed(256), sizes.largest) == (256, 512)


def test_it_ends_at_the_allowed_size() -> None:
    sizes = find(work_with(), largest=64, fixed=16)
    assert sizes == BatchSizes((1, 2, 4, 8, 16, 32, 64))


def test_where_the_fixed_size_does_not_fit_the_largest_takes_its_place() -> None:
    sizes = find(work_with(room=100))
    assert (sizes.fixed(256), sizes.largest, sizes.too_large) == (64, 64, 128)


@pytest.mark.parametrize(("room", "fixed", "largest"), [(1000, 100, 512), (100, 100, 64)])
def test_a_fixed_size_that_is_no_power_of_two(room: int, fixed: int, largest: int) -> None:
    sizes = find(work_with(room=room), fixed=100)
    assert (sizes.fixed(100), sizes.largest) == (fixed, largest)
    assert 100 in sizes.fits


def test_a_start_that_does_not_fit_is_halved() -> None:
    assert find(work_with(room=40), first=256) == BatchSizes((32,), too_large=64)


def test_not_even_one_image() -> None:
    work = work_with(room=0)
    with pytest.raises(torch.OutOfMemoryError):
        find(work)


def test_a_model_that_fails_is_not_taken_for_one_that_is_too_large() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        find(work_with(fails_with=RuntimeError("shapes differ")))


def test_a_cpu_stops_before_it_is_too_slow() -> None:
    """0.01 s an image: 100 images are a second."""
    work = work_with()
    sizes = find(work, slowest_s=1.0)
    assert sizes == BatchSizes((1, 2, 4, 8, 16, 32, 64))
    assert work.world.now < 3.0  # and has not tried how slow the next one is


def test_a_cpu_stops_before_its_memory_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    work = work_with()
    # A GiB for each image, of 100 GiB.
    monkeypatch.setattr(search, "peak_gib", lambda device: 1.0 + (work.batch_size or 0))
    monkeypatch.setattr(search, "available_gib", lambda: 100.0 - (work.batch_size or 0))
    sizes = find(work)
    assert sizes.largest == 64
    monkeypatch.setattr(search, "available_gib", lambda: None)
    assert find(work).largest == 4096


def test_a_stop_is_heard() -> None:
    work = work_with()
    with pytest.raises(StoppedError):
        find_batch_sizes(work, 1, BenchProtocol(), work.world.stage(), Ticks(stop_at=4))
