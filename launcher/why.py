"""Why a trial is where it is: cause, evidence, attempts, nodes, last traceback, what to do."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from deit_core.attempts import AttemptRecord, Cause, read_attempts
from deit_core.errors import RunDirError
from deit_core.records import PlannedTrial
from deit_core.run_dir import RunDir
from launcher.advice import Advice, Case, advise
from launcher.backends.base import Backend
from launcher.causes import CAUSE_WORDS, killed_by
from launcher.evidence import Evidence, gather_evidence, last_lines
from launcher.logs import follow_pointer
from launcher.observe import NOTHING, Condition, Observation, observe, owner_of
from launcher.resources import Resources
from launcher.scheduler_words import STARTING, UNTIL_RESUMED, waiting_words
from launcher.siblings import attempts_beside, bad_nodes
from launcher.sweep_dir import SweepDir, is_latest
from launcher.text import duration
from launcher.trial_dirs import own_paths

WHY_SCHEMA_VERSION = 1
"""Raised when a field of `why --json` changes its meaning or goes away."""

_BLAMED: frozenset[Cause] = frozenset(
    {"node_failure", "lost", "crashed", "gpu_memory", "host_memory"}
)
"""Ends that a node may have a part in."""
_SILENT: frozenset[Condition] = frozenset({"completed", "new", "damaged", "pruned"})
"""Conditions in which the last attempt's troubles do not matter any more, or there was none."""


@dataclass(frozen=True)
class NodeHistory:
    """Failures that a node had a part in."""

    node: str
    failures: int
    """Of this trial."""
    sweep_failures: int
    """Of all trials of the sweep, each attempt of a cohort once."""
    avoided: bool
    """Whether the next jobs of the sweep avoid it."""


@dataclass(frozen=True)
class Why:
    """What is known of a trial. The fields are those of `why --json`."""

    trial_id: str
    name: str
    state: Condition
    cause: Cause | None
    reason: str | None
    held: bool
    """Whether it is paused: queued, until `deit-launch resume`."""
    waiting: str | None
    """Why a queued trial does not run yet, with the scheduler's own word in brackets."""
    step: int
    total_steps: int | None
    exit_code: int | None
    signal: str | None
    scheduler: str | None
    max_rss_gib: float | None
    attempts: tuple[AttemptRecord, ...]
    nodes: tuple[NodeHistory, ...]
    traceback: tuple[str, ...]
    log: str | None
    """Where the traceback is."""
    advice: Advice | None

    def as_json(self) -> dict[str, Any]:
        """What `why --json` prints."""
        values = asdict(self)
        values["attempts"] = [attempt.model_dump(mode="json") for attempt in self.attempts]
        return {"schema_version": WHY_SCHEMA_VERSION, **values}


def look_into(sweep_dir: SweepDir, planned: PlannedTrial, backend: Backend) -> Why:
    """Gather what is known of a trial; what cannot be read is left out.

    Raises:
        RunDirError: the sweep folder itself cannot be read.
    """
    paths = own_paths(sweep_dir, {planned.trial_id})
    seen = observe(paths, backend).get(planned.trial_id, NOTHING)
    attempts = _attempts(seen)
    last = next((each for each in reversed(attempts) if each.cause is not None), None)
    evidence = _before_start(seen, backend)
    if evidence is None:
        evidence = Evidence() if seen.condition in _SILENT else _evidence(seen)
    report = seen.report
    ended = report.detail if report and report.state == "ended" else ""
    return Why(
        trial_id=planned.trial_id,
        name=planned.name,
        state=seen.condition,
        cause=_cause(seen, last),
        reason=_reason(seen, last),
        held=seen.held,
        waiting=_waiting(seen),
        step=seen.status.step,
        total_steps=seen.status.total_steps,
        exit_code=last.exit_code if last else None,
        signal=killed_by(last.exit_code) if last else None,
        scheduler=_scheduler(seen, attempts, backend) or ended or None,
        max_rss_gib=last.max_rss_gib if last else None,
        attempts=attempts,
        nodes=() if seen.path is None else _node_history(attempts, attempts_beside(seen.path)),
        traceback=evidence.traceback,
        log=None if evidence.source is None else str(evidence.source),
        advice=_advice(sweep_dir, planned, seen, last),
    )


def explain(sweep_dir: SweepDir, planned: PlannedTrial, backend: Backend) -> list[str]:
    """The same as lines for people. Raises RunDirError: see `look_into`."""
    return why_lines(look_into(sweep_dir, planned, backend))


# gathering -----------------------------------------------------------------------------------


def _attempts(seen: Observation) -> tuple[AttemptRecord, ...]:
    with contextlib.suppress(RunDirError):
        return () if seen.path is None else read_attempts(RunDir(seen.path))
    return ()


def _evidence(seen: Observation) -> Evidence:
    """What its latest attempt printed, wherever its cohort did."""
    if seen.path is None:
        return Evidence()
    with contextlib.suppress(RunDirError):
        return gather_evidence(RunDir(follow_pointer(RunDir(seen.path).stderr_file).parents[1]))
    return Evidence()


def _before_start(seen: Observation, backend: Backend) -> Evidence | None:
    """What a job said that failed before it started the trial; None where that is not so."""
    unstarted = None if seen.report is None else seen.report.unstarted
    owner = None if seen.job is None else owner_of(seen.job.backend, backend)
    if unstarted is None or seen.job is None or seen.job.job_id is None or owner is None:
        return None
    log = owner.log_before_start(seen.job.job_id)
    return None if log is None else Evidence(traceback=last_lines(log), source=log)


def _scheduler(
    seen: Observation, attempts: Sequence[AttemptRecord], backend: Backend
) -> str | None:
    """State in the scheduler's words: as recorded, else as it is known now of the latest job."""
    if seen.report is not None and seen.report.unstarted is not None:
        return seen.report.unstarted.scheduler
    last = attempts[-1] if attempts else None
    if last is None or last.scheduler is not None:
        return None if last is None else last.scheduler
    owner = owner_of(last.backend, backend)
    if seen.condition not in ("stopped", "failed") or last.job_id is None or owner is None:
        return None
    said = owner.describe([last.job_id]).get(last.job_id)
    return None if said == "COMPLETED" else said


def _cause(seen: Observation, last: AttemptRecord | None) -> Cause | None:
    """What ended the latest attempt; a failure that no attempt led to names itself."""
    if seen.condition in ("completed", "pruned"):
        return seen.condition
    if seen.condition in _SILENT:
        return None
    if seen.condition == "failed" and seen.status.failure is not None:
        return seen.status.failure
    return last.cause if last else None


def _reason(seen: Observation, last: AttemptRecord | None) -> str | None:
    if seen.condition in ("completed", "running"):
        return None
    return seen.problem or seen.status.reason or (last.reason if last else None)


def _waiting(seen: Observation) -> str | None:
    if seen.condition != "queued":
        return None
    said = seen.report.detail if seen.report else ""
    return waiting_words(said) or (UNTIL_RESUMED if seen.held else "its turn has not come")


def _node_history(
    mine: Sequence[AttemptRecord], beside: Sequence[AttemptRecord]
) -> tuple[NodeHistory, ...]:
    own, everyone, avoided = _blame(mine), _blame(beside), bad_nodes(beside)
    ranked = sorted(own, key=lambda node: (-own[node], -everyone[node], node))
    return tuple(NodeHistory(node, own[node], everyone[node], node in avoided) for node in ranked)


def _blame(attempts: Sequence[AttemptRecord]) -> Counter[str]:
    failed = {(each.tag, each.started_unix_s): each for each in attempts if each.cause in _BLAMED}
    return Counter(node for each in failed.values() for node in each.nodes)


def _advice(
    sweep_dir: SweepDir, planned: PlannedTrial, seen: Observation, last: AttemptRecord | None
) -> Advice | None:
    record = sweep_dir.read_plan()
    config, resources = None, Resources()
    if seen.path is not None:
        with contextlib.suppress(RunDirError):
            config = RunDir(seen.path).read_config()
    with contextlib.suppress(ValueError):
        resources = Resources.model_validate(record.resources)
    return advise(
        Case(
            trial_id=planned.trial_id,
            path=seen.path,
            sweep=None if is_latest(sweep_dir) else sweep_dir.path,
            sweep_command=record.command or "deit-launch sweep",
            teacher_of=record.source if planned.role == "teacher" else None,
            condition=seen.condition,
            cause=_cause(seen, last),
            held=bool(seen.report and seen.report.held),
            config=config,
            resources=resources,
            processes=last.processes if last else 1,
            max_rss_gib=last.max_rss_gib if last else None,
        )
    )


# for people ----------------------------------------------------------------------------------


def why_lines(why: Why) -> list[str]:
    """What is known, the most important first."""
    starts = why.waiting is not None and why.waiting.startswith(STARTING)
    state = "paused" if why.held else "starting" if starts else why.state
    lines = [f"{why.trial_id} ({why.name}): {state}{_how_far(why)}"]
    if why.waiting is not None:
        lines.append(f"{'now' if starts else 'waits'}: {why.waiting}")
    if why.cause is not None and why.state not in ("completed", "pruned", "running"):
        label = "cause" if why.state == "failed" else "last attempt"
        lines.append(f"{label}: {CAUSE_WORDS[why.cause]}")
    if why.reason is not None and not any(line.endswith(f": {why.reason}") for line in lines):
        lines.append(f"reason: {why.reason}")
    lines += [f"evidence: {' · '.join(found)}"] if (found := list(_evidence_words(why))) else []
    lines += _attempt_lines(why)
    lines += _node_lines(why)
    if why.traceback:
        title = "last traceback" if _is_traceback(why) else "what its job said"
        lines += [f"{title} ({why.log}):", *(f"  {line}" for line in why.traceback)]
    if why.advice is not None:
        lines += [f"what to do: {why.advice.text}", f"  {why.advice.command}"]
    return lines


def _is_traceback(why: Why) -> bool:
    return why.traceback[0].startswith("Traceback")


def _how_far(why: Why) -> str:
    if not why.step:
        return ""
    total = f" of {why.total_steps:,}" if why.total_steps else ""
    return f" at step {why.step:,}{total}"


def _evidence_words(why: Why) -> Iterator[str]:
    if why.state in ("completed", "running"):
        return
    if why.signal is not None:
        yield f"killed by {why.signal}"
    elif why.exit_code is not None:
        yield f"exit code {why.exit_code}"
    if why.scheduler is not None:
        yield f"the scheduler says {why.scheduler}"
    if why.max_rss_gib is not None:
        yield f"largest process {why.max_rss_gib:.1f} GiB"


def _attempt_lines(why: Why) -> list[str]:
    if not why.attempts:
        return []
    rows = [("attempt", "job", "nodes", "steps", "took", "ended by")]
    rows += [_attempt_row(attempt) for attempt in why.attempts[:-1]]
    newest = why.attempts[-1]
    runs = why.state == "running" and newest.ended_unix_s is None
    rows.append(_running_row(newest, why.step) if runs else _attempt_row(newest))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _running_row(attempt: AttemptRecord, step: int) -> tuple[str, str, str, str, str, str]:
    so_far = attempt.model_copy(update={"last_step": step, "ended_unix_s": time.time()})
    return (*_attempt_row(so_far)[:-1], "running")


def _attempt_row(attempt: AttemptRecord) -> tuple[str, str, str, str, str, str]:
    ended = attempt.ended_unix_s
    last_step = "?" if attempt.last_step is None else f"{attempt.last_step}"
    return (
        str(attempt.number),
        attempt.job_id or attempt.tag,
        ",".join(attempt.nodes) or "-",
        f"{attempt.first_step}-{last_step}",
        duration(None if ended is None else ended - attempt.started_unix_s),
        attempt.cause or "nobody saw it end",
    )


def _node_lines(why: Why) -> list[str]:
    failures = sum(attempt.cause in _BLAMED for attempt in why.attempts)
    lines = []
    for one in why.nodes:
        here = f"{one.failures:,} of this trial" + (
            f" (of {failures:,})" if failures > one.failures else ""
        )
        all_ = f", {one.sweep_failures:,} of all trials of the sweep"
        more = all_ if one.sweep_failures > one.failures else ""
        avoided = "; the sweep avoids it from now on" if one.avoided else ""
        lines.append(f"failures on {one.node}: {here}{more}{avoided}")
    return lines
