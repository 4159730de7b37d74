"""What the attempts at all trials of a sweep say together: nodes to avoid, and when to stop it."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from deit_core.attempts import AttemptRecord, read_attempts
from deit_core.errors import RunDirError
from deit_core.run_dir import RunDir

STOP_AFTER = 3
STOP_WINDOW_S = 60.0
"""So many jobs that a mistake of the user ended, within so many seconds, stop their sweep: the
others would fail as well, and only then would anybody look (W&B's agent has the same numbers)."""

BAD_AFTER = 2
"""Events that a node had a part in before it is avoided."""
_CLOCKS_APART_S = 600.0
"""By which clocks of two machines may differ."""


def attempts_beside(run_dir: str | Path, since_unix_s: float = 0.0) -> list[AttemptRecord]:
    """Attempts at all trials in the same folder as this one; see `attempts_in`."""
    return attempts_in(Path(run_dir).parent, since_unix_s)


def attempts_in(folder: Path, since_unix_s: float = 0.0) -> list[AttemptRecord]:
    """Attempts at all trials of a folder, those without new ones left out.

    What cannot be read is left out as well: both rules below need positive evidence.
    """
    found: list[AttemptRecord] = []
    for run in _runs_in(folder):
        try:
            if run.attempts_file.stat().st_mtime >= since_unix_s - _CLOCKS_APART_S:
                found += read_attempts(run)
        except (OSError, RunDirError):
            continue
    return found


def _runs_in(folder: Path) -> list[RunDir]:
    try:
        return [RunDir(entry.path) for entry in os.scandir(folder) if entry.is_dir()]
    except OSError:
        return []


def should_stop_sweep(attempts: Iterable[AttemptRecord], since_unix_s: float = 0.0) -> str | None:
    """Why a sweep's waiting jobs should not start; None when they may.

    Args:
        attempts: of the sweep's trials.
        since_unix_s: when the waiting jobs were submitted: what failed before, the user knows.
    """
    ends = {  # once for all trials of a cohort
        (attempt.ended_unix_s, attempt.tag): attempt
        for attempt in attempts
        if attempt.cause == "user_error" and (attempt.ended_unix_s or 0.0) > since_unix_s
    }
    times = sorted(ended for ended, _ in ends if ended is not None)
    spans = zip(times, times[STOP_AFTER - 1 :], strict=False)
    if not any(last - first <= STOP_WINDOW_S for first, last in spans):
        return None
    latest = max(ends.values(), key=lambda attempt: attempt.ended_unix_s or 0.0)
    return (
        f"not started: {STOP_AFTER} jobs of this sweep failed the same way within a minute: "
        f"{latest.reason}"
    )


def bad_nodes(attempts: Sequence[AttemptRecord]) -> set[str]:
    """Nodes that the next jobs of a sweep should avoid.

    A node counts as bad after two node failures that it was part of, or after two jobs were lost on
    it without any progress and none has completed, or was pruned, there since. Those with most
    events come first, and never more than half of the nodes that the sweep has used.

    Args:
        attempts: of the sweep's trials.
    """
    used = {node for attempt in attempts for node in attempt.nodes}
    events = Counter(node for node, _ in _failures(attempts))
    bad = {node: events[node] for node in events if events[node] >= BAD_AFTER}
    ranked = sorted(bad, key=lambda node: (-bad[node], node))
    return set(ranked[: len(used) // 2])


def _failures(attempts: Sequence[AttemptRecord]) -> set[tuple[str, str]]:
    """Node and event, each event once: the trials of a cohort share theirs.

    A job that is lost again and again is one event: it may be to blame itself.
    """
    sound: dict[str, float] = defaultdict(float)
    for attempt in attempts:
        if attempt.cause in ("completed", "pruned"):
            for node in attempt.nodes:
                sound[node] = max(sound[node], attempt.ended_unix_s or 0.0)
    failed = {(a.tag, a.started_unix_s) for a in attempts if a.cause == "node_failure"}
    found = set()
    for attempt in attempts:
        # What one trial of a cohort lost, another may have seen as the failure of the node.
        seen_failing = (attempt.tag, attempt.started_unix_s) in failed
        for node in attempt.nodes:
            without_gain = attempt.cause == "lost" and not attempt.progressed and not seen_failing
            if attempt.cause == "node_failure":
                found.add((node, f"{attempt.tag} {attempt.started_unix_s}"))
            elif without_gain and (attempt.ended_unix_s or 0.0) > sound[node]:
                found.add((node, attempt.tag))
    return found
