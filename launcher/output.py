"""Where the processes of a job write what they print: the logs of its trials."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from deit_core.errors import RunDirError
from deit_core.run_dir import RunDir

SEPARATOR = "===="
"""Starts the line that opens an attempt in a trial's logs."""
POINTER = "output of the whole cohort is in "


def open_output(run_dirs: Sequence[str | Path], rank: int, job: str) -> tuple[IO[bytes], IO[bytes]]:
    """Open what a process of a job writes to, at its end, after a line that opens the attempt.

    The first process writes to the logs of the first trial; those of the other trials get a line
    that points there. Every other process has one log for both its streams.

    Args:
        run_dirs: the trials that the job trains.
        rank: which of the job's processes will write.
        job: how the user knows the job.

    Raises:
        RunDirError: a log cannot be written.
    """
    runs = [RunDir(path) for path in run_dirs]
    try:
        if rank > 0:
            return _open_follower(runs[0], rank, job)
        return _open_leader(runs, job)
    except OSError as error:
        raise RunDirError(f"cannot write {error.filename}: {error.strerror}") from error


def redirect_output(run_dirs: Sequence[str | Path], rank: int, job: str) -> None:
    """Let this process, and what it becomes, print to where `open_output` says.

    Raises:
        RunDirError: a log cannot be written.
    """
    out, err = open_output(run_dirs, rank, job)
    sys.stdout.flush()
    sys.stderr.flush()
    with out, err:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)


def _open_leader(runs: Sequence[RunDir], job: str) -> tuple[IO[bytes], IO[bytes]]:
    leader, *members = runs
    for run in runs:
        for log, target in (
            (run.stdout_file, leader.stdout_file),
            (run.stderr_file, leader.stderr_file),
        ):
            where = f" · {POINTER}{os.path.relpath(target, run.job_dir)}" if run in members else ""
            _open_attempt(run, log, f"job {job}{where}")
    return open(leader.stdout_file, "ab"), open(leader.stderr_file, "ab")


def _open_follower(run: RunDir, rank: int, job: str) -> tuple[IO[bytes], IO[bytes]]:
    log = run.rank_log(rank)
    _open_attempt(run, log, f"job {job} · process {rank}")
    return open(log, "ab"), open(log, "ab")


def _open_attempt(run: RunDir, log: Path, what: str) -> None:
    """Write the line at which an attempt begins."""
    log.parent.mkdir(parents=True, exist_ok=True)
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    attempt = run.read_status().attempt + 1
    with open(log, "a", encoding="utf-8") as file:
        file.write(f"{SEPARATOR} attempt {attempt} · {now} · {what} {SEPARATOR}\n")
