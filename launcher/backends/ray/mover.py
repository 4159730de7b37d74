"""Moves a queue whose jobs run on a Ray cluster: an attempt of a job is a trial of Ray Tune's.

Tune asks for the next attempt (`next_attempt`) and says what becomes of it. Everything else is as
on this machine alone: order, limits, teachers, what follows from how an attempt ended.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deit_core.attempts import Cause
from deit_core.errors import RunDirError
from deit_core.run_dir import RunDir
from launcher.backends.endings import Ending
from launcher.backends.job_queue import JobQueue
from launcher.backends.queue_mover import LONGEST_PAUSE_S, TICK_S, LiveJob, QueueMover
from launcher.backends.ray.attempt import AttemptNews
from launcher.backends.ray.placement import bundles, why_it_waits

MOST_WAITING = 8
"""Attempts that wait for their place in the cluster: one that does not fit must not stop others."""
WAIT_TOLD_AFTER_S = 5.0
_WORDS = 300
"""Characters of what Ray says that people are shown."""
_STARVED = "running low on memory"
"""Of Ray's memory monitor, when it ends a worker where a node runs out of memory."""
NODE_VERDICT_S = 30.0
"""Ray asks a node every 3 s whether it lives, and gives it up after 5 questions in vain."""


@dataclass
class Attempt:
    """An attempt that was handed to Tune."""

    tag: str
    config: Mapping[str, Any]
    handed_unix_s: float = field(default_factory=time.time)
    news: AttemptNews = field(default_factory=AttemptNews)
    over_at: float | None = None
    """When Tune had done with it."""
    error: str | None = None
    """What Ray says, where it has lost the worker that ran it."""
    unwanted: bool = False
    """Whether its job must not start any more."""

    @property
    def over(self) -> bool:
        """Whether Tune has done with it."""
        return self.over_at is not None

    @property
    def has_lost_a_worker(self) -> bool:
        """Whether one of Ray's own processes of it is gone."""
        return self.news.bereft or self.error is not None


class RayMover(QueueMover):
    """Hands out attempts, and judges those that have ended.

    Args:
        queue: the queue.
        nodes: those of the cluster, as `ray.nodes()` says them.
        log: takes a line.
    """

    def __init__(
        self,
        queue: JobQueue,
        *,
        nodes: Callable[[], Sequence[Mapping[str, Any]]],
        log: Callable[[str], None] = lambda message: None,
    ) -> None:
        super().__init__(queue, log)
        self.nodes = nodes
        self.attempts: dict[str, Attempt] = {}
        """By the job's tag: waiting for a place, or running."""
        self._ready: deque[Attempt] = deque()
        self._looked_at = 0.0
        self._moved_at = time.monotonic()
        self._left = True

    # what Tune asks and tells -------------------------------------------------------------------

    def look(self) -> bool:
        """A pass over the queue unless there was one just now; whether anything is left to move."""
        if time.monotonic() >= self._looked_at + TICK_S:
            try:
                self._left = self.tick()
            except RunDirError as error:  # with this process, all that runs would end
                self._left = True
                self.log(f"{error}; it is tried again")
            self._looked_at = time.monotonic()
        return self._left

    def next_attempt(self) -> Attempt | None:
        """One that may start as soon as the cluster has room for it."""
        while self._ready:
            attempt = self._ready.popleft()
            if not attempt.unwanted:
                return attempt
        return None

    def is_idle(self, since_s: float) -> bool:
        """Whether attempts run, and none has been handed out or has ended for a while."""
        running = any(not attempt.over for attempt in self.attempts.values())
        return running and not self._ready and time.monotonic() >= self._moved_at + since_s

    def begun(self, attempt: Attempt) -> None:
        """Its first node has it, and is about to start it."""
        live = self.jobs.get(attempt.tag)
        if live is None or attempt.unwanted:
            return
        update = {
            "state": "running",
            "attempt": live.progress.attempt + 1,
            "running": tuple(attempt.config["run_dirs"]),
            "waits": "",
        }
        live.progress = live.progress.model_copy(update=update)
        with contextlib.suppress(RunDirError):  # the trials' own files say it too
            self.queue.write_progress(attempt.tag, live.progress)
        self.log(f"job {attempt.tag}: attempt {live.progress.attempt} starts")

    # running jobs -------------------------------------------------------------------------------

    def _has_place(self, live: LiveJob) -> bool:
        return live.progress.state == "running" or live.job.tag in self.attempts

    def _make_room(self, placed: Sequence[LiveJob]) -> None:
        for tag, attempt in list(self.attempts.items()):
            live = self.jobs.get(tag)
            if live is not None and live.progress.state == "running":
                continue
            attempt.unwanted = live is None or tag in self._held
            if attempt.over and live is not None:
                self._could_not_start(tag, live, attempt)
            elif live is not None and time.time() >= attempt.handed_unix_s + WAIT_TOLD_AFTER_S:
                self._say_why(tag, live, why_it_waits(attempt.config["bundles"], self.nodes()))
            if attempt.over or attempt.unwanted:
                del self.attempts[tag]

    def _follow(self, tag: str, live: LiveJob) -> None:
        """Settle a running job whose attempt is over, or that an earlier driver had."""
        attempt = self.attempts.get(tag)
        if attempt is not None and not attempt.over:
            return
        if any(RunDir(path).is_locked() for path in live.progress.running):
            return  # its ranks end within this moment, or their node is out of reach
        if attempt is not None and attempt.news.ended and not attempt.news.started:
            self._not_started(tag, live, attempt)
            return
        if attempt is not None and self._may_yet_hear(attempt):
            return
        self._moved_at = time.monotonic()
        self._settle(tag, live, self._ending(attempt))
        self.attempts.pop(tag, None)

    def _may_yet_hear(self, attempt: Attempt) -> bool:
        """Whether a node that has failed may be the reason, which Ray takes a while to find out."""
        if (
            attempt.news.exit_code == 0
            or not attempt.has_lost_a_worker
            or self._lost_nodes(attempt)
        ):
            return False
        return time.monotonic() < (attempt.over_at or 0.0) + NODE_VERDICT_S

    def _lost_nodes(self, attempt: Attempt) -> set[str]:
        dead = {node["NodeID"] for node in self.nodes() if not node["Alive"]}
        return dead & set(attempt.news.node_ids)

    def _not_started(self, tag: str, live: LiveJob, attempt: Attempt) -> None:
        """It was told to stop before it began, or could not begin."""
        del self.attempts[tag]
        if attempt.news.complaint is not None:
            self._settle(tag, live, Ending(attempt.news.exit_code, attempt.news.complaint))
            return
        update = {"state": "queued", "running": (), "attempt": live.progress.attempt - 1}
        live.progress = live.progress.model_copy(update=update)
        self.queue.write_progress(tag, live.progress)

    def _could_not_start(self, tag: str, live: LiveJob, attempt: Attempt) -> None:
        """Ray failed before it came to the job, of which that says nothing: try again, later."""
        self._say_why(tag, live, f"Ray could not start it: {(attempt.error or '')[:_WORDS]}")
        live.errors = min(live.errors + 1, 16)
        live.pause_until = time.monotonic() + min(LONGEST_PAUSE_S, 2.0**live.errors)

    def _say_why(self, tag: str, live: LiveJob, waits: str) -> None:
        """Write down why a job waits, where that has changed."""
        if live.progress.waits != waits:
            self.log(f"job {tag}: {waits}")
            live.progress = live.progress.model_copy(update={"waits": waits})
            self.queue.write_progress(tag, live.progress)

    def _ending(self, attempt: Attempt | None) -> Ending:
        """How it ended, as far as Ray knows."""
        if attempt is None:  # Ray ends what a driver has started with the driver
            return Ending(None, cause="preempted", scheduler="DRIVER DIED")
        news = attempt.news
        lost = self._lost_nodes(attempt)
        starved: Cause | None = "host_memory" if _STARVED in (attempt.error or "") else None
        cause: Cause | None = "node_failure" if lost else starved
        said = "NODE DIED" if lost else "WORKER DIED" if attempt.has_lost_a_worker else None
        code = news.exit_code if news.ended else None
        return Ending(code, cause=cause, scheduler=said, nodes=news.nodes)

    # queued jobs --------------------------------------------------------------------------------

    def _start(self, tag: str, live: LiveJob) -> None:
        waiting = [
            self.jobs[other]
            for other in self.attempts
            if other in self.jobs and self.jobs[other].progress.state == "queued"
        ]
        if len(waiting) >= MOST_WAITING:
            self._full = True
            return
        run_dirs = self._take_up(tag, live)
        if not run_dirs:
            return
        config = {
            "queue": str(self.queue.path),
            "tag": tag,
            "run_dirs": list(run_dirs),
            "bundles": bundles(live.job, live.progress.mem_factor),
        }
        attempt = Attempt(tag, config)
        self.attempts[tag] = attempt
        self._ready.append(attempt)
        self._moved_at = time.monotonic()
        self._jobs_of[live.job.group] += 1
