"""What happens to a trial after an attempt has ended: the retry policy by cause, pure.

| cause                                       | what follows                                       |
|---------------------------------------------|----------------------------------------------------|
| completed, diverged, user_error, dependency | settled                                            |
| pruned                                      | settled; `retry` by name goes on with it unpruned  |
| cancelled                                   | left as it is; `sweep` or `retry` goes on with it  |
| preempted, paused, node_failure             | again, as often as that happens                    |
| timeout                                     | again; fails after `max_requeues` without progress |
| crashed, lost                               | again; fails after `max_requeues` without progress |
| gpu_memory                                  | once more; fails after two without progress        |
| host_memory                                 | again with 1.5 times the memory, at most twice     |

"Without progress" counts attempts in a row that brought the trial no further; one that did makes
the count start anew, so a trial that gets on is never given up. While trials of a cohort are in one
process nobody can say which of them is to blame: instead of failing they go on one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from deit_core.attempts import AttemptRecord, Cause
from deit_core.records import FINISHED_STATES, FailureKind, StatusRecord
from launcher.resources import Resources

MAX_REQUEUES: int = Resources.model_fields["max_requeues"].default

SOLO_AFTER = 2
"""After so many failures in a row the trials of a cohort go on one by one: one may sink the others.
"""

MEM_STEP = 1.5
"""By how much more memory is asked for after the host's ran out."""
MEM_STEPS = 2

MEMORY_LIMITS: Mapping[Cause, int] = {"gpu_memory": 2, "host_memory": 1 + MEM_STEPS}
"""Attempts in a row without progress before a trial fails. On a GPU another process may have held
the memory, so the same is tried once more; it is not split into smaller batches by itself, as that
would be another trial."""

CANCELLED = "cancelled by the user"

POLICY_TEXT = (
    "preempted, or its node failed: resumed, always; timed out, crashed or vanished: resumed "
    "(failed after `resources.max_requeues` in a row without progress); out of memory: once more "
    f"on a GPU, with {MEM_STEP} times the memory on the host; diverged or your error: only by "
    "`deit-launch retry`, and 3 of your errors in a minute stop the sweep"
)

_SETTLED: frozenset[Cause] = frozenset({"completed", "diverged", "user_error", "dependency"})
_UNCOUNTED: frozenset[Cause] = frozenset({"preempted", "paused", "node_failure"})
_KINDS: Mapping[Cause, FailureKind] = {
    "timeout": "timeout",
    "gpu_memory": "gpu_memory",
    "host_memory": "host_memory",
    "node_failure": "node_failure",
    "diverged": "diverged",
    "user_error": "user_error",
    "crashed": "crashed",
    "lost": "lost",
    "dependency": "dependency",
}


@dataclass(frozen=True)
class Attempt:
    """One attempt of one trial, after its processes are gone."""

    status: StatusRecord
    cause: Cause
    reason: str | None = None
    """What went wrong, in words."""
    failures: int = 0
    """Attempts in a row before this one that brought no progress."""
    memory_failures: int = 0
    """Those of them that ran out of memory."""
    furthest_step: int = 0
    """Furthest step that earlier attempts had reached."""
    alone: bool = True
    """False for a member of a cohort."""

    @property
    def progressed(self) -> bool:
        """Whether it came further than all before it."""
        return self.status.step > self.furthest_step


@dataclass(frozen=True)
class Verdict:
    """What to do with the trial."""

    again: bool
    status: StatusRecord
    failures: int = 0
    memory_failures: int = 0


def is_settled(status: StatusRecord, *, has_result: bool) -> bool:
    """Whether no further attempt is due; the result file outranks the status."""
    return has_result or status.state in FINISHED_STATES


def judge(attempt: Attempt, max_requeues: int = MAX_REQUEUES) -> Verdict:
    """Apply the policy to one trial of an attempt that has ended."""
    cause = attempt.cause
    if cause == "completed":
        return Verdict(False, _with(attempt.status, "completed", None, None))
    if cause == "pruned":
        return Verdict(False, _with(attempt.status, "pruned", attempt.reason, cause))
    if cause in _SETTLED:
        return _after_settling(attempt)
    failures = 0 if attempt.progressed else attempt.failures
    memory_failures = 0 if attempt.progressed else attempt.memory_failures
    if cause in _UNCOUNTED or (cause == "timeout" and attempt.progressed):
        status = _with(attempt.status, "preempted", attempt.reason, cause)
        return Verdict(True, status, failures, memory_failures)
    if cause == "cancelled":
        status = _with(attempt.status, "preempted", attempt.reason or CANCELLED, cause)
        return Verdict(False, status, failures, memory_failures)
    return _after_failure(attempt, failures + 1, memory_failures, max_requeues)


def _after_settling(attempt: Attempt) -> Verdict:
    """A failure that an attempt alone settles; in a cohort it may be another trial's."""
    named = attempt.status.state in FINISHED_STATES  # the trainer says that it is this trial's
    if attempt.alone or named:
        return Verdict(False, _failed(attempt))
    note = f"{attempt.reason}; goes on apart from its cohort"
    return Verdict(True, _with(attempt.status, "preempted", note, attempt.cause), SOLO_AFTER)


def _after_failure(
    attempt: Attempt, failures: int, memory_failures: int, max_requeues: int
) -> Verdict:
    count, limit = failures, max_requeues
    if attempt.cause in MEMORY_LIMITS:
        memory_failures += 1
        count, limit = memory_failures, MEMORY_LIMITS[attempt.cause]
    if count >= limit and attempt.alone:
        return Verdict(False, _failed(attempt), failures, memory_failures)
    if count >= limit:
        failures = max(failures, SOLO_AFTER)
        note = f"{attempt.reason}; goes on apart from its cohort"
    else:
        note = f"{attempt.reason}; resumes (failure {count} of {limit} without progress)"
    status = _with(attempt.status, "preempted", note, attempt.cause)
    return Verdict(True, status, failures, memory_failures)


def _failed(attempt: Attempt) -> StatusRecord:
    status = _with(attempt.status, "failed", attempt.reason, attempt.cause)
    kind = _KINDS.get(attempt.cause, "crashed")
    return status.model_copy(update={"failure": kind})


def _with(
    status: StatusRecord, state: str, reason: str | None, cause: Cause | None
) -> StatusRecord:
    update = {"state": state, "reason": reason, "failure": None, "cause": cause, "eta_s": None}
    return status.model_copy(update=update)


def more_memory(factor: float) -> float:
    """The next factor by which to ask for more host memory; the last one stays."""
    return min(factor * MEM_STEP, MEM_STEP**MEM_STEPS)


@dataclass(frozen=True)
class Tally:
    """What counts of a trial's attempts so far."""

    failures: int = 0
    memory_failures: int = 0
    host_memory: int = 0
    """Attempts that had too little host memory."""
    furthest_step: int = 0


def tally(attempts: Iterable[AttemptRecord]) -> Tally:
    """Add up attempts, oldest first, since the last after which the trial was left alone.

    The counts are those that `judge` gave, without a cohort's.
    """
    counted = Tally()
    for attempt in attempts:
        if attempt.again is False:
            counted = Tally()
        elif attempt.cause is not None:
            counted = _add(counted, attempt)
    return counted


def _add(before: Tally, attempt: AttemptRecord) -> Tally:
    step = attempt.last_step or 0
    further = step > before.furthest_step
    counts = not (attempt.cause in _UNCOUNTED or (attempt.cause == "timeout" and further))
    return Tally(
        failures=(0 if further else before.failures) + counts,
        memory_failures=(0 if further else before.memory_failures)
        + (attempt.cause in MEMORY_LIMITS),
        host_memory=before.host_memory + (attempt.cause == "host_memory"),
        furthest_step=max(step, before.furthest_step),
    )
