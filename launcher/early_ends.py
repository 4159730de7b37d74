"""What is written down of trials whose job failed before it started them.

Nothing of the job was there to do it: its own script ended first, as by a line of `setup`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from deit_core.run_dir import RunDir
from launcher.attempts import Start, last_attempt, note_end, note_start
from launcher.backends.base import Unstarted
from launcher.observe import Observation


def write_down(observations: Iterable[Observation]) -> None:
    """Record the attempt and the failure that `observe` has found, once.

    Raises:
        RunDirError: a file cannot be written.
    """
    for seen in observations:
        unstarted = None if seen.report is None else seen.report.unstarted
        if seen.condition == "failed" and unstarted is not None and unstarted.failed:
            _write_down(seen, unstarted)


def _write_down(seen: Observation, unstarted: Unstarted) -> None:
    if seen.path is None or seen.job is None:
        return
    run, tag = RunDir(seen.path), seen.job.tag
    last = last_attempt(run)
    if last is not None and last.tag == tag:
        return
    note_start([seen.path], Start(tag, seen.job.backend, seen.job.job_id, processes=1))
    started = last_attempt(run)
    assert started is not None
    now = time.time()
    ended = {
        "ended_unix_s": now,
        "last_step": seen.status.step,
        "exit_code": unstarted.exit_code,
        "cause": "user_error",
        "reason": unstarted.reason,
        "again": False,
        "scheduler": unstarted.scheduler,
    }
    note_end(run, started.model_copy(update=ended))
    update = {"attempt": started.number, "finished_unix_s": now}
    run.write_status(seen.status.model_copy(update=update))
