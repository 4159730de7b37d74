"""Predict what the jobs of a plan will cost. Pure: what is known of earlier runs is given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from launcher.cost.devices import UNKNOWN_GPU, find_gpu
from launcher.cost.interval import Interval, total
from launcher.cost.makespan import makespan
from launcher.cost.prediction import Basis, Cost
from launcher.cost.pricing import HOUR_S, JobToPrice, PricedJob, Pricing, Site
from launcher.cost.records import Device
from launcher.cost.workload import job_flops
from launcher.expand import Trial


def predict(jobs: Sequence[JobToPrice], trials: Iterable[Trial], site: Site) -> Cost:
    """The cost of jobs.

    Args:
        jobs: in the order they are submitted in, at least one.
        trials: of the whole sweep, for the configs of teachers.
        site: where they will run.
    """
    trained = {trial.trial_id: trial.config for trial in trials if trial.role == "teacher"}
    pricing = Pricing(site, trained)
    found = [pricing.price(job) for job in jobs]
    priced = [one for one in found if isinstance(one, PricedJob)]
    shares = {trial_id: share for one in priced for trial_id, share in one.trials().items()}
    unknown: Counter[str] = Counter()
    for job, one in zip(jobs, found, strict=True):
        if isinstance(one, str):
            unknown[one] += len(job.trials)
    disk = total(share.disk_gib for share in shares.values())
    flops = sum(job_flops(one.loads) * one.loads[0].steps for one in priced)
    taught = sum(
        max(load.teacher_flops for load in one.loads) * one.loads[0].steps for one in priced
    )
    return Cost(
        unit=_unit(jobs),
        hours=total(one.hours for one in priced),
        wall_seconds=None if unknown else _wall(jobs, priced, site.slots),
        disk_gib=disk,
        free_gib=site.free_gib,
        saved_hours=total(one.cost.saved_seconds * (one.units / HOUR_S) for one in priced),
        teacher_share=taught / flops if flops else 0.0,
        trials=shares,
        jobs=tuple(one.cost if isinstance(one, PricedJob) else None for one in found),
        unknown=unknown,
        basis=_basis(priced),
        notes=tuple(_notes(priced, disk, site)),
    )


def _unit(jobs: Sequence[JobToPrice]) -> Literal["GPU-hours", "core-hours"]:
    return "GPU-hours" if any(job.gpus for job in jobs) else "core-hours"


def _wall(jobs: Sequence[JobToPrice], priced: Sequence[PricedJob], slots: int | None) -> Interval:
    """Three schedules: if all jobs are fast, as expected, or slow."""
    place = {trial.trial_id: number for number, job in enumerate(jobs) for trial in job.trials}
    after = [[place[name] for name in job.after if name in place] for job in jobs]
    seconds = [one.cost.seconds for one in priced]
    low, point, high = (
        makespan(lengths, after, slots)
        for lengths in (
            [each.low for each in seconds],
            [each.point for each in seconds],
            [each.high for each in seconds],
        )
    )
    return Interval(min(low, point), point, max(point, high))


_WORDS: Mapping[Basis, str] = {
    "same settings": "finished runs of the same settings",
    "same device": "finished runs of other settings",
    "data sheet": "what such devices do in general, as nothing has finished",
}


def _basis(priced: Sequence[PricedJob]) -> tuple[str, ...]:
    """What the times of how many trials rest on, most trials first."""
    amounts: Counter[tuple[Basis, Device]] = Counter()
    records: dict[tuple[Basis, Device], int] = {}
    for one in priced:
        key = (one.cost.basis, one.rates.device)
        amounts[key] += len(one.job.trials)
        records[key] = len(one.rates.records)
    return tuple(
        f"{_WORDS[basis]}{f' ({records[basis, device]:,} jobs)' if basis == 'same device' else ''} "
        f"on {describe(device)}" + (f" for {amount:,} trials" if len(amounts) > 1 else "")
        for (basis, device), amount in amounts.most_common()
    )


def describe(device: Device) -> str:
    """A device in words."""
    gpu = f"a GPU of unknown kind (between {' and '.join(UNKNOWN_GPU)})"
    name = device.name or (gpu if device.kind == "cuda" else "an unknown CPU")
    threads = f", {device.threads} thread{'s' if device.threads > 1 else ''}"
    return f"{name}, {device.precision}{threads if device.kind == 'cpu' else ''}"


def _notes(priced: Sequence[PricedJob], disk: Interval, site: Site) -> Iterable[str]:
    if site.free_gib is not None and disk.point > site.free_gib:
        yield f"the runs need {disk.point:.3g} GiB of disk, {site.free_gib:.3g} GiB are free"
    yield from _memory_notes(priced, site)
    long = [one for one in priced if one.cost.seconds.point > (site.time_limit_s or float("inf"))]
    if long:
        yield (
            f"{len(long):,} of {len(priced):,} jobs will take longer than resources.time: "
            f"each goes on in a further job from its last checkpoint"
        )
    bound = [one for one in priced if one.reads_first]
    if bound:
        yield (
            f"reading images is predicted to be slower than computing in {len(bound):,} of "
            f"{len(priced):,} jobs; more cores (resources.cpus_per_gpu) or larger cohorts help"
        )


def _memory_notes(priced: Sequence[PricedJob], site: Site) -> Iterable[str]:
    if not priced:
        return
    one = max(priced, key=lambda job: job.cost.memory_gib.point)
    need = one.cost.memory_gib
    device = one.rates.device
    if device.kind == "cuda":
        gpu = find_gpu(device.name or "")
        room, what = (gpu.memory_gib if gpu else None), device.name
    else:
        room = None if site.mem_gb is None else site.mem_gb * 1e9 / 2**30 / one.job.processes
        what = "resources.mem_gb"
    if room is not None and need.high > room:
        yield (
            f"a process may need {need.point:.3g} GiB of memory (up to {need.high:.3g}), but "
            f"{what} gives {room:.3g}; lower resources.cohort or set train.micro_batch_size"
        )
