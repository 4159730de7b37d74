"""The local backend: a queue in `<runs>/.local/` and a detached runner that serves it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from launcher.backends.base import Capacity, Check, Job
from launcher.backends.job_queue import QueuedJob
from launcher.backends.queue_backend import QueueBackend
from launcher.backends.slots import Slots, granted_slots
from launcher.errors import LaunchError
from launcher.resources import Resources


class LocalBackend(QueueBackend):
    """Runs jobs on this machine, as many at once as it grants cores and GPUs."""

    name = "local"
    runner_module = "launcher.backends.local_runner"

    def __init__(self, runs: Path, *, command: Sequence[str] | None = None) -> None:
        super().__init__(queue_folder(runs.resolve()), command)

    @functools.cached_property
    def slots(self) -> Slots:
        """What this machine grants to this process; asked once, as it costs a process or two.

        Raises:
            LaunchError: DEIT_LOCAL_CPUS is no positive number.
        """
        return granted_slots()

    def _queued(self, job: Job) -> QueuedJob:
        slots = self.slots
        if slots.capacity.fit(job.cpus, job.gpus) == 0:
            raise LaunchError(
                f"a job asks for {job.cpus} cores and {job.gpus} GPUs, this machine grants "
                f"{slots.cpus} and {len(slots.gpus)}; lower `resources` in the sweep file"
            )
        granted = {"cpus_granted": slots.cpus, "gpus_granted": slots.gpus}
        return super()._queued(job).model_copy(update=granted)

    def check(self, resources: Resources) -> Sequence[str]:
        """Whether a job fits is seen when it is planned."""
        return ()

    def node(self, resources: Resources) -> Capacity | None:
        """There is this machine alone, whose capacity is known."""
        return None

    def capacity(self) -> Capacity:
        """What this machine grants to this process."""
        return self.slots.capacity

    def checks(self, resources: Resources, *, submit: bool = False) -> list[Check]:
        """Slots, and whether the queue is served."""
        slots = self.slots
        gpus = ", ".join(slots.gpus) or "none"
        return [
            Check("local slots", slots.cpus > 0, f"{slots.cpus} cores, GPUs: {gpus}"),
            self.queue_check(),
        ]


def queue_folder(runs: Path) -> Path:
    """Where the queue of a runs folder lies."""
    return runs / ".local"
