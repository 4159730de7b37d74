"""What SLURM's accounting (sacct) says of jobs that have ended. None of it is needed to go on."""

from __future__ import annotations

from collections.abc import Sequence

from launcher.backends.slurm import client


def last_state(job_id: str) -> str | None:
    """State of a job's latest ended incarnation, by the accounting; None without accounting."""
    asked = client.ask(
        "sacct",
        "--noheader",
        "--parsable2",
        "--allocations",
        "--duplicates",
        "--format=State,End,NodeList",
        f"--jobs={job_id}",
        patience_s=20.0,
    )
    if not asked.ok:
        return None
    rows = [line.split("|") for line in asked.out.splitlines() if line.count("|") >= 2]
    ended = [row for row in rows if row[0].strip() and row[1] not in ("Unknown", "None", "")]
    ended = [row for row in ended if row[0].split()[0] not in ("PENDING", "RUNNING")]
    return max(ended, key=lambda row: row[1])[0] if ended else None


def ended_as(job_ids: Sequence[str]) -> dict[str, str] | None:
    """How jobs ended, by the accounting: `FAILED 3:0`; None where it does not answer.

    The state and the exit code (with the signal after the colon). Those that it does not know, or
    does not yet know the end of, are left out.
    """
    arrays = dict.fromkeys(job_id.partition("_")[0] for job_id in job_ids)
    asked = client.ask(
        "sacct",
        "--noheader",
        "--parsable2",
        "--allocations",
        "--format=JobID%4096,State,ExitCode",
        f"--jobs={','.join(arrays)}",
        patience_s=20.0,
    )
    if not asked.ok:
        return None
    rows = [line.split("|") for line in asked.out.splitlines() if line.count("|") == 2]
    ended = [row for row in rows if row[1].partition(" ")[0].rstrip("+") in client.GONE]
    return {
        name: state if code in ("", "0:0") else f"{state} {code}"
        for names, state, code in map(_stripped, ended)
        for name in _elements(names)
    }


def _elements(name: str) -> list[str]:
    """Of `12_3`, or of elements that never had nodes, which sacct names as one: `12_[0-3%2]`."""
    array, _, index = name.partition("_")
    return [f"{array}_{at}" for at in client.indices(index) or ()] if index else [name]


def _stripped(row: Sequence[str]) -> list[str]:
    return [cell.strip() for cell in row]


def largest_memory_gib(job_id: str) -> float | None:
    """Most memory that a task of a job has used, by the accounting (MaxRSS); None if not known."""
    asked = client.ask(
        "sacct", "--noheader", "--parsable2", "--format=MaxRSS", f"--jobs={job_id}", patience_s=20.0
    )
    sizes = [_kib(line.strip().strip("|")) for line in asked.out.splitlines()] if asked.ok else []
    known = [size for size in sizes if size is not None]
    return max(known) / 2**20 if known else None


_UNITS = {"K": 1.0, "M": 2.0**10, "G": 2.0**20, "T": 2.0**30}


def _kib(text: str) -> float | None:
    try:
        if text[-1:] in _UNITS:
            return float(text[:-1]) * _UNITS[text[-1]]
        return float(text) / 1024 if text else None
    except ValueError:
        return None
