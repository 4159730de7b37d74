"""Whether trials fit side by side into the memory of a job, by the estimate of `launcher.cost`."""

from __future__ import annotations

from collections.abc import Sequence

from launcher.cost.memory import memory_gib
from launcher.expand import Trial


class CohortRoom:
    """The memory that each process of a job may use.

    Args:
        limit_gib: of one process; None: not known, so that everything fits.
        trials: of the sweep; teachers among them are needed to know what a student's job holds.
        processes: of one job.
    """

    def __init__(self, limit_gib: float | None, trials: Sequence[Trial], processes: int) -> None:
        self.limit_gib = limit_gib
        self.processes = processes
        self._teachers = {t.trial_id: t.config for t in trials if t.role == "teacher"}

    def fits(self, trials: Sequence[Trial]) -> bool:
        """Whether even the upper end of the estimate is within the limit."""
        need = self._need_gib(trials)
        return need is None or self.limit_gib is None or need <= self.limit_gib

    def notes(self, trials: Sequence[Trial]) -> tuple[str, ...]:
        """A warning about trials that may not even fit alone."""
        if self.limit_gib is None:
            return ()
        tight = [trial for trial in trials if not self.fits([trial])]
        if not tight:
            return ()
        return (
            f"{len(tight)} trials may each need more memory than the {self.limit_gib:.1f} GiB of a "
            f"process (the first: {tight[0].name}, up to {self._need_gib(tight[:1]):.1f} GiB); "
            f"give more, or set train.micro_batch_size",
        )

    def _need_gib(self, trials: Sequence[Trial]) -> float | None:
        if self.limit_gib is None:
            return None
        configs = [trial.config for trial in trials]
        need = memory_gib(configs, self._teachers, processes=self.processes)
        return None if need is None else need.high
