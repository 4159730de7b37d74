"""Submit trials again from inside a job: `python -P -m launcher.continue_trials RUN_DIR…`.

A job that cannot go on as it is (it needs more memory, or other nodes) asks for one that can. What
it asks for is what the next `deit-launch sweep` would do anyway.
"""

from __future__ import annotations

import sys
from pathlib import Path

from deit_core.errors import UserError
from launcher.backends.registry import open_backend
from launcher.control import submit_again


def main() -> int:
    """Submit what is left of these trials on the cluster that this job runs on."""
    paths = [Path(path).resolve() for path in sys.argv[1:]]
    try:
        submit_again(paths, open_backend("slurm", paths[0].parents[2]))
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
