"""Runs a short job that looks around on one or two nodes, and judges what it finds.

What no configuration tells: whether nodes see the runs folder and how soon, whether their clocks
agree with this one, what a job sees of GPUs and cores, and whether nodes reach each other.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from deit_core.errors import RunDirError
from deit_core.run_dir import write_atomic, write_json
from deit_core.source_tree import import_root
from launcher.backends.base import Check
from launcher.backends.slurm import accounting, client
from launcher.backends.slurm.checks import refusal
from launcher.backends.slurm.partitions import Partition, chosen
from launcher.backends.slurm.probe_verdict import CORES, Clock, Findings, judge
from launcher.locks import take_lock
from launcher.resources import Resources

WAIT_S = 60.0
"""For the job to start and to report; a full cluster is not waited for."""
_MINUTES = 2
_TICK_S = 0.05
_LOOK_EVERY_S = 2.0
_QUESTIONS = 5
_ANSWER_S = 10.0
_LEAVE_S = 5.0
_LEAVE_TICK_S = 0.5


def probe(
    runs: Path,
    resources: Resources,
    partitions: Mapping[str, Partition],
    *,
    wait_s: float = WAIT_S,
) -> list[Check]:
    """Submit the job, wait for what it finds, and say what that means.

    Args:
        runs: the folder of all sweeps.
        resources: partition, account, qos, constraint and further options of the job.
        partitions: what the cluster has.
        wait_s: how long to wait.
    """
    folder = runs / ".slurm" / f"probe-{secrets.token_hex(4)}"
    findings = _size(chosen(partitions, resources.partition))
    try:
        write_atomic(folder / "probe.sh", _script(folder, findings).encode())
    except RunDirError as error:
        return [Check("probe job", False, str(error))]
    options = _options(resources, findings)
    answer = client.act("sbatch", "--parsable", *options, str(folder / "probe.sh"))
    if not answer.ok:
        shutil.rmtree(folder, ignore_errors=True)
        return [Check("probe job", False, f"sbatch refuses it: {refusal(answer.error)}")]
    job_id = answer.out.strip().partition(";")[0]
    try:
        return _follow(folder, job_id, findings, wait_s)
    finally:
        _finish(folder, job_id)


def _size(partitions: Sequence[Partition]) -> Findings:
    """Two nodes and a GPU on each, where there are any."""
    nodes = [nodes for partition in partitions for nodes in partition.nodes]
    gpus = 1 if any(one.gpus for one in nodes) else 0
    number = max((one.count for one in nodes if one.gpus >= gpus), default=1)
    return Findings(min(2, number), gpus)


def _script(folder: Path, findings: Findings) -> str:
    task = [sys.executable, "-P", "-m", "launcher.backends.slurm.probe", str(folder)]
    tasks = f"--nodes={findings.nodes} --ntasks={findings.nodes} --cpus-per-task={CORES}"
    lines = [
        "#!/bin/bash",
        f"#SBATCH --output={json.dumps(str(folder / 'output.log'))}",
        f"export PYTHONPATH={shlex.quote(str(import_root()))}",
        f"exec srun --export=ALL --input=none --mpi=none {tasks} \\",
        f"    {shlex.join(task)}",
    ]
    return "\n".join(lines) + "\n"


def _options(resources: Resources, findings: Findings) -> list[str]:
    given = {
        "job-name": "deit-doctor",
        "nodes": findings.nodes,
        "ntasks-per-node": 1,
        "cpus-per-task": CORES,
        "gpus-per-node": findings.gpus or None,
        "time": _MINUTES,
        "partition": resources.partition,
        "account": resources.account,
        "qos": resources.qos,
        "constraint": resources.constraint,
        "exclude": resources.exclude,
        "export": "ALL",
        **resources.sbatch,
    }
    options = []
    for name, value in given.items():
        if value is True:
            options.append(f"--{name}")
        elif value is not None and value is not False:
            options.append(f"--{name}={value}")
    return options


def _follow(folder: Path, job_id: str, findings: Findings, wait_s: float) -> list[Check]:
    began = time.monotonic()
    look_at = began
    entries: list[client.QueueEntry] | None = None
    while len(reports := _reports(folder)) < findings.nodes:
        now = time.monotonic()
        if now >= look_at:
            entries = client.queue([job_id])
            look_at = now + _LOOK_EVERY_S
            if entries == [] and len(_reports(folder)) < findings.nodes:
                return [_ended_early(folder, job_id, findings, len(reports))]
        if now - began > wait_s:
            return [_not_in_time(job_id, entries, wait_s)]
        time.sleep(_TICK_S)
    found = replace(
        findings,
        reports=reports,
        clocks=_ask_clocks(folder, findings.nodes),
        lock_is_kept=_is_lock_kept(folder, reports),
    )
    return judge(found)


def _reports(folder: Path) -> dict[int, Mapping[str, Any]]:
    return {
        int(name.split(".")[1]): value
        for name in os.listdir(folder)
        if name.startswith("report.") and (value := _read(folder / name)) is not None
    }


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def _ask_clocks(folder: Path, nodes: int) -> dict[int, Clock]:
    """Ask each task for the time, as NTP does: the quickest answer tells most.

    The task's clock was read somewhere between question and answer.
    """
    clocks: dict[int, Clock] = {}
    for _ in range(_QUESTIONS):
        question = secrets.token_hex(4)
        asked = time.time()
        write_json(folder / "question.json", question, durable=False)
        open_ranks = set(range(nodes))
        while open_ranks and time.time() < asked + _ANSWER_S:
            os.listdir(folder)  # makes a network file system look again
            for rank in tuple(open_ranks):
                answer = _read(folder / f"answer.{rank}.json")
                if answer is None or answer["question"] != question:
                    continue
                seen = time.time()
                clock = Clock(answer["unix_s"] - (asked + seen) / 2, seen - asked)
                best = clocks.get(rank, clock)
                clocks[rank] = min(clock, best, key=lambda one: one.round_trip_s)
                open_ranks.remove(rank)
            time.sleep(_TICK_S / 5)
    return clocks


def _is_lock_kept(folder: Path, reports: Mapping[int, Mapping[str, Any]]) -> bool | None:
    """Whether a lock that the first task holds is refused here; None where it has none."""
    if not reports[0].get("locks"):
        return None
    try:
        handle = take_lock(folder / "lock")
    except RunDirError:
        return None
    if handle is not None:
        os.close(handle)
    return handle is None


def _ended_early(folder: Path, job_id: str, findings: Findings, came: int) -> Check:
    """The job has left the queue, and not every task has reported."""
    said = _last_line(folder / "output.log")
    state = accounting.last_state(job_id)
    ended = f"job {job_id} ended{f' ({state})' if state else ''}"
    where = f"{came} of {findings.nodes} tasks reported"
    if said is None:
        why = f"its output is not in {folder} either: nodes do not see the runs folder"
        return Check("probe job", False, f"{ended}, {where}; {why}")
    return Check("probe job", False, f"{ended}, {where}; it said: {said}")


def _last_line(file: Path) -> str | None:
    try:
        lines = file.read_text(errors="replace").split("\n")
    except OSError:
        return None
    return next((line.strip() for line in reversed(lines) if line.strip()), "nothing")


def _not_in_time(job_id: str, entries: list[client.QueueEntry] | None, wait_s: float) -> Check:
    after = f"after {wait_s:.0f} s"
    if not entries:
        return Check("probe job", False, f"SLURM did not say what became of job {job_id} {after}")
    entry = entries[0]
    if entry.state in client.PENDING:
        client.act("scancel", job_id)
        said = f"still queued {after} ({entry.reason}), and taken back; try again later"
        return Check("probe job", True, said, note=True)
    said = f"{entry.state} on {entry.nodes}, but no report came within {wait_s:.0f} s"
    return Check("probe job", False, f"{said}: nodes do not see the runs folder, or not in time")


def _finish(folder: Path, job_id: str) -> None:
    """Let the tasks leave, and take the job out of the queue if they do not."""
    with contextlib.suppress(RunDirError):
        write_atomic(folder / "done", b"", durable=False)
    end = time.monotonic() + _LEAVE_S
    while time.monotonic() < end and client.queue([job_id]):
        time.sleep(_LEAVE_TICK_S)
    client.act("scancel", job_id)
    shutil.rmtree(folder, ignore_errors=True)
