"""`python -m deit_core RUN_DIR [RUN_DIR ...]`: train the trials of these directories together.

A directory with a bench.json trains nothing: the job measures the speed of the models it names.

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
from collections.abc import Sequence
from pathlib import Path

from deit_core.errors import LostProcessError, UserError
from deit_core.run_dir import RunDir


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
        return _run(run_dirs)
    except (UserError, LostProcessError) as error:
        rank = os.environ.get("RANK", "0")
        where = "" if rank == "0" else f" in process {rank}"
        sys.stderr.write(f"error{where}: {error}\n")
        return 2 if isinstance(error, UserError) else 1


def _run(run_dirs: Sequence[Path]) -> int:
    """Start the job that the directories are for; torch takes seconds to import."""
    benches = [path for path in run_dirs if RunDir(path).bench_file.exists()]
    if not benches:
        from deit_core.train.job import run_job

        return run_job(run_dirs)
    if len(run_dirs) > 1:
        raise UserError(f"{benches[0]} measures speed and needs a job of its own; run it alone")
    from deit_core.bench.job import run_bench

    return run_bench(run_dirs[0])


if __name__ == "__main__":
    sys.exit(main())
