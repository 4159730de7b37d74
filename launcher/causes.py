"""What ended an attempt: found from what is known for sure, then its files, then its logs. Pure."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping

from deit_core.attempts import Cause
from deit_core.records import StatusRecord
from launcher.evidence import Evidence

EXIT_USER_ERROR = 2
EXIT_PREEMPTED = 85
"""See `python -m deit_core --help`."""

CAUSE_WORDS: Mapping[Cause, str] = {
    "completed": "completed",
    "pruned": "pruned: it was behind the other trials of its sweep",
    "preempted": "preempted: it was asked to stop, or its job was put back into the queue",
    "cancelled": "cancelled by the user",
    "paused": "paused by the user",
    "node_failure": "its node failed",
    "timeout": "its job reached the time limit",
    "gpu_memory": "out of GPU memory",
    "host_memory": "out of host memory",
    "diverged": "diverged: its loss or weights became NaN or infinite",
    "user_error": "something in the config, data or installation that has to be mended",
    "crashed": "crashed: an exception, or an exit code, that nothing explains",
    "lost": "lost: a process vanished, or was killed, without a word",
    "dependency": "its teacher failed",
}

# torch raises torch.OutOfMemoryError("CUDA out of memory. ..."); cuBLAS and cuDNN have own words.
_GPU_MEMORY = re.compile(
    r"torch(?:\.cuda)?\.OutOfMemoryError|CUDA out of memory|CUDA error: out of memory"
    r"|CUBLAS_STATUS_ALLOC_FAILED|^OutOfMemoryError: ",
    re.MULTILINE,
)
# The kernel's and SLURM's words, Python's, NumPy's, torch's allocator's and loader's.
_HOST_MEMORY = re.compile(
    r"oom[-_]kill|Out Of Memory|OUT_OF_MEMORY|^(?:\S*\.)?_?\w*MemoryError\b"
    r"|DefaultCPUAllocator: (?:can't allocate|not enough) memory"
    r"|DataLoader worker \(pid\(?s?\)? [\d, ]+\) is killed by signal: Killed"
    r"|Cannot allocate memory",
    re.MULTILINE,
)
_IMPORT = re.compile(r"^(?:ModuleNotFoundError|ImportError): ", re.MULTILINE)
_LOST_PEER = re.compile(
    r"another process of th(?:is|e) job ended|LostProcessError"
    r"|NCCL (?:communicator was aborted|watchdog)|ncclRemoteError"
    r"|Connection (?:closed|reset) by peer"
)

_STOP_SIGNALS = frozenset({"SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2"})
"""Those by which a trainer is asked to save and to leave."""
_OUTSIDE: frozenset[Cause] = frozenset({"preempted", "cancelled", "paused"})
"""Nothing went wrong: somebody wanted the trial to stop."""
_SCHEDULERS: frozenset[Cause] = frozenset({"node_failure", "timeout"})
"""What the scheduler did outranks what the processes said of it."""


def find_cause(
    status: StatusRecord, exit_code: int | None, known: Cause | None, evidence: Evidence
) -> Cause:
    """What ended an attempt that left no result.

    Args:
        status: what the trial's own process wrote last.
        exit_code: of the attempt; None where nobody saw it end.
        known: what the scheduler is sure of, which its own words in the logs cannot change.
        evidence: what was printed.
    """
    if status.state == "pruned":
        return "pruned"
    if status.state == "failed" and status.failure in ("diverged", "user_error", "dependency"):
        return "diverged" if status.failure == "diverged" else _settled_kind(status)
    if known is not None:
        return known
    if status.state == "preempted" or exit_code == EXIT_PREEMPTED:
        return "preempted"
    said = "\n".join((status.reason or "" if status.state == "failed" else "", evidence.text))
    return _from_words(said, status, exit_code, evidence)


def _settled_kind(status: StatusRecord) -> Cause:
    return "dependency" if status.failure == "dependency" else "user_error"


def _from_words(
    said: str, status: StatusRecord, exit_code: int | None, evidence: Evidence
) -> Cause:
    if _GPU_MEMORY.search(said):
        return "gpu_memory"
    if _HOST_MEMORY.search(said):
        return "host_memory"
    if killed_by(exit_code) in _STOP_SIGNALS:
        return "preempted"  # asked to stop while it started, when nothing answers signals yet
    if exit_code == EXIT_USER_ERROR or (status.step == 0 and _IMPORT.search(said)):
        return "user_error"
    if killed_by(exit_code) is not None or exit_code is None:
        return "lost"
    if _LOST_PEER.search(said) and evidence.exception is None:
        return "lost"
    return "crashed"


def killed_by(exit_code: int | None) -> str | None:
    """Name of the signal that ended a process: -9, or 137 as shells and srun say it."""
    if exit_code is None:
        return None
    number = -exit_code if exit_code < 0 else exit_code - 128
    try:
        return signal.Signals(number).name
    except ValueError:
        return None


def describe(
    cause: Cause, status: StatusRecord, exit_code: int | None, evidence: Evidence
) -> str | None:
    """What went wrong, in one line; None where nothing did."""
    if cause == "completed":
        return None
    if cause == "pruned":
        return status.reason
    if cause in _OUTSIDE:
        saved = cause == "preempted" and status.state == "preempted"
        return (status.reason if saved else None) or CAUSE_WORDS[cause].partition(":")[0]
    if status.state == "failed" and status.reason and cause not in _SCHEDULERS:
        missed = _LOST_PEER.search(status.reason) is not None
        elsewhere = f"in another process: {evidence.exception}" if evidence.exception else None
        return (elsewhere if missed else None) or " ".join(status.reason.split())
    where = f"at step {status.step}" if status.step else "before its first step"
    if cause == "user_error":
        return evidence.complaint or evidence.exception or f"the job refused to start {where}"
    if cause in ("crashed", "lost"):
        return _describe_end(exit_code, where, evidence)
    said = "" if cause in _SCHEDULERS or evidence.exception is None else f": {evidence.exception}"
    return f"{CAUSE_WORDS[cause].partition(':')[0]} {where}{said}"


def _describe_end(exit_code: int | None, where: str, evidence: Evidence) -> str:
    if exit_code is None:
        return f"its process vanished {where}"
    name = killed_by(exit_code)
    if name is not None:
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return f"its process was killed by {name}{hint} {where}"
    said = evidence.complaint or evidence.exception
    return f"its process ended with exit code {exit_code} {where}{f': {said}' if said else ''}"
