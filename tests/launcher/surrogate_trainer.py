"""Stands in for `python -m deit_core RUN_DIR…` in searches: a formula instead of a training.

A trial's accuracy is a smooth function of a few fields of its config, with noise that its seed
decides; its curve rises towards that over `train.duration`. It keeps the trainer's promises about
files, the pruner, signals and exit codes, and goes on from the last epoch that it has written.

`behaviour.json` in the runs folder, where there is one, says what else happens:
  epoch_s  seconds that an epoch takes
  gate     a file that trials wait for after their first epoch; `{trial}` stands for the trial's id
  gated, crash, vanish, diverge, refuse   the trials that this happens to: values by field of the
           config, all of which must fit, so that `{}` means all; by default all wait at the gate
`crash` and `vanish` (SIGKILL) happen to first attempts only. Each start is a line of `starts.log`
in the run directory.
"""

import contextlib
import hashlib
import json
import math
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deit_core.pruning import Position, read_pruner, take_rungs, words
from deit_core.records import StatusRecord, SummaryRecord
from deit_core.run_dir import RunDir, read_json
from deit_core.train.signals import StopRequest

STEPS_PER_EPOCH = 10
VAL_IMAGES = 1000
NOISE = 0.2
"""Standard deviation of accuracies between seeds, in percent points."""
_POLL_S = 0.01


# the formula ---------------------------------------------------------------------------------


def top1(config: Mapping[str, Any], share: float = 1.0) -> float:
    """Accuracy in percent after a share (0 to 1) of the schedule.

    Best at a learning rate of 1e-3 (less for deep models), an augmentation of strength 0.8 and a
    temperature of 3; deeper and wider is better. High learning rates begin faster.
    """
    model, distill = config["model"], config["distill"]
    log_lr = math.log10(config["optim"]["lr"] / 1e-3) + 0.04 * (model["depth"] - 6)
    final = 60 + 14 * (1 - math.exp(-model["depth"] / 4)) + 2 * math.log2(model["embed_dim"] / 64)
    final -= 8 * log_lr**2 + 6 * (config["augment"]["strength"] - 0.8) ** 2
    if distill["kind"] == "soft":
        final += 3 - 1.5 * math.log2(distill["temperature"] / 3) ** 2
    elif distill["kind"] == "hard":
        final += 2
    final = max(1.0, final + NOISE * _normal(config))
    rate = 3 + max(-2.0, min(2.0, log_lr))
    return final * (1 - math.exp(-rate * share)) / (1 - math.exp(-rate))


def images_per_s(config: Mapping[str, Any]) -> float:
    """Training speed: the deeper and the wider, the slower."""
    return 60_000 / (config["model"]["depth"] * config["model"]["embed_dim"] / 64)


def _normal(config: Mapping[str, Any]) -> float:
    """A standard normal number: of the config, and nothing else."""
    keys = [config[key] for key in ("model", "optim", "augment", "distill", "seed")]
    digest = hashlib.sha256(json.dumps(keys, sort_keys=True).encode()).digest()
    first, second = (int.from_bytes(digest[n : n + 8]) / 2**64 for n in (0, 8))
    return math.sqrt(-2 * math.log(1 - first)) * math.cos(2 * math.pi * second)


# one trial -----------------------------------------------------------------------------------


def behaviour(run: RunDir) -> dict[str, Any]:
    path = run.path.resolve().parents[2] / "behaviour.json"
    return json.loads(path.read_text()) if path.exists() else {}


def fits(config: Mapping[str, Any], wanted: Mapping[str, list[Any]] | None) -> bool:
    """Whether each of these fields has one of its values."""
    if wanted is None:
        return False
    for field, values in wanted.items():
        value: Any = config
        for part in field.split("."):
            value = value[part]
        if value not in values:
            return False
    return True


class Trial:
    """One of the trials of this process."""

    def __init__(self, path: str) -> None:
        self.run = RunDir(path)
        self.config = read_json(self.run.config_file)
        self.plan = behaviour(self.run)
        self.epochs = int(self.config["train"]["duration"].removesuffix("ep"))
        self.status = StatusRecord()

    def happens(self, what: str) -> bool:
        first = what not in ("crash", "vanish") or self.status.attempt == 1
        return first and fits(self.config, self.plan.get(what))

    def write(self, **update: Any) -> None:
        self.status = self.status.model_copy(update={"heartbeat_unix_s": time.time()} | update)
        self.run.write_status(self.status)

    def begin(self) -> None:
        before = self.run.read_status()
        done = len(self.run.read_metrics())
        self.status = StatusRecord(attempt=before.attempt + 1, total_steps=10 * self.epochs)
        with open(self.run.path / "starts.log", "a", encoding="utf-8") as log:
            log.write(f"{self.status.attempt} {os.environ.get('SLURM_JOB_ID', '-')}\n")
        self.write(
            state="running",
            pid=os.getpid(),
            hostname=socket.gethostname(),
            started_unix_s=time.time(),
            step=done * STEPS_PER_EPOCH,
            epoch=float(done),
        )
        sys.stdout.write(f"training {self.run.path.name}\n")
        sys.stdout.flush()
        if self.happens("vanish"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.happens("crash"):
            raise RuntimeError("boom")

    @property
    def epoch(self) -> int:
        return round(self.status.epoch)

    @property
    def is_over(self) -> bool:
        return self.status.state != "running"

    def waits(self) -> bool:
        gate = self.plan.get("gate")
        if not gate or self.epoch < 1 or not fits(self.config, self.plan.get("gated", {})):
            return False
        return not os.path.exists(gate.format(trial=self.run.path.name))

    def train_epoch(self) -> None:
        time.sleep(self.plan.get("epoch_s", 0))
        epoch = self.epoch + 1
        share = epoch / self.epochs
        accuracy = top1(self.config, share)
        row = {
            "kind": "eval",
            "step": epoch * STEPS_PER_EPOCH,
            "epoch": float(epoch),
            "val_top1": accuracy,
            "val_top5": min(100.0, accuracy + 15),
            "val_loss": 5 * (1 - accuracy / 100),
            "val_top1_cls": accuracy - 0.5,
            "train_loss": 5 * (1 - accuracy / 100),
            "val_images": VAL_IMAGES,
            "unix_s": time.time(),
        }
        self.run.append_metrics(row)
        self.write(step=row["step"], epoch=float(epoch), val_top1=accuracy)
        if self.happens("diverge"):
            self.write(state="failed", failure="diverged", reason="the loss is nan")

    def decide(self, size: int) -> None:
        """Leave at a rung, or at the end."""
        pruner = read_pruner(self.run)
        if self.is_over:
            return
        if self.epoch >= self.epochs:
            self.finish(size)
        elif pruner is not None:
            at = Position(self.run.path.name, self.status.step, 10 * self.epochs)
            record = take_rungs(self.run, pruner, at)
            if record is not None:
                self.write(state="pruned", reason=words(record, pruner.metric))

    def finish(self, size: int) -> None:
        row = self.run.read_metrics()[-1]
        model = self.config["model"]
        images = row["step"] * self.config["train"]["global_batch_size"]
        self.run.write_summary(
            SummaryRecord(
                **{key: row[key] for key in row if key in SummaryRecord.model_fields},
                trial_id=self.run.path.name,
                epochs=row["epoch"],
                steps=row["step"],
                train_images=1000,
                num_classes=10,
                parameters=12 * model["depth"] * model["embed_dim"] ** 2,
                cohort_size=size,
                train_s=images / images_per_s(self.config),
                finished_unix_s=time.time(),
            )
        )
        self.write(state="completed")


def train(trials: list[Trial], stop: StopRequest) -> int:
    """All trials side by side, an epoch of each at a time."""
    for trial in trials:
        trial.begin()
    while left := [trial for trial in trials if not trial.is_over]:
        if stop:
            for trial in left:
                trial.write(state="preempted", reason=f"stopped by signal {stop.name}")
            return 85
        if any(trial.waits() for trial in left):
            time.sleep(_POLL_S)
            continue
        for trial in left:
            trial.train_epoch()
        for trial in left:
            trial.decide(len(trials))
    return 3 if any(trial.status.state == "failed" for trial in trials) else 0


def main(paths: list[str]) -> int:
    stop = StopRequest().install()
    trials = [Trial(path) for path in paths if not (Path(path) / "summary.json").exists()]
    if any(trial.happens("refuse") for trial in trials):
        sys.stderr.write("error: this trial is refused\n")
        return 2
    with contextlib.ExitStack() as locks:
        for trial in trials:
            locks.enter_context(trial.run.lock())
        try:
            return train(trials, stop)
        except RuntimeError as error:
            for trial in trials:
                if not trial.is_over:
                    trial.write(state="failed", failure="crashed", reason=f"{error}")
            return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
