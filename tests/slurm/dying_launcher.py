"""`python dying_launcher.py RUNS SWEEP N`: carries out a sweep and is killed before its N-th step.

A step is what another process could see: a file that gets its name, and the start and the end of a
command of SLURM. Without N it lives, and prints how many steps there were.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "launcher"))

from sweeps_for_tests import sweep_once

from launcher.backends.slurm.backend import SlurmBackend


class Steps:
    """Counts what the functions do that it stands in for."""

    def __init__(self, last: int | None) -> None:
        self.count = 0
        self.last = last

    def take(self) -> None:
        self.count += 1
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(self, function):
        def counted(*args, **options):
            self.take()
            return function(*args, **options)

        return counted

    def around(self, function):
        def counted(*args, **options):
            self.take()
            done = function(*args, **options)
            self.take()
            return done

        return counted


def main() -> None:
    runs, file, *last = sys.argv[1:]
    steps = Steps(int(last[0]) if last else None)
    os.replace = steps.before(os.replace)
    os.rename = steps.before(os.rename)
    subprocess.run = steps.around(subprocess.run)
    sweep_once(Path(runs), Path(file), SlurmBackend(Path(runs)))
    print(steps.count)  # noqa: T201


if __name__ == "__main__":
    main()
