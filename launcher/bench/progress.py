"""How the measurement of a sweep's models stands, for `status` and for whoever waits for it."""

from __future__ import annotations

from dataclasses import dataclass

from deit_core.run_dir import RunDir
from launcher.backends.base import Backend
from launcher.bench.bench_dir import Order, bench_runs, read_bench
from launcher.observe import ACTIVE, observe
from launcher.scheduler_words import waiting_words
from launcher.sweep_dir import SweepDir
from launcher.text import count, one_line


@dataclass(frozen=True)
class BenchProgress:
    """The latest order of a sweep. The fields are those of `status --json`."""

    path: str
    state: str
    """new, queued, running, stopped, completed, failed, unknown or damaged."""
    models: int
    step: int
    total_steps: int | None
    """Parts of the work."""
    reason: str | None
    job: str | None
    backend: str | None
    job_detail: str | None
    """What the scheduler says of the job, in its own words."""
    held: bool

    @property
    def active(self) -> bool:
        """Whether something works on it, or will by itself."""
        return self.state in ACTIVE and not self.held

    def __str__(self) -> str:
        models = count(self.models, "model")
        if self.held:
            return f"bench: {models}, paused"
        if self.state == "running" and self.total_steps:
            return f"bench: {models}, running, {100 * self.step // self.total_steps} % done"
        words = {"completed": "measured", "new": "not submitted yet"}
        waits = waiting_words(self.job_detail) if self.state == "queued" and self.job_detail else ""
        why = waits or one_line(self.reason)
        line = f"bench: {models}, {words.get(self.state, self.state)}"
        line += f": {why}" if why and self.state != "completed" else ""
        if self.state in ("failed", "stopped"):
            line += "; to try again: deit-launch bench"
        return line


def progress_of(order: Order) -> BenchProgress:
    """How one order stands."""
    seen, status = order.seen, order.seen.status
    job = seen.job if seen.condition in ACTIVE else None
    return BenchProgress(
        path=str(order.run.path),
        state=seen.condition,
        models=len(order.record.targets),
        step=status.step,
        total_steps=status.total_steps,
        reason=seen.problem or status.reason,
        job=job.job_id if job else None,
        backend=job.backend if job else None,
        job_detail=(seen.report.detail or None) if job and seen.report else None,
        held=seen.held,
    )


def read_bench_progress(sweep_dir: SweepDir, backend: Backend) -> BenchProgress | None:
    """The latest order of a sweep; None where nothing was ordered. Raises RunDirError."""
    runs = bench_runs(sweep_dir)
    return None if not runs else progress_of(look_at(runs[-1], backend))


def look_at(run: RunDir, backend: Backend) -> Order:
    """One order as it stands. Raises RunDirError."""
    seen = observe({run.path.name: run.path}, backend)[run.path.name]
    return Order(run, read_bench(run), seen)
