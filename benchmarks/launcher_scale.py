"""How the launcher copes with 2,000 trials: submitting, `status`, and a sweep with nothing to do.

    .venv/bin/python benchmarks/launcher_scale.py [--backend slurm]

The trials are no-ops, each a job of its own: this file stands in for the trainer. Each command is a
fresh process; best and median of three. Half of the local trials have a result, the others are
paused; on SLURM (a cluster must answer) they run meanwhile, and are cancelled at the end.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from deit_core.records import SummaryRecord
from deit_core.run_dir import RunDir
from launcher.backends.base import Backend
from launcher.backends.local import LocalBackend
from launcher.backends.slurm.backend import SlurmBackend
from launcher.holding import pause
from launcher.reconcile import reconcile
from launcher.request import request_of
from launcher.sweep import load_sweep
from launcher.sweep_dir import point_latest

REPEATS = 3
BIN = Path(sys.executable).parent
SWEEP = """\
name: two_thousand
base: {base}
axes: {{optim.lr: [{rates}]}}
seeds: 10
resources: {{cohort: false, gpus_per_node: 0, max_parallel: 4}}
"""


def write_sweep(folder: Path) -> Path:
    """A sweep file of 200 learning rates and 10 seeds."""
    recipes = Path(__file__).resolve().parent.parent / "sweeps" / "recipes"
    rates = ", ".join(f"{number / 1e4:.4f}" for number in range(1, 201))
    file = folder / "sweep.yaml"
    file.write_text(SWEEP.format(base=recipes / "deit_micro_digits.yaml", rates=rates))
    return file


def no_result(trial_id: str) -> SummaryRecord:
    """The result of a trial that was never trained."""
    return SummaryRecord(
        trial_id=trial_id,
        epochs=1,
        steps=1,
        val_images=100,
        val_top1=50.0,
        val_top5=90.0,
        val_loss=1.0,
        val_top1_cls=50.0,
        train_loss=1.0,
        train_images=100,
        num_classes=10,
        parameters=1,
        train_s=1.0,
        finished_unix_s=time.time(),
    )


def train(run_dirs: list[str]) -> None:
    """What the trainer does, without training."""
    for path in run_dirs:
        run = RunDir(path)
        with run.lock():
            finish(run)


def finish(run: RunDir) -> None:
    """Give a trial a result."""
    run.write_summary(no_result(run.path.name))
    done = {"state": "completed", "attempt": 1, "step": 1, "epoch": 1.0}
    run.write_status(run.read_status().model_copy(update=done))


def submit(folder: Path, file: Path, backend: str) -> None:
    """Submit all trials, and print what that took."""
    runs, command = folder / "runs", (sys.executable, str(Path(__file__).resolve()), "train")
    local = LocalBackend(runs, command=command)
    chosen: Backend = local
    if backend == "slurm":
        chosen = SlurmBackend(runs, command=command)
    else:
        local._ensure_runner = lambda: None  # type: ignore[method-assign]
    began = time.perf_counter()
    outcome = reconcile(runs, request_of(load_sweep(file)), chosen)
    sys.stdout.write(f"{'submit 2,000 trials':36}      {time.perf_counter() - began:6.2f} s\n")
    point_latest(outcome.sweep_dir)
    if backend == "slurm":
        arrays = len(list((runs / ".slurm").glob("*/array.json")))
        sys.stdout.write(f"{'calls of sbatch':36}      {arrays:6}\n")
        return
    pause(outcome.sweep_dir, local, None)
    for path in list(outcome.paths.values())[::2]:
        finish(RunDir(path))


def measure(label: str, command: list[str]) -> None:
    """Print wall and processor time of fresh processes."""
    times, used = [], []
    for _ in range(REPEATS):
        began, spent = time.perf_counter(), processor_s()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
        used.append(processor_s() - spent)
    best, median = min(times), statistics.median(times)
    sys.stdout.write(
        f"{label:36} best {best:6.2f} s  median {median:6.2f} s  processor {min(used):6.2f} s\n"
    )


def processor_s() -> float:
    """Processor time of all processes that were waited for: what a busy machine does not change."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The launcher with 2,000 trials.")
    parser.add_argument("--backend", choices=("local", "slurm"), default="local")
    backend = parser.parse_args().backend
    launch = str(BIN / "deit-launch")
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:  # in a folder that nodes see
        folder = Path(name)
        os.chdir(folder)
        file = write_sweep(folder)
        submit(folder, file, backend)
        measure("status", [launch, "status"])
        measure("status --json", [launch, "status", "--json"])
        again = [launch, "sweep", str(file), "--backend", backend]
        measure("sweep again: nothing to do", again)
        if backend == "slurm":
            subprocess.run([launch, "cancel", "--all"], check=True, stdout=subprocess.DEVNULL)
        os.chdir(folder.parent)


if __name__ == "__main__":
    if sys.argv[1:2] == ["train"]:
        train(sys.argv[2:])
    else:
        main()
