"""One student of a cohort: its model, optimiser, state on disk, and one training step."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from deit_core.config import RunConfig
from deit_core.data.loader import TrainBatch
from deit_core.distill.task import DistillationTask
from deit_core.errors import CheckpointError, DivergedError
from deit_core.models import head_logits, save_weights, set_step_key
from deit_core.optim.ema import ModelEma
from deit_core.optim.schedule import Schedule
from deit_core.records import FailureKind, State, StatusRecord, SummaryRecord, TrialRecord, finite
from deit_core.run_dir import RunDir
from deit_core.train.checkpoint import load_newest, remove_leftovers, save_checkpoint
from deit_core.train.evaluate import ModelScore
from deit_core.train.meter import LossMeter
from deit_core.train.progress import ProgressView
from deit_core.train.sinks import MetricSink, StatusFile


@dataclass(frozen=True)
class Timetable:
    """When a student logs, evaluates and saves, in optimiser steps."""

    total_steps: int
    steps_per_epoch: int
    log_every: int
    eval_every: int
    save_every: int
    save_every_s: float

    def log_due(self, step: int) -> bool:
        """Whether a training row follows `step` finished steps."""
        return step % self.log_every == 0

    def eval_due(self, step: int) -> bool:
        """Whether an evaluation follows `step` finished steps; the last one always has one."""
        return step % self.eval_every == 0 or step == self.total_steps

    def save_due(self, step: int, seconds_since_save: float) -> bool:
        """Whether a checkpoint follows `step` finished steps."""
        return (
            step % self.save_every == 0
            or step == self.total_steps
            or seconds_since_save >= self.save_every_s
        )


@dataclass(frozen=True)
class Learner:
    """The parts of a student that compute."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    task: DistillationTask
    ema: ModelEma | None

    def state(self) -> dict[str, Any]:
        """Everything that training changes."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.model.state_dict() if self.ema else None,
        }

    def is_finite(self) -> bool:
        """Whether all weights and averages are; one number is read from the device."""
        tensors = [*self.model.parameters(), *(self.ema.model.parameters() if self.ema else ())]
        norms = torch.stack(torch._foreach_norm([tensor.detach() for tensor in tensors]))
        return bool(norms.isfinite().all())

    def load(self, state: dict[str, Any]) -> None:
        """Restore `state`."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.ema is not None:
            self.ema.model.load_state_dict(state["ema"])


@dataclass(eq=False)
class Student:
    """A trial in training. `step` counts the optimiser steps it has taken."""

    run: RunDir
    trial: TrialRecord
    config: RunConfig
    learner: Learner
    timetable: Timetable
    status: StatusFile
    view: ProgressView
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Fingerprints of what it learns from, by name; a resume refuses others."""
    sinks: list[MetricSink] = field(default_factory=list)
    step: int = 0
    meter: LossMeter = field(default_factory=LossMeter)
    prior_train_s: float = 0.0
    """Training seconds of earlier attempts."""
    unreadable: set[str] = field(default_factory=set)
    teacher_val_top1: float | None = None
    evaluated: bool = True
    """False while the evaluation that is due after `step` has not been made."""
    saved_at: float = field(default_factory=time.monotonic)
    first_step: int = 0
    started_at: float = field(default_factory=time.monotonic)
    clock_at_start: float | None = None
    """Reading of the cohort's clock when this student took its first step."""

    @property
    def done(self) -> bool:
        """Whether it has taken all its steps and been evaluated."""
        return self.step >= self.timetable.total_steps and self.evaluated

    @property
    def epoch(self) -> float:
        """Epochs finished, with a fraction."""
        return self.step / self.timetable.steps_per_epoch

    # training -----------------------------------------------------------------------------------

    def train_step(
        self,
        batch: TrainBatch,
        teacher_logits: Tensor | None,
        autocast: Callable[[], AbstractContextManager[object]],
    ) -> None:
        """Forward, backward, optimiser and EMA on one batch."""
        learner = self.learner
        set_step_key(learner.model, self.config.seed, self.step)
        rate = learner.schedule(self.step)
        for group in learner.optimizer.param_groups:
            group["lr"] = rate
        with autocast():
            heads = head_logits(learner.model, batch.images)
        loss = learner.task.loss(heads, batch.targets, teacher_logits)
        learner.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.config.optim.clip_grad_norm is not None:
            nn.utils.clip_grad_norm_(learner.model.parameters(), self.config.optim.clip_grad_norm)
        learner.optimizer.step()
        if learner.ema is not None:
            learner.ema.update()
        self.meter.add(self.step, loss.detach())
        self.step += 1
        self.evaluated = not self.timetable.eval_due(self.step)

    def check_finite(self) -> None:
        """Raise DivergedError for a loss or a weight that is not finite.

        A finite loss is not enough: the last update may have ruined the weights.
        """
        self.meter.settle()
        if not self.learner.is_finite():
            raise DivergedError(f"the weights are no longer finite after step {self.step - 1}")

    def note_unreadable(self, path: str) -> None:
        """Count an image that cannot be read."""
        self.unreadable.add(path)
        first = self.status.record.first_unreadable or path
        self.status.update(unreadable_images=len(self.unreadable), first_unreadable=first)

    def score(self, device: torch.device) -> ModelScore:
        """An empty score for one pass of val."""
        ema = self.learner.ema.model if self.learner.ema else None
        return ModelScore(
            self.learner.model, ema, fuse=self.learner.task.trains_dist_head, device=device
        )

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

    # checkpoints ----------------------------------------------------------------------------------

    def save(self, clock_s: float) -> None:
        """Write a checkpoint; the rows before it are made durable first.

        Raises:
            DivergedError: the weights are not worth keeping.
        """
        self.check_finite()
        self.run.sync_metrics()
        state = self.learner.state() | {
            "trial_id": self.trial.trial_id,
            "inputs": self.inputs,
            "meter": self.meter.state(),
            "evaluated": self.evaluated,
            "train_s": self.train_s(clock_s),
            "unreadable": sorted(self.unreadable),
            "teacher_val_top1": self.teacher_val_top1,
        }
        save_checkpoint(self.run.checkpoint_dir, self.step, state)
        self.saved_at = time.monotonic()

    def restore(self, device: torch.device) -> None:
        """Go on from the newest valid checkpoint; rows beyond it are dropped.

        Raises:
            CheckpointError: it belongs to another trial, or to other data or another teacher.
        """
        remove_leftovers(self.run.checkpoint_dir)
        found = load_newest(self.run.checkpoint_dir, device)
        if found is not None:
            self.step, state = found
            self._check_origin(state)
            self.learner.load(state)
            self.meter.load(state["meter"])
            self.evaluated = state["evaluated"]
            self.prior_train_s = state["train_s"]
            self.unreadable = set(state["unreadable"])
            self.teacher_val_top1 = state["teacher_val_top1"]
        self.first_step = self.step
        self.run.truncate_metrics(self.step if found else -1, evaluated=self.evaluated)

    def _check_origin(self, state: dict[str, Any]) -> None:
        folder = self.run.checkpoint_dir
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
                cohort_size=cohort_size,
                train_s=self.train_s(clock_s),
                finished_unix_s=time.time(),
            )
        )
        self.end("completed", None)


@dataclass(frozen=True)
class DataFacts:
    """What the sources turned out to hold."""

    train_images: int
    num_classes: int
    fingerprint: str


def starting_status(previous: StatusRecord, **fields: Any) -> StatusRecord:
    """The status of a trial whose next attempt begins now."""
    return StatusRecord(
        state="running",
        attempt=previous.attempt + 1,
        started_unix_s=time.time(),
        heartbeat_unix_s=time.time(),
        step=previous.step,
        epoch=previous.epoch,
        total_steps=previous.total_steps,
        val_top1=previous.val_top1,
        **fields,
    )
