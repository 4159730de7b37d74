"""Search against random search, and what pruning costs, on a made-up training of known results.

    .venv/bin/python benchmarks/search_surrogate.py [--repeats 20] [--points 40] [--processes 2]
    .venv/bin/python benchmarks/search_surrogate.py --backend local|slurm [--repeats 5]

`surrogate.py` says what is searched. Every repeat has its own search seed and its own noise.
Without `--backend`, workers and time are simulated (`simulated_workers.py`); with it, the same
sweep file runs through the backend, each trial a job of its own, with this as its trainer.

"Best found" is the noiseless result of the trial that the search would name the best one.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import surrogate
from scipy.stats import kendalltau, t
from simulated_workers import SLOTS, SimulatedSearch

from deit_core.config import RunConfig
from launcher.backends.base import Backend
from launcher.backends.registry import open_backend
from launcher.observe import observe
from launcher.reconcile import reconcile
from launcher.request import read_request, request_of
from launcher.search.config import Pruner
from launcher.search.outcomes import PointOutcome, outcome_of
from launcher.search.records import SearchDir
from launcher.sweep import load_sweep
from launcher.sweep_dir import SweepDir
from launcher.trial_dirs import own_paths

HERE = Path(__file__).resolve().parent
PATIENCE_S = 900.0
EPOCH_S = 0.01
"""Of the smallest model, on a real backend."""
SWEEP = """\
name: surrogate
base: {recipes}/deit_micro_digits.yaml
set: {{train.duration: {epochs}ep, eval.every: 1ep}}
teacher: {{base: {recipes}/convnet_digits.yaml}}
axes:
{space}
seeds: [{repeat}]
search: {{method: {method}, trials: {points}, seed: {repeat}, pruner: {pruner}}}
resources: {{cohort: false, gpus_per_node: 0, max_parallel: {slots}}}
"""


@dataclass(frozen=True)
class Arm:
    """A way to search."""

    method: str
    pruner: str | None = None
    """A name of PRUNERS."""

    def __str__(self) -> str:
        return self.method if self.pruner is None else f"{self.method}, {self.pruner}"


HALVING = "halving (default)"
PRUNERS = {
    HALVING: "{}",
    "halving, 1 in 3": "{reduction_factor: 3}",
    "hyperband": "{method: hyperband}",
}
"""As in a sweep file."""
METHODS = ("tpe", "gp", "cmaes", "nsga2", "qmc")
RANDOM = Arm("random")
PRUNED = tuple(Arm("random", name) for name in PRUNERS)
SEARCHES = (*map(Arm, METHODS), Arm("tpe", HALVING))
RUNGS = (1 / 9, 1 / 3)
"""Where rank agreement is printed: about the default rungs."""


@dataclass(frozen=True)
class Tried:
    """One point of a finished search."""

    params: Mapping[str, object]
    final: float | None
    """Measured top-1 of a completed trial."""
    true_final: float
    early: tuple[float, ...]
    """Measured top-1 at RUNGS, whether the trial came so far or not."""
    epochs: int


@dataclass(frozen=True)
class Found:
    """A finished search."""

    points: tuple[Tried, ...]

    @property
    def best(self) -> Tried:
        """What the search would name the best."""
        return max(self.points, key=lambda one: one.final or 0.0)

    @property
    def share(self) -> float:
        """Of all epochs, those that were run."""
        run = sum(one.epochs for one in self.points)
        return run / (len(self.points) * surrogate.EPOCHS)


def write_sweep(folder: Path, arm: Arm, repeat: int, points: int) -> Path:
    """The sweep file of one search."""
    file = folder / "sweep.yaml"
    pruner = "null" if arm.pruner is None else PRUNERS[arm.pruner]
    values = {"method": arm.method, "pruner": pruner, "repeat": repeat, "points": points}
    recipes = HERE.parent / "sweeps" / "recipes"
    file.write_text(
        SWEEP.format(
            recipes=recipes,
            epochs=surrogate.EPOCHS,
            space=surrogate.SPACE,
            slots=SLOTS,
            **values,
        )
    )
    return file


def simulate(arm: Arm, repeat: int, points: int) -> Found:
    """One search with simulated workers."""
    with tempfile.TemporaryDirectory() as name:
        request = request_of(load_sweep(write_sweep(Path(name), arm, repeat, points)))
        search = SimulatedSearch(request, Path(name) / "runs" / "search")
        outcomes = search.run()
    configs = {trial.trial_id: trial.config for trial in search.request.expansion.trials}
    return _found(outcomes, configs)


def run_for_real(arm: Arm, repeat: int, points: int, backend_name: str) -> Found:
    """One search through a backend."""
    command = (sys.executable, str(HERE / "surrogate.py"), str(EPOCH_S))
    folder = Path(tempfile.mkdtemp(dir=Path.cwd()))  # that all nodes see
    try:
        runs = folder / "runs"
        backend = open_backend(backend_name, runs, command)
        request = request_of(load_sweep(write_sweep(folder, arm, repeat, points)))
        found = _await(reconcile(runs, request, backend).sweep_dir, backend)
        sys.stderr.write(
            f"{arm}, repeat {repeat}: best {found.best.true_final:.2f}, "
            f"{100 * found.share:.0f} % of the epochs\n"
        )
        return found
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """Whoever moved the last job may still write a line or two."""
    deadline = time.monotonic() + 10.0
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)


def _await(sweep_dir: SweepDir, backend: Backend) -> Found:
    search_dir, deadline = SearchDir(sweep_dir), time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        time.sleep(0.5)
        if not search_dir.ended_file.exists():
            continue
        trials = {one.trial_id: one for one in read_request(sweep_dir).expansion.trials}
        seen = observe(own_paths(sweep_dir, set(trials)), backend)
        record = search_dir.read_search()
        outcomes = [outcome_of(record, one, trials, seen) for one in search_dir.read_points()]
        if not any(one.state == "open" for one in outcomes):
            return _found(outcomes, {name: one.config for name, one in trials.items()})
    raise SystemExit(f"error: {sweep_dir.path} was not done in {PATIENCE_S:.0f} s")


def _found(outcomes: Iterable[PointOutcome], configs: Mapping[str, RunConfig]) -> Found:
    return Found(tuple(_tried(one, configs[one.point.trial_ids[0]]) for one in outcomes))


def _tried(outcome: PointOutcome, config: RunConfig) -> Tried:
    done = outcome.state == "completed"
    return Tried(
        params=outcome.point.params,
        final=outcome.values[0] if done else None,
        true_final=surrogate.final_top1(config),
        early=tuple(
            surrogate.measured_top1(config, round(rung * surrogate.EPOCHS)) for rung in RUNGS
        ),
        epochs=surrogate.EPOCHS if done else max(outcome.intermediate, default=0),
    )


# tables ----------------------------------------------------------------------------------------

Results = Mapping[Arm, Sequence[Found]]


def search_table(results: Results, arms: Sequence[Arm]) -> str:
    """Best found by each arm, and by how much it is better than random search."""
    base = [found.best.true_final for found in results[RANDOM]]
    lines = [
        "| search | mean | median | better / equal / worse than random | mean difference "
        "(95 % interval) | epochs run |",
        "|---|---|---|---|---|---|",
    ]
    for arm in (RANDOM, *arms):
        best = [found.best.true_final for found in results[arm]]
        gains = [one - other for one, other in zip(best, base, strict=True)]
        against = ["", ""] if arm == RANDOM else [_counts(gains), _interval(gains)]
        share = statistics.fmean(found.share for found in results[arm])
        cells = [str(arm), f"{statistics.fmean(best):.2f}", f"{statistics.median(best):.2f}",
                 *against, f"{100 * share:.0f} %"]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _counts(gains: Sequence[float]) -> str:
    equal = sum(abs(gain) < 1e-9 for gain in gains)
    better = sum(gain >= 1e-9 for gain in gains)
    return f"{better} / {equal} / {len(gains) - better - equal}"


def _interval(gains: Sequence[float]) -> str:
    """Mean of paired differences with its t interval."""
    mean = statistics.fmean(gains)
    if len(gains) < 2:
        return f"{mean:+.2f}"
    half = float(t.ppf(0.975, len(gains) - 1)) * statistics.stdev(gains) / len(gains) ** 0.5
    return f"{mean:+.2f} ({mean - half:+.2f} to {mean + half:+.2f})"


def pruning_table(results: Results, pruned_arms: Sequence[Arm] = PRUNED) -> str:
    """The same points of random search with and without a pruner."""
    lines = [
        "| pruner | epochs run | best trial kept | mean regret | largest |",
        "|---|---|---|---|---|",
    ]
    for arm in pruned_arms:
        pairs = list(zip(results[RANDOM], results[arm], strict=True))
        lost = [_regret(whole, pruned) for whole, pruned in pairs]
        kept = sum(_kept(whole, pruned) for whole, pruned in pairs)
        share = statistics.fmean(pruned.share for _, pruned in pairs)
        cells = [str(arm.pruner), f"{100 * share:.0f} %", f"{kept} of {len(pairs)}",
                 f"{statistics.fmean(lost):.2f}", f"{max(lost):.2f}"]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _kept(whole: Found, pruned: Found) -> bool:
    """Whether the trial that would be named the best was trained to the end."""
    if [one.params for one in whole.points] != [one.params for one in pruned.points]:
        raise SystemExit("error: random search asked for other points with a pruner than without")
    return pruned.points[whole.points.index(whole.best)].final is not None


def _regret(whole: Found, pruned: Found) -> float:
    """Points of measured top-1 by which the best one left is worse."""
    return (whole.best.final or 0.0) - (pruned.best.final or 0.0)


def agreement(found: Sequence[Found]) -> str:
    """Kendall's tau of values at RUNGS with those of the end, over all trials of a search."""
    means = []
    for number, rung in enumerate(RUNGS):
        taus = [
            float(kendalltau([p.early[number] for p in one.points], [p.final for p in one.points])
                  .statistic)
            for one in found
        ]  # fmt: skip
        means.append(f"{statistics.fmean(taus):.2f} at {100 * rung:.0f} %")
    return f"Kendall tau with the last epoch: {' and '.join(means)} of the schedule"


def measure(
    search: Callable[[Arm, int, int], Found],
    arms: Sequence[Arm],
    options: argparse.Namespace,
    processes: int,
) -> Results:
    """Run every arm so many times."""
    tasks = list(product(arms, range(options.repeats)))
    with ProcessPoolExecutor(processes) as pool:
        found = pool.map(search, *zip(*((a, r, options.points) for a, r in tasks), strict=True))
        results: dict[Arm, list[Found]] = {arm: [] for arm in arms}
        for (arm, _), one in zip(tasks, found, strict=True):
            results[arm].append(one)
    return results


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Search and pruning on a made-up training.")
    parser.add_argument("--backend", choices=("simulated", "local", "slurm"), default="simulated")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--points", type=int, default=40)
    parser.add_argument("--processes", type=int, default=2, help="searches at once, simulated")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    began, said = time.monotonic(), sys.stdout.write
    if options.backend == "simulated":
        results = measure(simulate, (RANDOM, *PRUNED, *SEARCHES), options, options.processes)
        said(f"{search_table(results, SEARCHES)}\n\n{pruning_table(results)}\n\n")
        said(f"{agreement(results[RANDOM])}; default: rungs {Pruner().rungs}, 1 in "
             f"{Pruner().reduction_factor:g}\n")  # fmt: skip
    else:
        arms = (RANDOM, Arm("tpe", HALVING), Arm("random", HALVING))
        real = partial(run_for_real, backend_name=options.backend)
        results = measure(real, arms, options, 1)
        said(f"{search_table(results, arms[1:2])}\n\n{pruning_table(results, arms[2:])}\n")
    said(f"{options.repeats} repeats of {options.points} points, {SLOTS} at once; "
         f"{time.monotonic() - began:.0f} s\n")  # fmt: skip


if __name__ == "__main__":
    main()
