"""One student of a cohort: its model, optimiser, state on disk, and one training step."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from deit_core.config import RunConfig
from deit_core.data.eval_sets import RealLabels
from deit_core.data.loader import TrainBatch
from deit_core.errors import CheckpointError, DivergedError
from deit_core.models import save_weights
from deit_core.pruning import Position, PrunerRecord, take_rungs, words
from deit_core.records import (
    EnergySource,
    FailureKind,
    State,
    SummaryRecord,
    TrialRecord,
    finite,
)
from deit_core.run_dir import RunDir
from deit_core.train.checkpoint import load_newest, remove_leftovers, save_checkpoint
from deit_core.train.correct import CorrectImages
from deit_core.train.dist import ALONE, Ranks
from deit_core.train.evaluate import ModelScore
from deit_core.train.learner import AutocastFactory, Learner
from deit_core.train.meter import LossMeter
from deit_core.train.progress import ProgressView
from deit_core.train.sinks import MetricSink, StatusFile
from deit_core.train.timetable import Timetable

CHECKPOINT_VERSION = 2
"""Raised when a checkpoint of the version before cannot be gone on from."""


@dataclass(eq=False)
class Student:
    """A trial in training. `step` counts the optimiser steps it has taken.

    Where several processes train it, each has one of these; only the first writes files.
    """

    run: RunDir
    trial: TrialRecord
    config: RunConfig
    learner: Learner
    timetable: Timetable
    status: StatusFile
    view: ProgressView
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Fingerprints of what it learns from, by name; a resume refuses others."""
    ranks: Ranks = ALONE
    sinks: list[MetricSink] = field(default_factory=list)
    pruner: PrunerRecord | None = None
    """How it is compared with the other trials of its sweep; None: it is not."""
    step: int = 0
    meter: LossMeter = field(default_factory=LossMeter)
    skipped_steps: int = 0
    """fp16: steps in which a gradient overflowed."""
    prior_train_s: float = 0.0
    """Training seconds of earlier attempts."""
    unreadable: set[str] = field(default_factory=set)
    teacher_val_top1: float | None = None
    evaluated: bool = True
    """False while the evaluation that is due after `step` has not been made."""
    correct: CorrectImages | None = None
    """Which val images it gets right, from the evaluation after its last step."""
    saved_at: float = field(default_factory=time.monotonic)
    first_step: int = 0
    resumed: bool = False
    started_at: float = field(default_factory=time.monotonic)
    clock_at_start: float | None = None
    """Reading of the cohort's clock when this student took its first step."""

    @property
    def done(self) -> bool:
        """Whether it has taken all its steps and been evaluated."""
        return self.at_end and self.evaluated

    @property
    def epoch(self) -> float:
        """Epochs finished, with a fraction."""
        return self.step / self.timetable.steps_per_epoch

    # training -----------------------------------------------------------------------------------

    def train_step(
        self, batch: TrainBatch, teacher_logits: Tensor | None, autocast: AutocastFactory
    ) -> None:
        """One optimiser step on this process's part of a batch."""
        result = self.learner.step(self.step, batch, teacher_logits, autocast)
        if result.skipped:
            self.skipped_steps += 1
        else:
            self.meter.add(self.step, result.loss)
        self.step += 1
        self.evaluated = not self.timetable.eval_due(self.step)

    def settle(self) -> None:
        """Read the losses of all processes.

        Raises:
            DivergedError: one is not finite, or fp16 gradients overflow at any scale.
        """
        self.meter.settle(self.ranks.mean)
        if self.learner.overflows():
            raise DivergedError(
                f"fp16 gradients overflowed in every step up to {self.step - 1}; use bf16 or fp32"
            )

    def check_finite(self) -> None:
        """Raise DivergedError for a loss or a weight that is not finite.

        A finite loss is not enough: the last update may have ruined the weights.
        """
        self.settle()
        if not self.learner.is_finite():
            raise DivergedError(f"the weights are no longer finite after step {self.step - 1}")

    def note_unreadable(self, path: str) -> None:
        """Count an image that cannot be read."""
        self.unreadable.add(path)
        first = self.status.record.first_unreadable or path
        self.status.update(unreadable_images=len(self.unreadable), first_unreadable=first)

    def share_unreadable(self) -> None:
        """Tell every process what the others could not read."""
        if self.ranks.world > 1:
            for paths in self.ranks.gather(sorted(self.unreadable)):
                for path in paths:
                    self.note_unreadable(path)

    def score(
        self,
        device: torch.device,
        real: RealLabels | None = None,
        correct: CorrectImages | None = None,
    ) -> ModelScore:
        """An empty score for one pass of val."""
        learner = self.learner
        ema = learner.ema.model if learner.ema else None
        return ModelScore(
            learner.model, ema, fuse=learner.fuses, device=device, real=real, correct=correct
        )

    def write_correct(self, val_fingerprint: str) -> None:
        """Store which val images are right, before the row of that evaluation is written.

        So a run that is killed in between evaluates again, and one that has the row has the file.
        """
        if self.correct is not None and self.ranks.leads:
            record = self.correct.record(self.trial.trial_id, val_fingerprint)
            self.run.write_val_correct(record)

    @property
    def at_end(self) -> bool:
        """Whether it has taken all its steps."""
        return self.step >= self.timetable.total_steps

    # rows and state -----------------------------------------------------------------------------

    def emit(self, kind: str, **values: Any) -> None:
        """Write one metrics row to every sink."""
        row: dict[str, Any] = {"kind": kind, "step": self.step, "epoch": round(self.epoch, 6)}
        row |= {key: finite(v) if isinstance(v, float) else v for key, v in values.items()}
        row["unix_s"] = time.time()
        for sink in self.sinks:
            sink.emit(row)
        known = {key: row[key] for key in ("train_loss", "train_images_per_s", "val_top1")
                 if row.get(key) is not None}  # fmt: skip
        self.heartbeat(**known)
        self.view.update(self.trial.name, self.status.record, row)

    def heartbeat(self, **fields: Any) -> None:
        """Bring status.json up to date, at most every few seconds."""
        steps = self.step - self.first_step
        if steps:
            per_step = (time.monotonic() - self.started_at) / steps
            fields["eta_s"] = per_step * (self.timetable.total_steps - self.step)
        self.status.update(step=self.step, epoch=round(self.epoch, 6), **fields)

    def note_position(self) -> None:
        """Write down how far it is, now. Raises RunDirError."""
        self.status.update(force=True, step=self.step, epoch=round(self.epoch, 6))

    def end(self, state: State, reason: str | None, failure: FailureKind | None = None) -> None:
        """Leave training in `state`."""
        finished = None if state == "preempted" else time.time()
        self.status.update(
            force=True,
            state=state,
            reason=reason,
            failure=failure,
            finished_unix_s=finished,
            step=self.step,
            epoch=round(self.epoch, 6),
            eta_s=None,
        )
        for sink in self.sinks:
            sink.close(state)
        self.view.update(self.trial.name, self.status.record, None)

    def why_pruned(self) -> str | None:
        """Why it leaves at this evaluation; None: it stays. Decided where the files are written.

        Raises:
            RunDirError: the decision cannot be written down.
        """
        if self.pruner is None or self.at_end:
            return None
        at = Position(self.trial.trial_id, self.step, self.timetable.total_steps)
        record = take_rungs(self.run, self.pruner, at)
        return None if record is None else words(record, self.pruner.metric)

    def add_energy(self, joules: float, source: EnergySource) -> None:
        """Count energy that was drawn for it; written with the next heartbeat."""
        before = self.status.record.energy_j or 0.0
        self.status.record = self.status.record.model_copy(
            update={"energy_j": before + joules, "energy_source": source}
        )

    # checkpoints ----------------------------------------------------------------------------------

    def save(self, clock_s: float) -> None:
        """Write a checkpoint; the rows before it are made durable first.

        Raises:
            DivergedError: the weights are not worth keeping.
        """
        self.check_finite()
        self.saved_at = time.monotonic()
        self.share_unreadable()
        self.ranks.lead(lambda: self._write_checkpoint(clock_s))

    def _write_checkpoint(self, clock_s: float) -> None:
        self.run.sync_metrics()
        state = self.learner.state() | {
            "version": CHECKPOINT_VERSION,
            "trial_id": self.trial.trial_id,
            "inputs": self.inputs,
            "meter": self.meter.state(),
            "evaluated": self.evaluated,
            "skipped_steps": self.skipped_steps,
            "train_s": self.train_s(clock_s),
            "unreadable": sorted(self.unreadable),
            "teacher_val_top1": self.teacher_val_top1,
        }
        save_checkpoint(self.run.checkpoint_dir, self.step, state)

    def restore(self, device: torch.device) -> None:
        """Go on from the newest valid checkpoint, if there is one; writes nothing.

        Raises:
            CheckpointError: it belongs to another trial, to other data or another teacher, or to
                another version of this program.
        """
        found = load_newest(self.run.checkpoint_dir, device)
        if found is None:
            return
        self.step, state = found
        self._check_origin(state)
        self.learner.load(state)
        self.meter.load(state["meter"])
        self.evaluated = state["evaluated"]
        self.skipped_steps = state["skipped_steps"]
        self.prior_train_s = state["train_s"]
        self.unreadable = set(state["unreadable"])
        self.teacher_val_top1 = state["teacher_val_top1"]
        self.first_step = self.step
        self.resumed = True

    def drop_later_rows(self) -> None:
        """Remove what a killed attempt wrote after its last checkpoint."""
        remove_leftovers(self.run.checkpoint_dir)
        self.run.truncate_metrics(self.step if self.resumed else -1, evaluated=self.evaluated)

    def _check_origin(self, state: dict[str, Any]) -> None:
        folder = self.run.checkpoint_dir
        if state.get("version") != CHECKPOINT_VERSION:
            raise CheckpointError(
                f"the checkpoint of step {self.step} in {folder} was written by another version of "
                f"this program; finish the run with that, or delete the folder to start anew"
            )
        if state["trial_id"] != self.trial.trial_id:
            raise CheckpointError(
                f"{folder} belongs to trial {state['trial_id']}, not {self.trial.trial_id}; "
                f"delete the folder"
            )
        for what, fingerprint in self.inputs.items():
            if state["inputs"].get(what) != fingerprint:
                raise CheckpointError(
                    f"the {what} changed after step {self.step} was saved in {folder}; "
                    f"restore what it was, or delete that folder to train from the start"
                )

    def train_s(self, clock_s: float) -> float:
        """Training seconds over all attempts, waiting for others of the cohort excluded."""
        start = clock_s if self.clock_at_start is None else self.clock_at_start
        return self.prior_train_s + clock_s - start

    def finish(self, *, clock_s: float, cohort_size: int, facts: DataFacts) -> None:
        """Write weights and summary, from the last evaluation in metrics.jsonl."""
        if self.ranks.leads:
            self._write_result(clock_s, cohort_size, facts)
        self.end("completed", None)

    def _write_result(self, clock_s: float, cohort_size: int, facts: DataFacts) -> None:
        learner = self.learner
        save_weights(learner.model, self.run.weights_file)
        if learner.ema is not None:
            save_weights(learner.ema.model, self.run.ema_weights_file)
        row = [row for row in self.run.read_metrics() if row["kind"] == "eval"][-1]
        measured: dict[str, Any] = {k: v for k, v in row.items() if k in SummaryRecord.model_fields}
        self.run.write_summary(
            SummaryRecord(
                **measured,
                trial_id=self.trial.trial_id,
                epochs=row["epoch"],
                steps=row["step"],
                train_images=facts.train_images,
                num_classes=facts.num_classes,
                parameters=sum(p.numel() for p in learner.model.parameters()),
                teacher_val_top1=self.teacher_val_top1,
                unreadable_images=len(self.unreadable),
                skipped_steps=self.skipped_steps,
                cohort_size=cohort_size,
                world_size=self.ranks.world,
                train_s=self.train_s(clock_s),
                finished_unix_s=time.time(),
            )
        )


@dataclass(frozen=True)
class DataFacts:
    """What the sources turned out to hold."""

    train_images: int
    num_classes: int
    fingerprint: str
    val_fingerprint: str
    """Of val alone."""
