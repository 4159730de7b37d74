"""How long `deit-report` takes, and how much memory, for 1,000 and for 10,000 trials.

    .venv/bin/python benchmarks/report_scale.py [--trials 1000 10000] [--epochs 300] [--keep FOLDER]

The sweep folders are made up: a fifth as many variants as trials, five seeds each, with curves,
throughput, attempts and which val images were right, as a sweep leaves them. A report is compiled
by one fresh process; its peak memory is what the kernel counts.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from deit_core.attempts import AttemptRecord
from deit_core.config import parse_run_config
from deit_core.correct_records import ValCorrectRecord
from deit_core.records import (
    EnvRecord,
    PlannedTrial,
    PlanRecord,
    Record,
    StatusRecord,
    SummaryRecord,
    TrialRecord,
)
from deit_core.run_dir import RunDir
from deit_core.throughput_records import (
    BenchConditions,
    BenchProtocol,
    Latency,
    Speed,
    SpeedPoint,
    ThroughputRecord,
)

REPORT = Path(sys.executable).parent / "deit-report"
SEEDS = 5
VAL_IMAGES = 360
START_UNIX_S = 1_795_000_000.0
CONFIG: dict[str, Any] = {
    "data": {"source": "digits", "train_images": 300},
    "model": {"name": "deit_tiny_distilled_patch16_224", "img_size": 8, "patch_size": 2},
    "train": {"duration": "300ep", "global_batch_size": 16},
}
AXES: dict[str, tuple[Any, ...]] = {
    "distill.kind": ("none", "soft", "hard"),
    "augment.strength": (0.0, 0.5, 1.0, 1.5),
    "model.depth": (6, 8, 10, 12),
    "optim.lr": tuple(round(0.0005 * step, 4) for step in range(1, 43)),
}


def variants(number: int) -> Iterator[dict[str, Any]]:
    """So many combinations of swept values; the axes that are listed first vary fastest."""
    names = list(AXES)
    combinations = itertools.product(*(AXES[name] for name in reversed(names)))
    for values in itertools.islice(combinations, number):
        yield dict(zip(names, reversed(values), strict=True))


class Writer:
    """Writes one sweep folder; nothing is flushed to the disk one by one."""

    def __init__(self, path: Path, epochs: int) -> None:
        self.path, self.epochs = path, epochs
        self.planned: list[PlannedTrial] = []
        self._random = random.Random(0)

    def sweep(self, trials: int) -> None:
        """All of it, with plan and sweep file."""
        for number, swept in enumerate(variants(-(-trials // SEEDS))):
            for seed in range(SEEDS):
                if len(self.planned) < trials:
                    self._trial(number, swept, seed)
        plan = PlanRecord(
            sweep="scale", sweep_hash="abcd1234", created_utc="2026-11-22T00:00:00Z",
            axes=tuple(AXES), trials=tuple(self.planned),
        )  # fmt: skip
        _write(self.path / "plan.json", plan)
        (self.path / "sweep.yaml").write_text("name: scale\n", encoding="utf-8")

    def _trial(self, variant: int, swept: dict[str, Any], seed: int) -> None:
        group, trial_id = f"{variant:08x}ffff", f"{variant:08x}{seed:04x}"
        name = ",".join(f"{key.rpartition('.')[2]}={value}" for key, value in swept.items())
        record = TrialRecord(
            trial_id=trial_id, group_id=group, name=f"{name},seed={seed}", seed=seed, swept=swept
        )
        planned = record.model_dump(include=set(PlannedTrial.model_fields))
        self.planned.append(PlannedTrial(**planned))
        run = RunDir(self.path / "trials" / trial_id)
        run.job_dir.mkdir(parents=True)
        _write(run.trial_file, record)
        config = CONFIG | {"seed": seed, "optim": {"lr": swept["optim.lr"]}}
        resolved = parse_run_config(config).model_dump(mode="json")
        run.config_file.write_text(json.dumps(resolved, indent=2), encoding="utf-8")
        self._results(run, variant, trial_id)

    def _results(self, run: RunDir, variant: int, trial_id: str) -> None:
        rate = min(0.97, max(0.5, 0.8 + variant % 60 / 500 + self._random.gauss(0, 0.01)))
        hits = np.arange(VAL_IMAGES) < round(VAL_IMAGES * rate)
        top1 = 100 * (int(hits.sum()) / VAL_IMAGES)
        steps = 19 * self.epochs
        ended = START_UNIX_S + 600
        run.metrics_file.write_text("".join(self._rows(top1)), encoding="utf-8")
        _write(run.status_file, StatusRecord(
            state="completed", attempt=1, step=steps, total_steps=steps,
            started_unix_s=START_UNIX_S, finished_unix_s=ended,
        ))  # fmt: skip
        _write(run.summary_file, SummaryRecord(
            trial_id=trial_id, epochs=self.epochs, steps=steps, val_images=VAL_IMAGES,
            val_top1=top1, val_top5=99.0, val_loss=0.5, val_top1_cls=top1 - 0.3,
            val_top1_dist=top1 - 0.2, train_loss=0.9, train_images=300, num_classes=10,
            parameters=201_234, train_s=540.0, finished_unix_s=ended,
        ))  # fmt: skip
        _write(run.env_file, EnvRecord(
            python="3.11.7", platform="Linux", hostname="node1", device="cpu", device_name="CPU",
            threads=1, versions={"torch": "2.13.0", "timm": "1.0.31"}, git_sha="0" * 40,
            git_dirty=False,
        ))  # fmt: skip
        _write(run.val_correct_file, ValCorrectRecord.of(trial_id, hits, "images"))
        _write(run.throughput_file, _throughput(variant))
        line = AttemptRecord(
            number=1, tag="job", backend="local", nodes=("node1",), started_unix_s=START_UNIX_S,
            ended_unix_s=ended, last_step=steps, exit_code=0, cause="completed",
        ).model_dump_json()  # fmt: skip
        run.attempts_file.write_text(line + "\n", encoding="utf-8")

    def _rows(self, top1: float) -> Iterator[str]:
        for epoch in range(1, self.epochs + 1):
            common = {"epoch": float(epoch), "step": 19 * epoch}
            common["unix_s"] = START_UNIX_S + 600 * epoch / self.epochs
            yield json.dumps(
                {"kind": "train"} | common
                | {"train_loss": 2 / epoch, "lr": 0.001, "train_images_per_s": 1234.5}
            ) + "\n"  # fmt: skip
            reached = top1 if epoch == self.epochs else top1 - 40 / epoch
            yield json.dumps(
                {"kind": "eval"} | common
                | {"val_top1": reached, "val_top1_cls": reached - 0.3, "val_loss": 2 / epoch,
                   "val_top1_dist": reached - 0.2, "val_top5": 99.0, "train_loss": 2 / epoch}
            ) + "\n"  # fmt: skip


def _throughput(variant: int) -> ThroughputRecord:
    def points(scale: float) -> tuple[SpeedPoint, ...]:
        speed = scale * (1000 + variant % 100 * 20)
        return tuple(
            SpeedPoint(
                batch_size=2**power, images_per_s=speed * power, images_per_s_min=speed * power - 5,
                images_per_s_max=speed * power + 5, blocks=5, iterations=30, timed_s=10.0,
                peak_gib=0.1 * power, mfu=0.4,
            )
            for power in range(1, 11)
        )  # fmt: skip

    return ThroughputRecord(
        key=f"{variant % 100:04x}", protocol=BenchProtocol(),
        conditions=BenchConditions(
            device="cpu", device_name="CPU", precision="fp32", torch="2.13.0", hostname="node1"
        ),
        img_size=8, parameters=201_234, macs_per_image=3_000_000 + variant % 100,
        speeds=(
            Speed(quantity="inference", fixed=points(3)[7], largest=points(3)[9],
                  batch_sweep=points(3)),
            Speed(quantity="training", fixed=points(1)[7], largest=points(1)[9],
                  batch_sweep=points(1)),
        ),
        latency=Latency(calls=200, p50_ms=1.0, p90_ms=1.1, p99_ms=1.4),
        finished_unix_s=START_UNIX_S + 4000,
    )  # fmt: skip


def _write(path: Path, record: Record) -> None:
    path.write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")


def measure(sweep: Path) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and peak GiB of one fresh `deit-report`."""
    start = time.perf_counter()
    process = subprocess.Popen([REPORT, sweep], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"deit-report failed on {sweep}")
    wall = time.perf_counter() - start
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20


def main() -> None:
    """Make the folders, compile and print a line for each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--keep", type=Path, help="make the folders here and leave them")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        for trials in asked.trials:
            sweep = (asked.keep or Path(name)) / f"scale_{trials}"
            if not sweep.exists():
                Writer(sweep, asked.epochs).sweep(trials)
            seconds, processor, peak_gib = measure(sweep)
            sizes = {p.name: p.stat().st_size for p in (sweep / "report").iterdir() if p.is_file()}
            sys.stdout.write(
                f"{trials:6,} trials x {asked.epochs} epochs: {seconds:6.1f} s "
                f"(processor {processor:.1f} s), peak "
                f"{peak_gib:.2f} GiB; index.html {sizes['index.html'] / 1e6:.2f} MB, "
                f"results.json {sizes['results.json'] / 1e6:.1f} MB\n"
            )


if __name__ == "__main__":
    main()
