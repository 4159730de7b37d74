"""`python -m deit_core RUN_DIR [RUN_DIR ...]`: train the trials of these directories together.

Several processes train them as one: `torchrun --nproc-per-node 8 -m deit_core RUN_DIR`.

Exit codes: 0 all completed, 1 crashed, 2 a mistake the user can mend, 3 a student diverged,
85 stopped by a signal after saving (run the same command again to go on). torchrun itself exits
with 1 whatever its processes exit with; status.json of the run directory has the truth.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

from deit_core.errors import LostProcessError, UserError


def main() -> int:
    """Parse the command line and run the job."""
    parser = argparse.ArgumentParser(prog="python -m deit_core", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("run_dirs", metavar="RUN_DIR", nargs="+", type=Path)
    run_dirs: list[Path] = parser.parse_args().run_dirs
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    if os.environ.get("RANK", "0") == "0":
        logging.getLogger("deit_core").setLevel(logging.INFO)
    try:
        from deit_core.train.job import run_job  # torch takes seconds; --help does not need it

        return run_job(run_dirs)
    except (UserError, LostProcessError) as error:
        rank = os.environ.get("RANK", "0")
        where = "" if rank == "0" else f" in process {rank}"
        sys.stderr.write(f"error{where}: {error}\n")
        return 2 if isinstance(error, UserError) else 1


if __name__ == "__main__":
    sys.exit(main())
