"""`make test`: the tests of SLURM, which mostly wait, beside all others, which mostly compute.

Arguments are handed on to both runs of pytest.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile

PYTEST = (sys.executable, "-m", "pytest")
NO_TESTS = 5
"""pytest's exit code where nothing was selected."""


def main() -> int:
    """Run both; the exit code is that of the first that failed."""
    given = sys.argv[1:]
    with tempfile.TemporaryFile() as output:
        slurm = subprocess.Popen(
            [*PYTEST, "-m", "slurm and not chaos", *given],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        others = subprocess.run([*PYTEST, "-m", "not slurm", *given], check=False).returncode
        code = slurm.wait()
        sys.stdout.write("\n==== tests of SLURM\n")
        sys.stdout.flush()
        output.seek(0)
        sys.stdout.buffer.write(output.read())
    codes = [others, code]
    return next((each for each in codes if each not in (0, NO_TESTS)), 0)


if __name__ == "__main__":
    sys.exit(main())
