"""One attempt of a job: a step of SLURM whose tasks are the ranks that train together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Literal

from launcher.backends.slurm.array_dir import ArrayRecord
from launcher.backends.slurm.client import ask, running_steps
from launcher.backends.slurm.here import Here
from launcher.backends.slurm.rank import GPUS_VARIABLE
from launcher.rendezvous import Rendezvous

GRACE_S = 60.0
"""Between the request to stop and the end of the step: time to save a checkpoint."""
STRAGGLER_S = 30
"""After the first rank has ended, for the others: they wait for it in vain."""
START_S = 20
"""For SLURM to let a step begin while an earlier one still holds its place; srun would wait for
ever. What becomes of a refusal is the caller's to say."""
_TICK_S = 0.2
_LOOK_EVERY_S = 1.0
"""Between two looks at the requests of the user, which are files on a shared file system."""

Request = Literal["cancel", "hold", "signal"]
"""Why a step is to stop: the user's wish, or a signal to the batch script."""


class Step:
    """Starts the ranks, passes on requests to stop, and says how they ended."""

    def __init__(self, record: ArrayRecord, here: Here) -> None:
        self.record = record
        self.here = here
        self.request: Request | None = None
        """The first request to stop that was passed on."""

    def run(self, run_dirs: Sequence[str], asked: Callable[[], Request | None]) -> int:
        """Train these trials to their end, or until `asked` says to stop.

        Returns:
            The exit code; negative for the signal that ended a rank.
        """
        names = (self.here.node,)
        with Rendezvous(self.record.processes, names) as rendezvous:
            process = subprocess.Popen(
                [*self._srun(), *self._rank(run_dirs)],
                env=self._environ() | rendezvous.environ(),
                stdin=subprocess.DEVNULL,
            )
            try:
                return _signed(self._follow(process, asked))
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
                if process.returncode < 0:  # srun itself was killed: its ranks may live on
                    self._end_ranks()

    def _follow(self, process: subprocess.Popen[bytes], asked: Callable[[], Request | None]) -> int:
        look_at, kill_at = time.monotonic(), float("inf")
        while process.poll() is None:
            now = time.monotonic()
            if self.request is None and now >= look_at:
                self.request = asked()
                look_at = now + _LOOK_EVERY_S
                if self.request is not None:
                    self._stop_ranks(process)
                    kill_at = now + GRACE_S
            if now >= kill_at:
                self._end_ranks()
                process.kill()  # and SLURM kills what srun has started
            time.sleep(_TICK_S)
        return process.returncode

    def _stop_ranks(self, process: subprocess.Popen[bytes]) -> None:
        """Signal the ranks, but neither srun nor this process."""
        if not ask("scancel", "--signal=TERM", self.here.name).ok:
            process.send_signal(signal.SIGUSR2)  # no scancel on this node: srun passes it on

    def _end_ranks(self) -> None:
        """Kill the ranks: by their step, as SIGKILL for the job would end the job as a whole."""
        for step in running_steps(self.here.name):
            ask("scancel", step)

    def _srun(self) -> list[str]:
        record = self.record
        nodes = record.resources.nodes
        return [
            "srun",
            f"--nodes={nodes}",
            f"--ntasks={record.processes}",
            f"--ntasks-per-node={record.processes // nodes}",
            # srun has not inherited it from sbatch since SLURM 22.05
            f"--cpus-per-task={record.cpus_per_task}",
            "--export=ALL",
            "--input=none",
            f"--immediate={START_S}",
            "--mpi=none",
            "--kill-on-bad-exit=0",  # ranks leave one after the other, with the same exit code
            f"--wait={STRAGGLER_S}",
        ]

    def _rank(self, run_dirs: Sequence[str]) -> list[str]:
        start = [sys.executable, "-P", "-m", "launcher.backends.slurm.rank"]
        return [*start, self.here.name, str(len(run_dirs)), *self.record.command, *run_dirs]

    def _environ(self) -> dict[str, str]:
        threads = str(self.record.cpus_per_task)
        return {
            **os.environ,
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "PYTHONUNBUFFERED": "1",
            GPUS_VARIABLE: str(self.record.gpus_per_node),
        }


def _signed(code: int) -> int:
    """SLURM says 128 + n for a task that signal n has ended."""
    return 128 - code if 128 < code < 128 + signal.NSIG else code
