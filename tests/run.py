"""`make test`: the tests in three lanes side by side; two of them mostly wait for other processes.

Arguments are handed on to pytest in each lane, options as well as paths.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).parent
LANES = {
    "SLURM": ("slurm",),
    "launcher and end to end": ("launcher", "e2e"),
}
"""Entries of tests/ by lane; all others are in the lane whose output is seen at once."""
APART = ("ray",)
"""Left to `make test-ray`: a Ray worker takes seconds of a core to start."""
NO_TESTS = 5
"""pytest's exit code where nothing was selected."""


def command(mine: set[str]) -> list[str]:
    """The call of pytest for these entries of tests/."""
    others = sorted(path for path in HERE.iterdir() if path.name not in mine)
    ignored = [f"--ignore={path}" for path in others]
    return [sys.executable, "-m", "pytest", "-m", "not chaos", *ignored, *sys.argv[1:]]


def main() -> int:
    """Run all lanes; the exit code is that of the first that failed."""
    # As many processes compute as there are cores, or more: none of them needs two threads.
    environ = os.environ | {"OMP_NUM_THREADS": "1"}
    rest = {path.name for path in HERE.iterdir()}.difference(*LANES.values(), APART)
    with ExitStack() as stack:
        outputs = [stack.enter_context(tempfile.TemporaryFile()) for _ in LANES]
        lanes = [
            subprocess.Popen(
                command(set(mine)), env=environ, stdout=output, stderr=subprocess.STDOUT
            )
            for mine, output in zip(LANES.values(), outputs, strict=True)
        ]
        codes = [subprocess.run(command(rest), env=environ, check=False).returncode]
        for title, lane, output in zip(LANES, lanes, outputs, strict=True):
            codes.append(lane.wait())
            sys.stdout.write(f"\n==== tests of {title}\n")
            sys.stdout.flush()
            output.seek(0)
            sys.stdout.buffer.write(output.read())
    return next((each for each in codes if each not in (0, NO_TESTS)), 0)


if __name__ == "__main__":
    sys.exit(main())
