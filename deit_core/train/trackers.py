"""Experiment trackers behind a queue: training never waits for one, and none can stop it.

Each tracker has a thread of its own. What fails there is said once, and the tracker is left out
from then on. Every row has a position in the run; a tracker says how far it has come, so a resumed
trial sends it what it lacks and nothing twice.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol

from deit_core.records import SummaryRecord, TrialRecord
from deit_core.run_dir import RunDir
from deit_core.train.sinks import MetricSink

_log = logging.getLogger(__name__)

PATIENCE_S = 30.0
"""How long the end of a job waits for all its trackers together."""
PATIENCE_WHEN_STOPPED_S = 5.0
"""The same after a stop request: schedulers kill what does not go (SLURM's KillWait is 30 s)."""


class Position(NamedTuple):
    """Place of a row in its run; of one step, the training row comes before the evaluation."""

    step: int
    is_eval: bool


def position_of(row: dict[str, Any]) -> Position:
    """The place of a metrics row."""
    return Position(row["step"], row["kind"] == "eval")


def summary_scalars(summary: SummaryRecord | None) -> dict[str, float]:
    """The numbers of a result, apart from the curves: `summary/val_top1`."""
    values = {} if summary is None else summary.model_dump(exclude={"schema_version"})
    return {f"summary/{k}": v for k, v in values.items() if isinstance(v, int | float)}


class Tracker(Protocol):
    """One run of one tracker. Only its own thread calls it."""

    name: str

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """What its calls raise when the tracker cannot be used."""

    def open(self) -> Position | None:
        """Begin the run or go on with it; returns the last row that it has."""

    def log(self, row: dict[str, Any]) -> None:
        """Take one row, later than all before."""

    def close(self, state: str, summary: SummaryRecord | None) -> None:
        """Training has ended in `state`, with this result if there is one."""


class _End(NamedTuple):
    state: str
    summary: SummaryRecord | None


class TrackerSink:
    """Shows a tracker the rows that are in metrics.jsonl and those to come."""

    def __init__(self, tracker: Tracker, run: RunDir, trial: TrialRecord) -> None:
        self._tracker = tracker
        self._run = run
        self._whose = f"{trial.name}: {tracker.name}"
        self._queue: SimpleQueue[dict[str, Any] | _End] = SimpleQueue()
        self._closed = False
        self._given_up = False
        for row in run.read_metrics():
            self._queue.put(row)
        self._thread = threading.Thread(target=self._work, name=tracker.name, daemon=True)
        self._thread.start()

    def emit(self, row: dict[str, Any]) -> None:
        """Queue one row."""
        if self._thread.is_alive():
            self._queue.put(row)

    def close(self, state: str) -> None:
        """Let the run end in `state` once it has all rows; returns at once."""
        if not self._closed:
            self._closed = True
            self._queue.put(_End(state, self._run.read_summary()))

    def wait(self, seconds: float) -> None:
        """Give a closed run this long to take what is queued."""
        self._thread.join(max(0.0, seconds))
        if self._thread.is_alive():
            self._given_up = True
            _log.warning("%s is too slow; what it has not taken yet is left out", self._whose)

    def _work(self) -> None:
        try:
            self._send_all()
        except self._tracker.failures as error:
            if self._given_up:
                return
            reason = " ".join(str(error).split()) or type(error).__name__
            _log.warning("%s fails and is left out, training goes on: %s", self._whose, reason)

    def _send_all(self) -> None:
        known = self._tracker.open()
        while not isinstance(item := self._queue.get(), _End):
            if known is None or position_of(item) > known:
                self._tracker.log(item)
        self._tracker.close(item.state, item.summary)


def leave_trackers(sinks: Iterable[MetricSink], patience_s: float) -> None:
    """Wait for the trackers among the sinks, all together no longer than `patience_s`.

    A run that is still open belongs to a trial that was cut short by an error.
    """
    trackers = [sink for sink in sinks if isinstance(sink, TrackerSink)]
    for tracker in trackers:
        tracker.close("failed")
    deadline = time.monotonic() + patience_s
    for tracker in trackers:
        tracker.wait(deadline - time.monotonic())
