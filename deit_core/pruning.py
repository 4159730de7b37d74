"""Early stopping: which trials leave at a rung of their schedule. Torch-free.

The rule is asynchronous successive halving in its stopping variant (Li et al. 2020, arXiv
1810.05934; as in Ray Tune and Syne Tune): whoever reaches a rung leaves if it is below the
(1 - 1/reduction_factor) quantile of all values seen at that rung so far, its own among them. So
nobody waits, and the first to arrive goes on. Hyperband (Li et al. 2018, arXiv 1603.06560) is the
same in brackets that do not see each other, each of which starts one rung later.

Everything is read from the run directories of the same sweep: there is nobody to ask. What was
decided is written down (`job/rungs.jsonl`) before it is done, and is never decided anew.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from deit_core.errors import RunDirError, UserError
from deit_core.records import Record, finite
from deit_core.run_dir import RunDir, read_json, write_atomic

Decision = Literal["continue", "prune", "would_prune"]
_ROUNDING = 1e-6
"""Steps by which a rung may be missed: 0.07 of 100 steps is 7.000000000000001."""


class PrunerRecord(Record):
    """job/pruner.json: how a trial is compared with the others of its sweep."""

    metric: str
    """A key of evaluation rows."""
    direction: Literal["maximize", "minimize"]
    rungs: tuple[float, ...]
    """Fractions of a trial's own schedule, ascending, of the first bracket."""
    brackets: int = 1
    """1: successive halving. More: hyperband; bracket b has the rungs from number b on."""
    reduction_factor: float
    mode: Literal["prune", "advice"] = "prune"
    exempt: bool = False
    """The user has asked to go on with this trial: it is never pruned."""

    def bracket_of(self, trial_id: str) -> int:
        """The bracket of a trial: a draw that its id decides.

        Shares are those of Hyperband, n_s ~ eta^s / (s + 1) for s from s_max down to 0
        (arXiv 1603.06560, Algorithm 1).
        """
        eta, last = self.reduction_factor, self.brackets - 1
        shares = [eta**s / (s + 1) for s in range(last, -1, -1)]
        digest = hashlib.sha256(trial_id.encode()).digest()
        left = int.from_bytes(digest[:8]) / 2**64 * sum(shares)
        for bracket, share in enumerate(shares):
            left -= share
            if left < 0:
                return bracket
        return last

    def rungs_of(self, trial_id: str) -> tuple[float, ...]:
        """Where this trial is compared; nowhere in the last bracket of hyperband."""
        return self.rungs[self.bracket_of(trial_id) :]

    def score(self, value: float | None) -> float:
        """A value of the metric so that more is better; one that is not finite is the worst."""
        if value is None or not math.isfinite(value):
            return -math.inf
        return value if self.direction == "maximize" else -value


class RungRecord(Record):
    """A line of job/rungs.jsonl: what was decided about a trial at a rung, and from what."""

    rung: float
    step: int
    """Of the evaluation that was compared: the first at or after the rung."""
    epoch: float
    value: float | None
    reached: int
    """Trials of the same bracket that had a value here by then, this one among them."""
    place: int
    """1: the best of them."""
    cutoff: float | None
    """The value that was needed to go on; null where nobody has a finite one."""
    decision: Decision
    unix_s: float


@dataclass(frozen=True)
class Position:
    """Where a trial stands."""

    trial_id: str
    step: int
    total_steps: int


def rung_step(rung: float, total_steps: int) -> float:
    """From which step on a trial has reached a rung."""
    return rung * total_steps - _ROUNDING


def rung_evaluation(rung: float, total: float, every: float) -> int:
    """Which evaluation, counted from 1, is the first at or after a rung.

    Args:
        rung: fraction of the schedule.
        total: length of the schedule, in steps or epochs.
        every: distance of evaluations, in the same unit; the end always has one.
    """
    return min(math.ceil((rung * total - _ROUNDING) / every), math.ceil(total / every))


# the rule ------------------------------------------------------------------------------------


def cutoff_score(scores: Sequence[float], reduction_factor: float) -> float:
    """The (1 - 1/reduction_factor) quantile, linear between neighbours.

    Between the worst and a number it is the number: so what is not finite stays below.
    """
    ordered = sorted(scores)
    # In this order of operations a quantile that falls on a value is exactly that value.
    position = (len(ordered) - 1) * (reduction_factor - 1) / reduction_factor
    low = math.floor(position)
    below, above = ordered[low], ordered[min(low + 1, len(ordered) - 1)]
    if position == low or below == above:
        return below
    if math.isinf(below):
        return above
    return min(above, below + (above - below) * (position - low))


def take_rungs(run: RunDir, pruner: PrunerRecord, at: Position) -> RungRecord | None:
    """Decide about every rung that a trial has reached and nothing is written of yet.

    Returns:
        What ends the trial; None where it goes on.

    Raises:
        RunDirError: its own files cannot be read or written.
    """
    if pruner.exempt:
        return None
    taken = {record.rung: record for record in read_rungs(run)}
    for rung in pruner.rungs_of(at.trial_id):
        if at.step < rung_step(rung, at.total_steps):
            break
        if rung not in taken:
            record = _decide(run, pruner, at, rung)
            if record is None:
                break
            taken[rung] = record
            _write_rungs(run, taken.values())
        if taken[rung].decision != "continue":
            ends = taken[rung].decision == "prune" and pruner.mode == "prune"
            return taken[rung] if ends else None
    return None


def _decide(run: RunDir, pruner: PrunerRecord, at: Position, rung: float) -> RungRecord | None:
    row = first_evaluation(run, rung_step(rung, at.total_steps))
    if row is None:
        return None
    bracket = pruner.bracket_of(at.trial_id)
    others = [
        score
        for path in _folders_beside(run.path)
        if (score := _score_at(RunDir(path), pruner, bracket, rung)) is not None
    ]
    value = row.get(pruner.metric)
    own = pruner.score(value)
    cutoff = cutoff_score([*others, own], pruner.reduction_factor)
    sign = 1 if pruner.direction == "maximize" else -1
    leaves: Decision = "prune" if pruner.mode == "prune" else "would_prune"
    return RungRecord(
        rung=rung,
        step=row["step"],
        epoch=row["epoch"],
        value=finite(value),
        reached=len(others) + 1,
        place=1 + sum(score > own for score in others),
        cutoff=finite(sign * cutoff),
        decision=leaves if own < cutoff else "continue",
        unix_s=time.time(),
    )


def _score_at(run: RunDir, pruner: PrunerRecord, bracket: int, rung: float) -> float | None:
    """Another trial's score at a rung.

    None for one that has not come so far, that has left before (in `advice` mode it would have),
    that is a teacher or in another bracket, and for one whose files cannot be read.
    """
    try:
        total_steps = run.read_status().total_steps
        row = first_evaluation(run, rung_step(rung, total_steps)) if total_steps else None
        if row is None or pruner.metric not in row:
            return None
        trial, earlier = run.read_trial(), read_rungs(run)
    except UserError:
        return None
    if trial.role == "teacher" or pruner.bracket_of(trial.trial_id) != bracket:
        return None
    if any(record.decision != "continue" and record.rung < rung for record in earlier):
        return None
    return pruner.score(row[pruner.metric])


def _folders_beside(path: Path) -> Iterator[str]:
    """Run directories in the same folder, those that are links among them."""
    try:
        with os.scandir(path.parent) as entries:
            yield from (e.path for e in entries if e.name != path.name and e.is_dir())
    except OSError as error:
        raise RunDirError(f"cannot read {path.parent}: {error.strerror}") from error


# files -----------------------------------------------------------------------------------------


def first_evaluation(run: RunDir, from_step: float) -> dict[str, Any] | None:
    """The first evaluation at or after a step; None before there is one.

    Reads no further than that. Raises RunDirError.
    """
    try:
        with open(run.metrics_file, "rb") as file:
            for line in file:
                row = json.loads(line) if b'"eval"' in line else {}
                if row.get("kind") == "eval" and row["step"] >= from_step:
                    return dict(row)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunDirError(f"cannot read {run.metrics_file}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # torn, or damaged: `read_metrics` tells which
    return None


def read_rungs(run: RunDir) -> list[RungRecord]:
    """What was decided about a trial so far, by rung. Raises RunDirError or SchemaError."""
    try:
        lines = run.rungs_file.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunDirError(f"cannot read {run.rungs_file}: {error.strerror}") from error
    try:
        rows = [json.loads(line) for line in lines]
    except ValueError:
        raise RunDirError(f"{run.rungs_file} is damaged: it is not JSON; delete it") from None
    return [RungRecord.from_json(row, str(run.rungs_file)) for row in rows]


def _write_rungs(run: RunDir, records: Iterable[RungRecord]) -> None:
    """Replace the few lines whole, so that none is ever torn. Raises RunDirError."""
    text = "".join(record.model_dump_json() + "\n" for record in records)
    write_atomic(run.rungs_file, text.encode())


def read_pruner(run: RunDir) -> PrunerRecord | None:
    """How the trial is compared; None where it is not. Raises RunDirError or SchemaError."""
    if not run.pruner_file.exists():
        return None
    return PrunerRecord.from_json(read_json(run.pruner_file), str(run.pruner_file))


def words(record: RungRecord, metric: str) -> str:
    """Why a trial was pruned, in one line."""
    value = f"no finite {metric}" if record.value is None else f"{metric} {record.value:.4g}"
    needed = "" if record.cutoff is None else f", {record.cutoff:.4g} was needed"
    return (
        f"stopped at {100 * record.rung:.3g} % of its schedule: {value}, "
        f"{_ordinal(record.place)} of {record.reached}{needed}"
    )


def _ordinal(number: int) -> str:
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if 11 <= number % 100 <= 13 else suffix}"
