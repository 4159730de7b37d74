"""Energy: counters are read where the hardware has them, shared, and kept over attempts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from deit_core.records import StatusRecord
from deit_core.run_dir import RunDir
from deit_core.train import energy as energy_module
from deit_core.train import trainer as trainer_module
from deit_core.train.dist import ALONE, Ranks
from deit_core.train.energy import EnergyMeter, open_energy_meter, processor_counter
from deit_core.train.sinks import starting_status

Job = Callable[..., Any]
RunFactory = Callable[..., RunDir]


def _zone(powercap: Path, folder: str, name: str, energy_uj: int, range_uj: int = 10**9) -> Path:
    zone = powercap / folder
    zone.mkdir(parents=True)
    (zone / "name").write_text(f"{name}\n")
    (zone / "energy_uj").write_text(f"{energy_uj}\n")
    (zone / "max_energy_range_uj").write_text(f"{range_uj}\n")
    return zone


def test_packages_and_their_memory_are_added_but_no_part_of_a_package(tmp_path: Path) -> None:
    _zone(tmp_path, "intel-rapl:0", "package-0", 3_000_000)
    _zone(tmp_path, "intel-rapl:0:0", "core", 2_000_000)
    _zone(tmp_path, "intel-rapl:0:1", "dram", 500_000)
    _zone(tmp_path, "intel-rapl:1", "package-1", 1_000_000)
    _zone(tmp_path, "intel-rapl:2", "psys", 9_000_000)
    counter = processor_counter(tmp_path)
    assert counter is not None
    assert counter() == pytest.approx(4.5)


def test_a_counter_that_wraps_around_goes_on(tmp_path: Path) -> None:
    zone = _zone(tmp_path, "intel-rapl:0", "package-0", 9_000_000, range_uj=10_000_000)
    counter = processor_counter(tmp_path)
    assert counter is not None
    meter = EnergyMeter(counter, "rapl", alone=True)
    (zone / "energy_uj").write_text("1000000")
    assert meter.take_alone() == pytest.approx(2.0)
    (zone / "energy_uj").write_text("4000000")
    assert meter.take_alone() == pytest.approx(3.0)


def test_nothing_is_counted_where_nothing_can_be_read(tmp_path: Path) -> None:
    assert processor_counter(tmp_path / "gone") is None
    zone = _zone(tmp_path, "intel-rapl:0", "package-0", 1)
    (zone / "energy_uj").unlink()  # as where only root may read it
    assert processor_counter(tmp_path) is None
    assert EnergyMeter(None, "nvml", alone=True).take(ALONE) == 0


def test_a_reading_that_fails_once_loses_nothing() -> None:
    readings: Iterator[float | None] = iter([10.0, None, 25.0])
    meter = EnergyMeter(lambda: next(readings), "nvml", alone=True)
    assert [meter.take_alone(), meter.take_alone()] == [0.0, 15.0]


class _Gathered(Ranks):
    """Ranks whose others have drawn 5 J, or cannot read."""

    others: Sequence[float] = (5.0,)

    def gather(self, value: Any) -> list[Any]:
        return [value, *self.others]


def test_several_processes_count_when_they_meet() -> None:
    readings: Iterator[float | None] = iter([0.0, 3.0])
    ranks = _Gathered(world=2)
    meter = EnergyMeter(lambda: next(readings), "nvml", alone=False)
    assert meter.take_alone() == 0.0  # it cannot know the others' yet
    assert meter.take(ranks) == 8.0


def test_a_process_that_cannot_read_leaves_no_half_sum() -> None:
    readings: Iterator[float | None] = iter([0.0, 3.0])
    ranks = _Gathered(world=2)
    ranks.__dict__["others"] = (math.nan,)
    assert EnergyMeter(lambda: next(readings), "nvml", alone=False).take(ranks) == 0.0


def test_the_second_process_of_a_machine_does_not_count_its_processors_again() -> None:
    meter = open_energy_meter(torch.device("cpu"), Ranks(rank=1, world=2, local_rank=1))
    assert meter.take(_Gathered(world=2)) == 5.0


def test_energy_and_repeated_steps_outlive_an_attempt() -> None:
    before = StatusRecord(attempt=1, energy_j=7.5, energy_source="rapl", repeated_steps=4)
    status = starting_status(before)
    assert (status.energy_j, status.energy_source, status.repeated_steps) == (7.5, "rapl", 4)


class _Nvml:
    """NVML's functions as ctypes gives them: 0 is success, answers go through pointers."""

    def __init__(self, *, split: bool = False, counts: bool = True) -> None:
        self.split, self.counts = split, counts
        self.joules = 100.0

    def nvmlInit_v2(self) -> int:  # noqa: N802
        return 0

    def nvmlDeviceGetHandleByUUID(self, name: bytes, handle: Any) -> int:  # noqa: N802
        return 0 if name == b"GPU-1234" else 6

    def nvmlDeviceGetMigMode(self, handle: Any, current: Any, pending: Any) -> int:  # noqa: N802
        current._obj.value = int(self.split)
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Any, value: Any) -> int:  # noqa: N802
        value._obj.value = round(1000 * self.joules)
        return 0 if self.counts else 3


class _Gpu:
    uuid = "1234"


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Callable[..., _Nvml]:
    def install(**settings: bool) -> _Nvml:
        library = _Nvml(**settings)
        monkeypatch.setattr(energy_module.ctypes, "CDLL", lambda name: library)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: _Gpu())
        return library

    return install


def test_a_gpu_counts_millijoules(nvml: Callable[..., _Nvml]) -> None:
    library = nvml()
    meter = open_energy_meter(torch.device("cuda", 0), ALONE)
    library.joules += 2.5
    assert (meter.take_alone(), meter.source) == (2.5, "nvml")


@pytest.mark.parametrize("settings", [{"split": True}, {"counts": False}])
def test_a_part_of_a_gpu_and_an_old_gpu_count_nothing(
    nvml: Callable[..., _Nvml], settings: dict[str, bool]
) -> None:
    library = nvml(**settings)
    meter = open_energy_meter(torch.device("cuda", 0), ALONE)
    library.joules += 2.5
    assert meter.take_alone() == 0


def _count_up() -> Callable[[], float]:
    drawn = iter(range(0, 10**6, 10))
    return lambda: float(next(drawn))


def test_a_cohort_shares_what_its_job_draws(
    make_run: RunFactory, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[EnergyMeter] = []

    def open_counting(device: torch.device, ranks: Ranks) -> EnergyMeter:
        opened.append(EnergyMeter(_count_up(), "rapl", alone=True))
        return opened[-1]

    monkeypatch.setattr(trainer_module, "open_energy_meter", open_counting)
    runs = [make_run(f"lr{lr}", optim={"lr": lr}, train={"duration": "2ep"}) for lr in (1e-3, 2e-3)]
    job(*runs)
    shares = [run.read_status().energy_j for run in runs]
    assert len(opened) == 1
    assert shares[0] == shares[1]
    assert shares[0] is not None
    assert shares[0] > 0
    assert shares[0] % 5 == 0  # half of each difference of 10 J


def test_steps_that_no_checkpoint_held_are_counted_once(make_run: RunFactory, job: Job) -> None:
    run = make_run("lost", train={"duration": "2ep"})
    status = StatusRecord(state="running", attempt=1, step=7, total_steps=10, repeated_steps=1)
    run.write_status(status)  # as a killed attempt leaves it, before its first checkpoint
    job(run)
    assert run.read_status().repeated_steps == 8
