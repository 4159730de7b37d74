"""A made-up training whose result is a formula: what `benchmarks/search_surrogate.py` searches.

As a program (`surrogate.py EPOCH_S RUN_DIR...`) it stands in for the trainer: it writes a run
directory's rows, status and result, and asks `deit_core.pruning` at every evaluation.

**The result** (top-1 in percent at the end, `final_top1`) has what makes real ones hard to search.
The best learning rate depends on the depth, and too high a one costs more than one as much too low.
The best augmentation depends on the depth too. A temperature matters with soft distillation alone,
and hard distillation gains from strong augmentation. Deep models at a low rate are a second,
narrow hill; a ripple adds smaller ones.

**The learning curve** (`top1_at`) is the same for all but for a handicap that has gone by the end:
strong augmentation, depth and low learning rates begin slowly, though the first two end higher. So
curves cross: what is best after a ninth of the schedule is often not what is best at the end (the
benchmark prints the rank agreement). How much real curves cross is not known before they are
there, so this is an assumption, and was not made easy for pruning.

**Noise**: each evaluation is off by 0.15 points (standard deviation), keyed by the training seed,
the trial's settings and the epoch.
"""

from __future__ import annotations

import hashlib
import math
import os
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from deit_core.config import RunConfig
from deit_core.pruning import Position, PrunerRecord, read_pruner, take_rungs, words
from deit_core.records import StatusRecord, SummaryRecord
from deit_core.run_dir import RunDir

EPOCHS = 27
NOISE = 0.15
"""Standard deviation of one evaluation, in points of top-1."""
SPACE = """\
  search:
    optim.lr: {low: 1e-4, high: 2e-2, log: true}
    optim.weight_decay: {low: 1e-3, high: 0.3, log: true}
    model.depth: {low: 2, high: 12, int: true}
    augment.strength: {low: 0, high: 1.5}
    distill.kind: [none, soft, hard]
    distill.temperature: {low: 1, high: 8, log: true, when: {distill.kind: soft}}
"""
_STEPS_PER_EPOCH = 10
_CHANCE = 10.0


def final_top1(config: RunConfig) -> float:
    """Top-1 at the end, in percent, without noise."""
    depth, strength = config.model.depth or 0, config.augment.strength
    rate = math.log10(config.optim.lr or 1e-3)
    value = 68.0 + 5.0 * (1 - math.exp(-(depth - 2) / 3)) - _rate_loss(rate, depth)
    value -= 4.0 * (strength - 0.4 - 0.05 * depth) ** 2
    value -= 2.0 * _well(math.log10(config.optim.weight_decay / 0.05), 0.7)
    value += 2.5 * _hill((rate + 3.5) / 0.25) * _hill((depth - 9) / 2)
    value += 0.4 * math.sin(3 * math.pi * rate) * math.cos(2 * math.pi * strength)
    if config.distill.kind == "soft":
        value += 3.5 * _hill(math.log2(config.distill.temperature / 3) / 0.8) - 0.5
    elif config.distill.kind == "hard":
        value += 1.5 + 1.0 * min(strength, 1.2)
    return value


def _rate_loss(rate: float, depth: int) -> float:
    miss = _rate_miss(rate, depth)
    return 8.0 * _well(miss, 0.8) if miss < 0 else 16.0 * _well(miss, 0.5)


def _rate_miss(rate: float, depth: int) -> float:
    """Decades above the best learning rate of a depth."""
    return rate - (math.log10(3e-3) - 0.05 * (depth - 2))


def _hill(x: float) -> float:
    return math.exp(-x * x)


def _well(x: float, width: float) -> float:
    return 1.0 - _hill(x / width)


def top1_at(config: RunConfig, epoch: int) -> float:
    """Top-1 of the evaluation after an epoch, in percent, without noise."""
    part = epoch / EPOCHS
    reached = 0.8 * (1 - math.exp(-part / 0.12)) / (1 - math.exp(-1 / 0.12)) + 0.2 * part**2
    behind = _handicap(config) * math.exp(-part / 0.3) * (1 - part)
    return max(_CHANCE, _CHANCE + (final_top1(config) - _CHANCE) * reached - behind)


def _handicap(config: RunConfig) -> float:
    """By how many points of top-1 a trial begins below what its end promises."""
    depth = config.model.depth or 0
    miss = _rate_miss(math.log10(config.optim.lr or 1e-3), depth)
    return 8.0 * config.augment.strength + 0.5 * (depth - 2) + 3.0 * max(0.0, -miss)


def measured_top1(config: RunConfig, epoch: int) -> float:
    """The same as an evaluation finds it."""
    chosen = (config.optim, config.model.depth, config.augment.strength, config.distill)
    key = hashlib.sha256(f"{config.seed}:{chosen}:{epoch}".encode()).digest()
    return top1_at(config, epoch) + random.Random(key).gauss(0.0, NOISE)


def epoch_cost(config: RunConfig) -> float:
    """How long an epoch takes; 1 for the smallest model."""
    return (2 + (config.model.depth or 0)) / 4


@dataclass
class Training:
    """One trial, epoch by epoch."""

    run: RunDir
    config: RunConfig
    pruner: PrunerRecord | None
    epoch: int = 0

    def begin(self) -> None:
        """Write that it runs."""
        update = {"state": "running", "attempt": 1, "total_steps": EPOCHS * _STEPS_PER_EPOCH,
                  "pid": os.getpid(), "heartbeat_unix_s": time.time()}  # fmt: skip
        self.run.write_status(StatusRecord().model_copy(update=update))

    def train_epoch(self) -> bool:
        """Write the next evaluation; whether the trial has ended with it."""
        self.epoch += 1
        step = self.epoch * _STEPS_PER_EPOCH
        top1 = measured_top1(self.config, self.epoch)
        row = {"kind": "eval", "step": step, "epoch": float(self.epoch), "val_top1": top1}
        self.run.append_metrics(row)
        if self.epoch == EPOCHS:
            self.run.write_summary(self._summary(top1))
            self._end({"state": "completed"})
            return True
        if self.pruner is None:
            return False
        at = Position(self.run.path.name, step, EPOCHS * _STEPS_PER_EPOCH)
        left = take_rungs(self.run, self.pruner, at)
        if left is not None:
            self._end({"state": "pruned", "reason": words(left, self.pruner.metric)})
        return left is not None

    def _end(self, update: dict[str, object]) -> None:
        at = {"step": self.epoch * _STEPS_PER_EPOCH, "epoch": float(self.epoch)}
        self.run.write_status(self.run.read_status().model_copy(update={**update, **at}))

    def _summary(self, top1: float) -> SummaryRecord:
        return SummaryRecord(
            trial_id=self.run.path.name,
            epochs=EPOCHS,
            steps=EPOCHS * _STEPS_PER_EPOCH,
            val_images=797,
            val_top1=top1,
            val_top5=100.0,
            val_loss=1.0,
            val_top1_cls=top1,
            train_loss=1.0,
            train_images=1000,
            num_classes=10,
            parameters=1,
            train_s=EPOCHS * epoch_cost(self.config),
            finished_unix_s=time.time(),
        )


def train(epoch_s: float, paths: Sequence[str]) -> None:
    """Train these run directories, one after another; an epoch takes so many seconds or more."""
    for path in paths:
        run = RunDir(path)
        with run.lock():
            if run.summary_file.exists():
                continue
            config = run.read_config()
            training = Training(run, config, read_pruner(run))
            training.begin()
            while not training.train_epoch():
                time.sleep(epoch_s * epoch_cost(config))


if __name__ == "__main__":
    train(float(sys.argv[1]), sys.argv[2:])
