"""The bench directories of a sweep: `<sweep>/bench/<number>/`, each one order to measure.

A bench directory is shaped like a run directory, so that backends run, follow and retry its job as
they do any other; bench.json says what to measure. Its result is in the run directories that it
names, and its status says when it is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deit_core.config import parse_run_config
from deit_core.records import TrialRecord
from deit_core.run_dir import RunDir, read_json, write_json
from deit_core.throughput_records import BenchRecord
from launcher.backends.base import Backend
from launcher.observe import Observation, observe
from launcher.sweep_dir import SweepDir, one_line_errors

NAME = "bench"
"""The folder, and what commands that name trials call the latest order."""


@dataclass(frozen=True)
class Order:
    """One order, and how its job stands."""

    run: RunDir
    record: BenchRecord
    seen: Observation

    @property
    def run_dirs(self) -> set[str]:
        """Run directories that are told how fast their models are."""
        return {path for target in self.record.targets for path in target.run_dirs}


def bench_folder(sweep_dir: SweepDir) -> Path:
    """Where the orders of a sweep are."""
    return sweep_dir.path / NAME


def is_bench(path: Path) -> bool:
    """Whether a run directory is an order to measure, and no trial."""
    return RunDir(path).bench_file.exists()


def bench_runs(sweep_dir: SweepDir) -> list[RunDir]:
    """All complete bench directories, oldest first. Raises RunDirError."""
    folder = bench_folder(sweep_dir)
    if not folder.is_dir():
        return []
    with one_line_errors("read the sweep's measurements"):
        found = [entry for entry in folder.iterdir() if entry.name.isdigit()]
    runs = (RunDir(path.resolve()) for path in sorted(found, key=lambda path: int(path.name)))
    return [run for run in runs if run.exists() and run.bench_file.exists()]


def read_bench(run: RunDir) -> BenchRecord:
    """bench.json. Raises RunDirError or SchemaError."""
    return BenchRecord.from_json(read_json(run.bench_file), str(run.bench_file))


def look_at_benches(sweep_dir: SweepDir, backend: Backend) -> Iterator[Order]:
    """Every order with the state of its job, oldest first. Raises RunDirError."""
    runs = {run.path.name: run for run in bench_runs(sweep_dir)}
    seen = observe({name: run.path for name, run in runs.items()}, backend)
    for name, run in runs.items():
        yield Order(run, read_bench(run), seen[name])


def create_bench(sweep_dir: SweepDir, record: BenchRecord) -> RunDir:
    """Make the next bench directory; the runs folder's lock is held. Raises RunDirError.

    bench.json comes first: a directory without the rest was left by a call that died, and is no
    order.
    """
    folder = bench_folder(sweep_dir)
    with one_line_errors("make a folder for the measurement"):
        folder.mkdir(exist_ok=True)
        taken = [int(entry.name) for entry in folder.iterdir() if entry.name.isdigit()]
    number = f"{max(taken, default=0) + 1:04d}"
    run = RunDir(folder.resolve() / number)
    write_json(run.bench_file, record.model_dump(mode="json"))
    trial_id = f"{NAME}-{number}"
    trial = TrialRecord(
        trial_id=trial_id, group_id=trial_id, name=f"{NAME} {number}", role="bench", seed=0
    )
    run.create(trial, parse_run_config(record.targets[0].config))
    return run
