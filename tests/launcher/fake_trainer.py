"""Stands in for `python -m deit_core RUN_DIR…`: keeps its promises about files and exit codes.

What each trial does is read from `behaviour.json` in its run directory:
  gate    wait until this file exists, saving and leaving with 85 on SIGTERM
  deaf    ignore SIGTERM
  crash   raise in the first so many attempts
  vanish  die of SIGKILL in the first so many attempts
  diverge end as failed/diverged
  prune   end as pruned
  refuse  exit with code 2 and an error line before anything is written
  oom     raise what torch raises when a GPU is full, in the first so many attempts
  no_module  cannot import what it needs
Each start and end is a line of `starts.log` in the run directory. Of several processes the first
does all that; the others write their process id to `others.log`, wait for the gate as well, and
the first crashes when one of them is gone.

A bench directory is measured instead, with invented numbers; what that does is read from
`behaviour.json` in the folder of all bench directories, where `error` is what each record says.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import time

from deit_core.records import StatusRecord, SummaryRecord
from deit_core.run_dir import RunDir
from deit_core.throughput_records import (
    BenchConditions,
    BenchRecord,
    Latency,
    Speed,
    SpeedPoint,
    ThroughputRecord,
)


class Stopped(BaseException):
    pass


def on_signal(number, frame):
    raise Stopped


def behaviour(run):
    path = run.path / "behaviour.json"
    return json.loads(path.read_text()) if path.exists() else {}


def note(run, what):
    with open(run.path / "starts.log", "a", encoding="utf-8") as file:
        file.write(f"{what} {os.getpid()} {time.time():.3f} {os.environ['CUDA_VISIBLE_DEVICES']}\n")


def finish(run, status, size):
    run.write_summary(
        SummaryRecord(
            trial_id=run.path.name,
            epochs=2,
            steps=100,
            val_images=50,
            val_top1=80.0,
            val_top5=99.0,
            val_loss=0.5,
            val_top1_cls=80.0,
            train_loss=0.4,
            train_images=300,
            num_classes=10,
            parameters=1000,
            cohort_size=size,
            train_s=12.0,
            finished_unix_s=time.time(),
        )
    )
    run.write_status(status.model_copy(update={"state": "completed", "step": 100, "epoch": 2.0}))
    note(run, "end")


def wait_for_gate(plan, hopeless=lambda: False):
    gate = plan.get("gate")
    while gate and not os.path.exists(gate):
        if hopeless() and not os.path.exists(gate):
            raise RuntimeError("another process of this job ended")
        time.sleep(0.02)


def another_is_gone(run):
    """Whether one that belongs to this attempt has ended."""
    log = run.path / "others.log"
    lines = log.read_text().splitlines() if log.exists() else []
    mine = os.environ.get("DEIT_RENDEZVOUS")
    pids = [int(line.split()[0]) for line in lines if line.split()[1] == mine]
    return any(not os.path.exists(f"/proc/{pid}") for pid in pids)


def accompany(run, plan):
    """What a process beside the first one does."""
    with open(run.path / "others.log", "a", encoding="utf-8") as file:
        file.write(f"{os.getpid()} {os.environ['DEIT_RENDEZVOUS']}\n")
    sys.stdout.write(f"helping with {run.path.name}\n")
    sys.stdout.flush()
    try:
        wait_for_gate(plan)
    except Stopped:
        return 85
    return 0


def train(run, plan, size):
    before = run.read_status()
    status = before.model_copy(
        update={
            "state": "running",
            "attempt": before.attempt + 1,
            "pid": os.getpid(),
            "hostname": socket.gethostname(),
            "heartbeat_unix_s": time.time(),
            "total_steps": 100,
            "epoch": 1.0,
            "reason": None,
            "val_top1": 50.0,
            "train_images_per_s": 123.0,
            "eta_s": 30.0,
        }
    )
    run.write_status(status)
    note(run, "start")
    sys.stdout.write(f"training {run.path.name}\n")
    sys.stdout.flush()
    wait_for_gate(plan, lambda: another_is_gone(run))
    if status.attempt <= plan.get("vanish", 0):
        os.kill(os.getpid(), signal.SIGKILL)
    if status.attempt <= plan.get("crash", 0):
        raise RuntimeError("boom")
    if status.attempt <= plan.get("oom", 0):
        raise RuntimeError("OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.")
    if plan.get("diverge"):
        run.write_status(
            status.model_copy(
                update={"state": "failed", "failure": "diverged", "reason": "loss is nan"}
            )
        )
        return
    if plan.get("prune"):
        update = {"state": "pruned", "reason": "stopped at 33 % of its schedule", "step": 33}
        run.write_status(status.model_copy(update=update))
        return
    finish(run, status, size)


def measure(run):
    """Write records of a speed for each model of an order, as `python -m deit_core DIR` does."""
    plan = behaviour(RunDir(run.path.parent))
    before = run.read_status()
    running = {"state": "running", "attempt": before.attempt + 1, "pid": os.getpid()}
    status = before.model_copy(update={**running, "total_steps": 1, "reason": None})
    run.write_status(status)
    note(run, "start")
    wait_for_gate(plan)
    if status.attempt <= plan.get("crash", 0):
        raise RuntimeError("boom")
    if plan.get("refuse"):
        update = {"state": "failed", "failure": "user_error", "reason": "this order is refused"}
        run.write_status(status.model_copy(update=update))
        return 2
    order = BenchRecord.from_json(json.loads(run.bench_file.read_text()), "bench.json")
    for target in order.targets:
        for path in target.run_dirs:
            RunDir(path).write_throughput(invented(target.key, order.protocol, plan.get("error")))
    run.write_status(status.model_copy(update={"state": "completed", "step": 1}))
    note(run, "end")
    return 0


def invented(key, protocol, error=None):
    device = "cuda" if os.environ["CUDA_VISIBLE_DEVICES"] else "cpu"
    speeds = [
        Speed(
            quantity=quantity,
            fixed=SpeedPoint(batch_size=protocol.fixed_batch_size, images_per_s=1234.0),
            largest=SpeedPoint(batch_size=512, images_per_s=2345.0, peak_gib=1.5),
        )
        for quantity in protocol.quantities
    ]
    return ThroughputRecord(
        key=key,
        protocol=protocol,
        conditions=BenchConditions(
            device=device, device_name="x", precision="fp32", torch="0", hostname="h"
        ),
        img_size=8,
        parameters=5_700_000,
        macs_per_image=1_250_000_000,
        speeds=() if error else tuple(speeds),
        latency=None if error else Latency(calls=1, p50_ms=2.5, p90_ms=3.0, p99_ms=4.0),
        error=error,
        finished_unix_s=time.time(),
    )


def main(paths):
    signal.signal(signal.SIGTERM, on_signal)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    runs = [RunDir(path) for path in paths]
    return measure_alone(runs[0]) if runs[0].bench_file.exists() else train_all(runs)


def measure_alone(run):
    with run.lock():
        try:
            return measure(run)
        except Stopped:
            mark([(run, {})], {"state": "preempted", "reason": "stopped by signal SIGTERM"})
            return 85


def train_all(runs):
    plans = [behaviour(run) for run in runs]
    if any(plan.get("deaf") for plan in plans):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.environ.get("RANK", "0") != "0":
        return accompany(runs[0], plans[0])
    if any(plan.get("no_module") for plan in plans):
        raise ModuleNotFoundError("No module named 'nowhere'")
    if any(plan.get("refuse") for plan in plans):
        sys.stderr.write("error: this trial is refused\n")
        return 2
    with contextlib.ExitStack() as locks:
        for run in runs:
            locks.enter_context(run.lock())
        todo = [pair for pair in zip(runs, plans, strict=True) if not pair[0].summary_file.exists()]
        try:
            for run, plan in todo:
                train(run, plan, len(todo))
        except Stopped:
            mark(todo, {"state": "preempted", "reason": "stopped by signal SIGTERM"})
            return 85
        except RuntimeError as error:
            mark(todo, {"state": "failed", "failure": "crashed", "reason": f"{error}"})
            return 1
    failed = [run.read_status().state == "failed" for run in runs]
    return 3 if any(failed) else 0


def mark(todo, update):
    for run, _ in todo:
        status: StatusRecord = run.read_status()
        if status.state not in ("completed", "failed"):
            run.write_status(status.model_copy(update=update))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
