"""Stands in for `python -m deit_core RUN_DIR`: takes steps, and goes on from the last one it saved.

It keeps the trainer's promises about signals, the lock, statuses and exit codes; its only work is
to wait. What it does is read from `behaviour.json` in the run directory:
  steps       how many there are (200)
  save_every  it saves after every so many steps (20), and when it is told to stop
  stuck       never takes a step, and has nothing to save
  gate        does not take its last step before this file exists
A line of `steps.log` is `ATTEMPT STEP`. Of several processes the first one does that; the others
wait until it ends.
"""

import contextlib
import os
import socket
import sys
import time

from fake_trainer import behaviour, finish

from deit_core.run_dir import RunDir, read_json, write_json
from deit_core.train.signals import StopRequest

STEP_S = 0.05
SAVED = "steps.json"


def saved_step(run):
    """The step that a run would go on from."""
    path = run.checkpoint_dir / SAVED
    return read_json(path) if path.exists() else 0


def begin(run, plan):
    before = run.read_status()
    status = before.model_copy(
        update={
            "state": "running",
            "attempt": before.attempt + 1,
            "pid": os.getpid(),
            "hostname": socket.gethostname(),
            "total_steps": plan.get("steps", 200),
            "step": saved_step(run),
            "reason": None,
            "failure": None,
        }
    )
    run.write_status(status)
    return status


def train(run, plan, stop):
    status = begin(run, plan)
    while status.step < status.total_steps:
        if stop:
            if status.step:
                write_json(run.checkpoint_dir / SAVED, status.step)
            update = {"state": "preempted", "reason": f"stopped by {stop.name}"}
            run.write_status(status.model_copy(update=update))
            return 85
        time.sleep(STEP_S)
        if not plan.get("stuck") and not waits_for_gate(plan, status):
            status = take_step(run, plan, status)
    finish(run, status, 1)
    return 0


def waits_for_gate(plan, status):
    gate = plan.get("gate")
    return gate and status.step == status.total_steps - 1 and not os.path.exists(gate)


def take_step(run, plan, status):
    status = status.model_copy(update={"step": status.step + 1})
    with open(run.path / "steps.log", "a", encoding="utf-8") as log:
        log.write(f"{status.attempt} {status.step}\n")
    if status.step % plan.get("save_every", 20) == 0:
        write_json(run.checkpoint_dir / SAVED, status.step)
    run.write_status(status)
    return status


def accompany(run, stop):
    """What a process beside the first one does: it leaves when that has left."""
    while not run.is_locked():
        time.sleep(STEP_S)
    while run.is_locked():
        time.sleep(STEP_S)
    return 85 if stop else 0 if run.summary_file.exists() else 1


def main():
    stop = StopRequest().install()
    run = RunDir(sys.argv[1])
    if os.environ.get("RANK", "0") != "0":
        return accompany(run, stop)
    with contextlib.ExitStack() as stack:
        stack.enter_context(run.lock())
        return train(run, behaviour(run), stop)


if __name__ == "__main__":
    sys.exit(main())
