"""SLURM's commands: how they are called, and what their answers mean. Never imports torch.

Whoever asks gets None where SLURM does not answer: a controller that restarts, a network that
hangs. That is no news about any job.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from launcher.errors import LaunchError

PATIENCE_S = 60.0
"""For one command; a busy controller takes its time."""
BRIEF_PATIENCE_S = 10.0
"""For one question of a command that somebody waits for."""
_SILENCE_LASTS_S = 10.0
"""Such a command does not repeat a question that nobody has answered for so long."""
_NO_ANSWER = re.compile(
    r"contact slurm controller|timed out|communication|transport endpoint|zero bytes|did not answer"
    r"|temporarily|standby|connection refused|try again|configuration source|slurm\.conf|resolve",
    re.IGNORECASE,
)
"""The controller is away, overloaded, or nowhere: this says nothing about any job."""
_CONFIGURATION = (Path("/etc/slurm/slurm.conf"), Path("/etc/slurm-llnl/slurm.conf"))
_NO_CLUSTER = re.compile(r"configuration source|is not there", re.IGNORECASE)
_QUEUE_FORMAT = "%A|%F|%K|%T|%r|%N|%j"
"""Job, array job, index in the array, state, reason, nodes, name."""
_HELD = frozenset(
    {
        "JobHeldUser",
        "JobHeldAdmin",
        "JobHoldMaxRequeue",
        "job requeued in held state",
        "launch failed requeued held",
    }
)
"""Reasons for which a job waits until it is released."""
_STALE = (
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
    "ROLE_RANK",
    "MASTER_ADDR",
    "MASTER_PORT",
    "DEIT_RENDEZVOUS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
)
"""What describes the job that a command is called in, beside what begins with `_JOBS_OWN`."""
_JOBS_OWN = (
    "SLURM_",
    "SLURMD_",
    "SRUN_",
    "PMI_",
    "PMIX_",
    "PMI2_",
    "OMPI_",
    "TORCHELASTIC_",
)
_KEPT = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_CONF_SERVER")
_FORMATS = ("SQUEUE_", "SACCT_", "SINFO_", "SCONTROL_", "SBATCH_")
"""Variables by which a user changes what the commands print, or take: those of sbatch outrank the
script (sbatch(1)), so what is to be kept of them goes into it (see `site_defaults`)."""
_INDICES = re.compile(r"\[?([\d,:-]+)(?:%\d+)?\]?")

PENDING = frozenset(
    {
        "PENDING",
        "CONFIGURING",
        "REQUEUED",
        "REQUEUE_FED",
        "REQUEUE_HOLD",
        "RESV_DEL_HOLD",
        "SPECIAL_EXIT",
    }
)
GONE = frozenset(
    {
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    }
)
"""States in which a job is over. All that are neither these nor PENDING have nodes."""


def clean_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command: without what describes the job it is called in, if any.

    A job that is submitted from inside another one would otherwise inherit its ids, its memory
    and its binding (submitit issues 1782 and 1814).
    """
    kept = {name: value for name, value in environ.items() if not name.startswith(_FORMATS)}
    if "SLURM_JOB_ID" not in environ:
        return kept
    return {
        name: value
        for name, value in kept.items()
        if name in _KEPT or not (name in _STALE or name.startswith(_JOBS_OWN))
    }


@dataclass(frozen=True)
class QueueEntry:
    """One job, or one element of an array, that has not left the queue."""

    job_id: str
    array_id: str
    index: int | None
    state: str
    """SLURM's word, such as PENDING."""
    reason: str
    nodes: str
    job_name: str
    """Tells jobs apart that had the same id: a controller that lost its state counts again."""

    @property
    def name(self) -> str:
        """As users write it: `1234_5`."""
        return self.job_id if self.index is None else f"{self.array_id}_{self.index}"

    @property
    def waits(self) -> bool:
        """Whether it has no nodes yet."""
        return self.state in PENDING

    @property
    def is_held(self) -> bool:
        """Whether it waits until it is released."""
        return self.waits and self.reason in _HELD


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    ok: bool
    out: str
    error: str
    """One line; empty when it worked."""
    said: str = ""
    """What it wrote beside its output."""


@dataclass
class _Manner:
    """How this process asks, and who has not answered it lately."""

    is_brief: bool = False
    silent: dict[tuple[str, ...], tuple[float, Answer]] = field(default_factory=dict)
    """When, and how, a daemon was last found silent."""

    def patience_s(self, asked: float) -> float:
        return min(asked, BRIEF_PATIENCE_S) if self.is_brief else asked

    def remembered(self, daemon: str) -> Answer | None:
        """What a daemon that was found silent just now would say again."""
        found = self.silent.get(_address(daemon))
        is_recent = found is not None and time.monotonic() - found[0] < _SILENCE_LASTS_S
        return found[1] if found is not None and is_recent else None

    def note(self, daemon: str, answer: Answer) -> None:
        if not answer.ok and is_silence(answer.error):
            self.silent[_address(daemon)] = (time.monotonic(), answer)

    def forget(self, daemon: str) -> None:
        self.silent.pop(_address(daemon), None)


_MANNER = _Manner()


def _address(daemon: str) -> tuple[str, ...]:
    """Another cluster, or other programs, are another matter."""
    return (daemon, os.environ.get("SLURM_CONF", ""), os.environ.get("PATH", ""))


def be_brief() -> None:
    """Ask for somebody who waits: shortly, and not again at once where nobody answers."""
    _MANNER.is_brief = True


def silence() -> str | None:
    """How the controller has just left a question unanswered; None where it has not."""
    answer = _MANNER.remembered("slurmctld")
    return None if answer is None else briefly(answer.error)


def is_silence(error: str) -> bool:
    """Whether a command has failed for want of an answer, which says nothing about its question."""
    return _NO_ANSWER.search(error) is not None


def briefly(error: str) -> str:
    """The last of the lines in which a command has complained."""
    return re.sub(r"^\w+: (?:error|fatal): ", "", error.rpartition("; ")[2])


def ask(*command: str, patience_s: float = PATIENCE_S) -> Answer:
    """Run a command of SLURM that changes nothing."""
    daemon = "slurmdbd" if command[0].startswith("sacct") else "slurmctld"
    if _MANNER.is_brief:
        answer = _MANNER.remembered(daemon) or _MANNER.remembered("slurmctld")
        if answer is not None:
            return answer
    answer = act(*command, patience_s=_MANNER.patience_s(patience_s))
    _MANNER.note(daemon, answer)
    return answer


def act(
    *command: str,
    pass_fds: Sequence[int] = (),
    patience_s: float = PATIENCE_S,
    given: str = "",
) -> Answer:
    """Run one of SLURM's commands, however long that takes; `given` is its standard input."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=patience_s,
            env=clean_environ(os.environ),
            input=given,
            pass_fds=pass_fds,
            check=False,
        )
    except FileNotFoundError:
        return Answer(False, "", f"{command[0]} is not there")
    except OSError as error:
        return Answer(False, "", f"{command[0]}: {error.strerror}")
    except subprocess.TimeoutExpired:
        return Answer(False, "", f"{command[0]} did not answer within {patience_s:.0f} s")
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    said = "; ".join(lines) or f"{command[0]} ended with exit code {done.returncode}"
    ok = done.returncode == 0
    return Answer(ok, done.stdout, "" if ok else said, done.stderr)


def answers() -> bool:
    """Whether there is a cluster here that takes jobs.

    Raises:
        LaunchError: there is one, but it does not answer.
    """
    if shutil.which("sbatch") is None:
        return False
    asked = _probe()
    if not asked.ok and _is_configured(asked.error):
        raise LaunchError(
            f"SLURM does not answer ({briefly(asked.error)}); try again later, or pass "
            f"--backend local to run on this machine"
        )
    if not asked.ok:
        _MANNER.forget("slurmctld")  # there is none, so that none is silent
    return asked.ok


def _is_configured(error: str) -> bool:
    """Whether there is a cluster behind the programs that have failed so."""
    is_known = os.environ.get("SLURM_CONF") or any(path.exists() for path in _CONFIGURATION)
    return bool(is_known) or _NO_CLUSTER.search(error) is None


def _probe() -> Answer:
    return ask("sinfo", "--noheader", "--format=%P")


def require_slurm() -> None:
    """Refuse to go on without SLURM.

    Raises:
        LaunchError: sbatch is not installed here, or no controller answers.
    """
    local = "to run on this machine, pass --backend local"
    if shutil.which("sbatch") is None:
        raise LaunchError(f"sbatch is not installed here: log in where it is, or {local}")
    asked = _probe()
    if not asked.ok:
        raise LaunchError(
            f"SLURM does not answer ({briefly(asked.error)}); try again later, or {local}"
        )


def require_answer() -> None:
    """Refuse to change what becomes of jobs where SLURM cannot be told.

    Raises:
        LaunchError: its programs are not here, or no controller answers.
    """
    missing = [name for name in ("squeue", "scancel") if shutil.which(name) is None]
    if missing:
        raise LaunchError(
            f"{missing[0]} is not installed here, so nothing was changed; call this where SLURM is"
        )
    asked = ask("squeue", "--noheader", "--me", "--format=%i")
    if not asked.ok:
        raise LaunchError(
            f"SLURM does not answer ({briefly(asked.error)}), so nothing was changed; "
            f"try again later"
        )


def queue(array_ids: Sequence[str]) -> list[QueueEntry] | None:
    """The elements of these arrays that have not left the queue; None when nobody answers."""
    if not array_ids:
        return []
    return _queue(f"--jobs={','.join(array_ids)}")


def queue_by_name(job_name: str) -> list[QueueEntry] | None:
    """The jobs of a name that have not left the queue; None when nobody answers."""
    return _queue(f"--name={job_name}")


def _queue(which: str) -> list[QueueEntry] | None:
    states = "--states=all"  # else a job that is just completing, or suspended, could be missing
    options = ("--all", "--array", states, f"--format={_QUEUE_FORMAT}")  # hidden partitions too
    asked = ask("squeue", "--noheader", *options, which)
    if not asked.ok:
        return [] if "Invalid job id" in asked.error else None
    entries: list[QueueEntry] = []
    for line in filter(str.strip, asked.out.splitlines()):
        found = _entries(line)
        if found is None:
            return None  # what cannot be read may be about a job that is missed otherwise
        entries += found
    return [entry for entry in entries if entry.state not in GONE]


def _entries(line: str) -> list[QueueEntry] | None:
    """The job, or the elements of an array, of one line; None if it cannot be read."""
    parts = line.split("|", 6)
    if len(parts) < 7:
        return None
    job_id, array_id, index, state, reason, nodes, job_name = (part.strip() for part in parts)
    places: list[int] | list[None] | None = [None] if index in ("N/A", "") else indices(index)
    if places is None or not state:
        return None
    return [QueueEntry(job_id, array_id, at, state, reason, nodes, job_name) for at in places]


def indices(text: str) -> list[int] | None:
    """Of `7`, or of elements that still wait as one: `[1-5,9%4]`, `0-8:2`."""
    found = _INDICES.fullmatch(text)
    if found is None:
        return None
    indices: list[int] = []
    for part in found.group(1).split(","):
        bounds = re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part)
        if bounds is None:
            return None
        first, last, step = bounds.groups()
        indices += range(int(first), int(last or first) + 1, int(step or 1))
    return indices


def cluster_name() -> str | None:
    """Name of the cluster that the commands talk to; None when nobody answers."""
    said = ask("scontrol", "show", "config").out
    found = re.search(r"^ClusterName\s*=\s*(\S+)", said, re.MULTILINE)
    return None if found is None else found.group(1)


def shows_jobs_of_others() -> bool:
    """Whether the queue of the cluster has everybody's jobs for this user; no if nobody answers."""
    if os.geteuid() == 0:
        return True
    said = ask("scontrol", "show", "config").out
    found = re.search(r"^PrivateData\s*=\s*(\S+)", said, re.MULTILINE)
    return found is not None and "jobs" not in found.group(1).split(",")


def running_steps(job_id: str) -> list[str]:
    """The steps of a job that srun has started and that have not ended; none if nobody answers."""
    asked = ask("squeue", "--steps", "--noheader", f"--jobs={job_id}", "--format=%i")
    names = asked.out.split() if asked.ok else []
    return [name for name in names if name.rpartition(".")[2].isdigit()]
