"""One attempt of a job, seen from its first node: starts the ranks, waits, says how it ended.

The ranks of each node are children of a Ray worker there: of this process on the first node, of an
actor in a bundle of the same placement group on every other. They meet by a rendezvous that this
process holds. Whatever happens to Ray's processes, the ranks end with them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from deit_core.records import Record
from launcher import gang
from launcher.backends.job_queue import JobQueue, QueuedJob
from launcher.backends.ray.node_ranks import Share
from launcher.rendezvous import Rendezvous

GRACE_S = 60.0
"""Between the request to stop and SIGKILL: time to save a checkpoint."""
_TICK_S = 0.1


class AttemptNews(Record):
    """What an attempt tells its driver: once when it starts, once when it has ended."""

    nodes: tuple[str, ...] = ()
    node_ids: tuple[str, ...] = ()
    """As Ray calls them; the first node first."""
    started: bool = False
    """Whether its ranks were started."""
    ended: bool = False
    exit_code: int | None = None
    """Negative: killed by that signal."""
    bereft: bool = False
    """Whether Ray's worker on another node is gone, with that node or alone."""
    complaint: str | None = None
    """Why it could not be started."""


class Node(Protocol):
    """The ranks of one node, wherever that is."""

    def start(self, share: Share) -> None:
        """Start them."""

    def codes(self) -> Sequence[int | None]:
        """Exit codes; None of ranks that still run. Of a node that is lost: killed."""

    def stop(self) -> None:
        """Ask them to save and to leave."""

    def kill(self) -> None:
        """Kill them."""


def shares(
    queue: JobQueue, job: QueuedJob, run_dirs: Sequence[str], rendezvous: Rendezvous | None
) -> list[Share]:
    """What each node is to run: ranks follow each other, node by node."""
    each = job.processes // job.nodes
    meeting = {} if rendezvous is None else rendezvous.environ()
    return [
        Share(str(queue.path), job.tag, tuple(run_dirs), index * each, each, meeting)
        for index in range(job.nodes)
    ]


def run_ranks(nodes: Sequence[Node], told: Callable[[], bool], beat: Callable[[], None]) -> int:
    """Wait until all ranks have ended; stops them when told to, and when one of them fails.

    Args:
        nodes: their ranks run.
        told: whether the user wants them to stop.
        beat: called again and again.

    Returns:
        The exit code of the attempt; negative for the signal that ended a rank.
    """
    kill_at = float("inf")
    stopping = failing = False
    killed: set[int] = set()
    while True:
        codes = [code for node in nodes for code in node.codes()]
        if None not in codes:
            return gang.exit_code([code for code in codes if code is not None], killed)
        now = time.monotonic()
        if not stopping and told():
            stopping, kill_at = True, min(kill_at, now + GRACE_S)
            for node in nodes:
                node.stop()
        if not failing and gang.is_over(codes):
            failing, kill_at = True, min(kill_at, now + gang.GRACE_S)
        if now >= kill_at:
            killed |= {rank for rank, code in enumerate(codes) if code is None}
            for node in nodes:
                node.kill()
        beat()
        time.sleep(_TICK_S)
