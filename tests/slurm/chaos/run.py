"""Runs the sweep twice, once in peace and once in chaos, and says how they compare."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from slurm_cluster.cluster import SlurmCluster
from slurm_cluster.options import ClusterOptions

from chaos.caller import Caller
from chaos.faults import KINDS, World
from chaos.outcome import Findings, judge, saved_steps, settled, trials_of
from chaos.watcher import Watcher
from chaos.workload import TRIALS, write_sweep

PATIENCE_S = 1500.0
"""For a sweep to complete on a busy machine; in peace it takes a minute on two cores."""


BREATH_S = 40.0
"""At most, between a fault and the next checkpoint of any trial."""


class ChaosError(Exception):
    """A sweep did not complete; the message says where its trials stand."""


@dataclass
class Report:
    """What one seed has done, and what came of it."""

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    findings: Findings = field(default_factory=Findings)
    failures: list[str] = field(default_factory=list)
    calls: int = 0
    attempts: int = 0
    took_s: float = 0.0

    @property
    def fine(self) -> bool:
        return self.findings.fine and not self.failures


def say(text: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


def options_of(seed: int) -> ClusterOptions:
    """Odd seeds run where preemption is announced by the job's own signal."""
    return ClusterOptions(preempt_send_user_signal=seed % 2 == 1)


def run_quietly(cluster: SlurmCluster, folder: Path) -> Path:
    """The sweep in peace, unless it is there from before; returns its runs folder."""
    runs = folder / "quiet" / "runs"
    if settled(runs, TRIALS):
        return runs
    caller = Caller(cluster, write_sweep(folder / "quiet"), runs, random.Random(0))
    caller.call()
    _wait(cluster, caller, runs)
    return runs


def run_in_chaos(cluster: SlurmCluster, folder: Path, quiet: Path, seed: int, count: int) -> Report:
    """The sweep while `count` faults are made; compared with the quiet one."""
    began, report = time.monotonic(), Report(seed)
    place = folder / f"seed{seed}"
    runs = place / "runs"
    draw = random.Random(seed)
    caller = Caller(cluster, write_sweep(place), runs, random.Random(draw.random()))
    watcher = Watcher(cluster, runs)
    world = World(cluster, runs, caller, draw)
    caller.start()
    watcher.start()
    try:
        _make_faults(world, report, count)
        world.repair(all_of_it=True)
        _wait(cluster, None, runs)
    finally:
        caller.stop()
        watcher.stop()
    report.failures += caller.failures
    report.findings = judge(quiet, runs)
    report.findings.twice += [f"{trial}: {pids}" for trial, pids in watcher.twice.items()]
    report.findings.twice += watcher.after_their_result(trials_of(runs))
    report.calls = caller.calls
    report.took_s = time.monotonic() - began
    return report


def _make_faults(world: World, report: Report, count: int) -> None:
    """Every kind once in an order drawn at random, then again; each waits until it has a target."""
    queue: list[str] = []
    while report.faults.total() < count and not settled(world.runs, TRIALS):
        queue = queue or world.random.sample(list(KINDS), len(KINDS))
        kind = next((kind for kind in queue if _make(kind, world, report)), None)
        if kind is None:
            time.sleep(0.5)
            continue
        queue.remove(kind)
        _breathe(world)


def _make(kind: str, world: World, report: Report) -> bool:
    world.repair()
    hit = KINDS[kind](world)
    if hit is not None:
        report.faults[kind] += 1
        say(f"seed {report.seed} fault {report.faults.total()}: {kind}: {hit}")
    return hit is not None


def _breathe(world: World) -> None:
    """Let a trial get on: faults that only hit starts would show little."""
    before, end = saved_steps(world.runs), time.monotonic() + BREATH_S
    while time.monotonic() < end and saved_steps(world.runs) <= before:
        world.repair()
        time.sleep(0.5)
    time.sleep(world.random.uniform(0.0, 2.0))


def _wait(cluster: SlurmCluster, caller: Caller | None, runs: Path) -> None:
    end = time.monotonic() + PATIENCE_S
    while not settled(runs, TRIALS):
        if time.monotonic() > end:
            raise ChaosError(f"{where_they_stand(runs)}\n{cluster.diagnose()}")
        time.sleep(1.0)


def where_they_stand(runs: Path) -> str:
    """A line for each trial without a result."""
    lines = []
    for trial_id, run in trials_of(runs).items():
        status = run.read_status()
        if status.state != "completed":
            lines.append(
                f"{trial_id}: {status.state} at step {status.step}, attempt {status.attempt}: "
                f"{status.reason}"
            )
    return "\n".join(lines)


def table_of(reports: list[Report]) -> str:
    """Faults by kind, and what they cost."""
    lines = [f"{kind:24} {sum(r.faults[kind] for r in reports):5}" for kind in KINDS]
    lost = sum(len(report.findings.lost) for report in reports)
    twice = sum(len(report.findings.twice) for report in reports)
    differ = sum(len(report.findings.differ) for report in reports)
    faults = sum(report.faults.total() for report in reports)
    lines += [
        f"{'faults in all':24} {faults:5}   over {len(reports)} seeds, {TRIALS} trials each",
        f"{'trials lost':24} {lost:5}",
        f"{'trials run twice':24} {twice:5}",
        f"{'results that differ':24} {differ:5}",
    ]
    for report in reports:
        what = [*report.findings.lost, *report.findings.twice, *report.findings.differ]
        lines += [f"seed {report.seed}: {one}" for one in [*what, *report.failures]]
    return "\n".join(lines)
