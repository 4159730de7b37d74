"""Which job this is: what SLURM tells a process about the job that it belongs to."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from launcher.backends.slurm.client import ask
from launcher.errors import LaunchError

_LEFT = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)")


@dataclass(frozen=True)
class Here:
    """The element of an array that this process runs in."""

    array_id: str
    index: int
    restarts: int
    """How often SLURM has started this element again."""
    nodes: tuple[str, ...]
    node: str
    """The node that this process runs on, as SLURM calls it."""

    @property
    def name(self) -> str:
        """As users write it, and as SLURM must be told.

        SLURM_JOB_ID names the whole array where the element was the last of it to start: to
        requeue that would start all of them again.
        """
        return f"{self.array_id}_{self.index}"

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Here:
        """Read the environment of a batch script.

        Raises:
            LaunchError: this is no element of an array.
        """
        try:
            return cls(
                array_id=environ["SLURM_ARRAY_JOB_ID"],
                index=int(environ["SLURM_ARRAY_TASK_ID"]),
                restarts=int(environ.get("SLURM_RESTART_COUNT", "0")),
                nodes=expand_nodes(environ.get("SLURM_JOB_NODELIST", "")),
                node=environ.get("SLURMD_NODENAME") or os.uname().nodename,
            )
        except (KeyError, ValueError) as error:
            raise LaunchError(f"this is no element of a SLURM array: {error} is missing") from None


def expand_nodes(text: str) -> tuple[str, ...]:
    """Names in SLURM's short form, such as `node[1-3,07],login`; needs no scontrol."""
    from submitit.slurm.slurm import SlurmParseException, _parse_node_list

    try:
        return tuple(_parse_node_list(text))
    except (SlurmParseException, ValueError):
        return (text,)


def seconds_left(job_id: str) -> float | None:
    """Time until the limit of a job; None for no limit, or when nobody answers."""
    asked = ask("squeue", "--noheader", f"--jobs={job_id}", "--format=%L", patience_s=20.0)
    return parse_left(asked.out.strip()) if asked.ok else None


def is_preempted_for_good(here: Here) -> bool:
    """Whether a job of higher priority ends this one, and SLURM will not start it again.

    So it is where PreemptMode is CANCEL. A job that SLURM queues again already counts one start
    more than this one; one that its user cancels was not preempted. False when nobody answers.
    """
    asked = ask("scontrol", "show", "job", "--oneliner", here.name, patience_s=20.0)
    said = dict(word.partition("=")[::2] for word in asked.out.split())
    preempted = said.get("PreemptTime", "None") not in ("None", "N/A")
    return asked.ok and preempted and said.get("Restarts") == str(here.restarts)


def parse_left(text: str) -> float | None:
    """Seconds of SLURM's `[days-][hours:]minutes:seconds`; None for UNLIMITED and the like."""
    found = _LEFT.fullmatch(text)
    if found is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return float(days * 86_400 + hours * 3_600 + minutes * 60 + seconds)


class Deadline:
    """When the time limit ends this job."""

    def __init__(self, left_s: float | None) -> None:
        self._ends = None if left_s is None else time.monotonic() + left_s

    def left_s(self) -> float:
        """Seconds; infinite without a limit."""
        return float("inf") if self._ends is None else self._ends - time.monotonic()
