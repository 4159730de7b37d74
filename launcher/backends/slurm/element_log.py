"""What the supervisor of an element says."""

from __future__ import annotations

import contextlib
import os
import sys
import time

from deit_core.run_dir import RunDir


def log(message: str, stamp: str | None = None) -> None:
    """Write a line to the element's log; a full disk must not end the job."""
    now = time.strftime("%Y-%m-%d %H:%M:%S ", time.gmtime()) if stamp is None else stamp
    with contextlib.suppress(OSError):
        sys.stdout.write(f"{now}{message}\n")
        sys.stdout.flush()


def log_to(run_dir: str) -> None:
    """Let what follows, srun's words too, go to the trial that leads the step."""
    file = RunDir(run_dir).scheduler_log
    with contextlib.suppress(OSError), open(file, "ab") as log_file:
        os.dup2(log_file.fileno(), 1)
        os.dup2(log_file.fileno(), 2)
