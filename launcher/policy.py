"""What happens to a trial after an attempt has ended: the retry policy, pure.

- completed, diverged, a user's error, a failed teacher: settled.
- preempted (it saved and left): resumed, as often as that happens.
- crashed or vanished: resumed, until `MAX_FAILURES` attempts in a row brought it no further.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass

from deit_core.records import FINISHED_STATES, FailureKind, StatusRecord

MAX_FAILURES = 3
"""Attempts in a row without a result and without progress before a trial counts as failed."""

SOLO_AFTER = 2
"""After so many such failures the trials of a cohort go on one by one: one may sink the others."""

CANCELLED = "cancelled by the user"
EXIT_USER_ERROR = 2

POLICY_TEXT = (
    "preempted, crashed or vanished: resumed by itself "
    f"(failed after {MAX_FAILURES} attempts in a row without progress); "
    "diverged or your error: only by `deit-launch retry`"
)


@dataclass(frozen=True)
class Attempt:
    """One attempt of one trial, after its process is gone."""

    status: StatusRecord
    has_result: bool
    """Whether summary.json is there."""
    exit_code: int | None
    """Negative: killed by that signal; None: nobody saw it end."""
    failures: int = 0
    """Attempts in a row before this one that brought no progress."""
    furthest_step: int = 0
    """Furthest step that earlier attempts had reached."""
    alone: bool = True
    """False for a member of a cohort."""
    complaint: str | None = None
    """The last error the process printed."""


@dataclass(frozen=True)
class Verdict:
    """What to do with the trial."""

    again: bool
    status: StatusRecord
    failures: int


def is_settled(status: StatusRecord, *, has_result: bool) -> bool:
    """Whether no further attempt is due; the result file outranks the status."""
    return has_result or status.state in FINISHED_STATES


def judge(attempt: Attempt) -> Verdict:
    """Apply the policy to one trial of an attempt that has ended."""
    status = attempt.status
    if attempt.has_result:
        done = status.model_copy(update={"state": "completed", "failure": None, "reason": None})
        return Verdict(False, done, 0)
    crashed = status.state == "failed" and status.failure in ("crashed", "lost")
    if status.state in FINISHED_STATES and not crashed:
        return Verdict(False, status, 0)
    if status.state == "preempted":
        return Verdict(True, status, 0)
    return _after_failure(attempt)


def _after_failure(attempt: Attempt) -> Verdict:
    status = attempt.status
    progressed = status.step > attempt.furthest_step
    failures = 1 if progressed else attempt.failures + 1
    what, kind = _describe(attempt)
    if attempt.exit_code == EXIT_USER_ERROR and status.state != "failed":
        failures = MAX_FAILURES if attempt.alone else max(failures, SOLO_AFTER)
    if failures < MAX_FAILURES:
        note = f"{what}; resumes (failure {failures} of {MAX_FAILURES} without progress)"
        return Verdict(True, _with(status, "preempted", note, None), failures)
    return Verdict(False, _with(status, "failed", what, kind), failures)


def _with(status: StatusRecord, state: str, reason: str, failure: str | None) -> StatusRecord:
    update = {"state": state, "reason": reason, "failure": failure, "eta_s": None}
    return status.model_copy(update=update)


def _describe(attempt: Attempt) -> tuple[str, FailureKind]:
    """What went wrong, in words, and its kind."""
    status, code = attempt.status, attempt.exit_code
    if status.state == "failed":
        return status.reason or "crashed", status.failure or "crashed"
    where = f"at step {status.step}" if status.step else "before its first step"
    if code == EXIT_USER_ERROR:
        return attempt.complaint or f"the job refused to start {where}", "user_error"
    if code is None:
        return f"its process vanished {where}", "lost"
    if code < 0:
        hint = " (out of memory?)" if -code == signal.SIGKILL else ""
        return f"its process was killed by {signal.Signals(-code).name}{hint} {where}", "lost"
    said = f": {attempt.complaint}" if attempt.complaint else ""
    return f"its process ended with exit code {code} {where}{said}", "crashed"
