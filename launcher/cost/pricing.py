"""The cost of one job, from the work in it and what is known of its device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from deit_core.config import DataConfig, RunConfig
from deit_core.data_layout import Split
from launcher.cost.disk import disk_gib
from launcher.cost.interval import ZERO, Interval
from launcher.cost.memory import memory_of
from launcher.cost.prediction import JobCost, TrialCost
from launcher.cost.rates import Rates, newest_name, rates_on
from launcher.cost.records import Device, JobRecord, same_data
from launcher.cost.workload import (
    Workload,
    job_flops,
    published_size,
    work_per_student,
    workload_of,
)
from launcher.expand import Trial

HOUR_S = 3600.0

DECODED_PER_CORE_S = Interval(150.0, 250.0, 600.0)
"""JPEG images of ImageNet's size that a core decodes, crops and augments in a second. Timm's
transforms with the recipe of DeiT do 240 to 265 on one core of an EPYC 9004; low: older cores;
high: without RandAugment."""

_IN_MEMORY = frozenset({"digits", "fashion_mnist", "cifar10", "cifar100"})
"""Sources whose images are small and need no decoding."""


class JobToPrice(Protocol):
    """A planned job."""

    @property
    def trials(self) -> tuple[Trial, ...]:
        """Trained side by side."""

    @property
    def after(self) -> tuple[str, ...]:
        """Ids of trials that must be completed first."""

    @property
    def cpus(self) -> int:
        """Cores of all processes together."""

    @property
    def gpus(self) -> int:
        """GPUs of all processes together."""

    @property
    def processes(self) -> int:
        """Processes that train together."""


@dataclass(frozen=True)
class Site:
    """Where the jobs will run, and what is known of it."""

    slots: int | None
    """Jobs that run at once; None when only a scheduler knows."""
    cpu_name: str | None = None
    """Of this machine, where the jobs run on it."""
    records: Sequence[JobRecord] = ()
    """Finished jobs, newest first."""
    free_gib: float | None = None
    """Space in the runs folder."""
    mem_gb: float | None = None
    """Memory of a job on all its nodes, in GB."""
    time_limit_s: float | None = None
    """Of a job."""
    progress: Mapping[str, float] = field(default_factory=dict)
    """Share (0-1) of its steps that a trial to resume has behind it."""


class Pricing:
    """Remembers what is the same for many trials."""

    def __init__(self, site: Site, trained: Mapping[str, RunConfig]) -> None:
        self.site = site
        self.trained = trained
        self._loads: dict[str, Workload | str] = {}
        self._rates: dict[Device, Rates] = {}
        self._sizes: dict[tuple[DataConfig, Split], int | None] = {}

    def load(self, trial: Trial) -> Workload | str:
        """The work of a trial, or what of it is unknown."""
        if trial.group_id not in self._loads:
            self._loads[trial.group_id] = workload_of(trial.config, self.trained, self._size_of)
        return self._loads[trial.group_id]

    def _size_of(self, data: DataConfig, split: Split) -> int | None:
        data = same_data(data)
        key = (data, split)
        if key not in self._sizes:
            seen = (record.sizes[split] for record in self.site.records if record.data == data)
            known = next(seen, None)
            self._sizes[key] = published_size(data, split) if known is None else known
        return self._sizes[key]

    def rates(self, job: JobToPrice) -> Rates:
        """What is known of the device that a job will compute on."""
        train = job.trials[0].config.train
        kind = "cuda" if job.gpus and train.device != "cpu" else "cpu"
        name = newest_name(kind, self.site.records)
        threads = 0
        if kind == "cpu":
            name = self.site.cpu_name or name
            threads = train.threads or max(1, job.cpus // job.processes)
        device = Device(kind, name, threads, train.precision)
        if device not in self._rates:
            self._rates[device] = rates_on(device, self.site.records)
        return self._rates[device]

    def price(self, job: JobToPrice) -> PricedJob | str:
        """One job, or what of it is unknown."""
        found = [self.load(trial) for trial in job.trials]
        loads = [load for load in found if isinstance(load, Workload)]
        if len(loads) < len(found):
            return next(load for load in found if isinstance(load, str))
        rates = self.rates(job)
        left = 1 - min(self.site.progress.get(trial.trial_id, 0.0) for trial in job.trials)
        steps, many = loads[0].steps * left, len(loads)
        work = work_per_student(loads, job.processes)
        groups = frozenset(trial.group_id for trial in job.trials)
        step, basis = rates.step_seconds(work, groups)
        computing = step * (many * steps)
        reading = ZERO if basis == "same settings" else _reading(loads[0], job.cpus) * steps
        training = _slower(computing, reading)
        evaluating = rates.evaluation_seconds(
            sum(load.evaluation_flops for load in loads) * left / job.processes, step * (1 / work)
        )
        teaching = max(load.teacher_flops for load in loads) / job_flops(loads)
        return PricedJob(
            job=job,
            loads=tuple(loads),
            rates=rates,
            cost=JobCost(
                seconds=training + evaluating + rates.startup_seconds,
                basis=basis,
                saved_seconds=(computing * teaching + rates.startup_seconds) * (many - 1),
                memory_gib=memory_of(
                    [(load.config, load.student) for load in loads],
                    next((load.teacher for load in loads if load.teacher), None),
                    job.processes,
                ),
            ),
            reads_first=reading.point > computing.point,
        )


def _reading(load: Workload, cores: int) -> Interval:
    """Seconds to read and augment one batch."""
    if load.config.data.source in _IN_MEMORY:
        return ZERO
    images = load.config.train.global_batch_size / max(1, cores)
    rate = DECODED_PER_CORE_S
    return Interval(images / rate.high, images / rate.point, images / rate.low)


def _slower(one: Interval, other: Interval) -> Interval:
    """The time of two things that go on at once."""
    return Interval(max(one.low, other.low), max(one.point, other.point), max(one.high, other.high))


@dataclass(frozen=True)
class PricedJob:
    """A job with its cost, and what that was made of."""

    job: JobToPrice
    loads: tuple[Workload, ...]
    rates: Rates
    cost: JobCost
    reads_first: bool
    """Whether reading the images is predicted to take longer than computing on them."""

    @cached_property
    def units(self) -> int:
        """GPUs, or cores of a job without any."""
        return self.job.gpus or self.job.cpus

    @cached_property
    def hours(self) -> Interval:
        """GPU-hours or core-hours."""
        return self.cost.seconds * (self.units / HOUR_S)

    def trials(self) -> dict[str, TrialCost]:
        """Each trial's share, by its part of the arithmetic; the teacher's is shared equally."""
        whole, many = job_flops(self.loads), len(self.loads)
        teacher = max(load.teacher_flops for load in self.loads) / many
        return {
            trial.trial_id: TrialCost(
                self.hours * ((load.student_flops + teacher) / whole), disk_gib(load)
            )
            for trial, load in zip(self.job.trials, self.loads, strict=True)
        }
