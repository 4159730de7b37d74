"""Staying with a sweep: a live table on a terminal, few lines elsewhere."""

import os
import pty
import re
import subprocess
import sys
from dataclasses import replace

from launch_support import FAKE_TRAINER, started, until
from sweeps_for_tests import hold, runs_of, wait_for, write_sweep

from launcher.monitor import Monitor
from launcher.watch import Changes, _describe

PROGRAM = f"""
from launcher.backends import local
from launcher.cli import main
local.TRAINER = {FAKE_TRAINER!r}
main()
"""


def test_lines_tell_of_states_at_once_and_of_evaluations_now_and_then(runs, local, tmp_path):
    gate = tmp_path / "gate"
    outcome = hold(runs, write_sweep(tmp_path, seeds="[0]"), local, gate)
    run = runs_of(outcome)[0]
    until(lambda: started(run))
    now = [0.0]
    monitor, changes = Monitor(outcome.sweep_dir, local), Changes(lambda: now[0])

    def news():
        return list(changes.since_last(monitor.look()))

    def evaluate(top1):
        update = {"val_top1": top1, "epoch": 2.0}
        run.write_status(run.read_status().model_copy(update=update))

    assert [line.split(": ")[1] for line in news()] == ["running"]
    assert _describe(replace(monitor.look().rows[0], attempt=0)) == "running (attempt 1)"
    assert news() == []
    for second in range(1, 10):
        now[0] = float(second)
        evaluate(50.0 + second)
        assert news() == []
    now[0] = 10.0
    [line] = news()
    assert "epoch 2.0, top-1 59.00 %, 123 images/s, 30s left" in line
    now[0] = 11.0
    evaluate(61.0)
    assert news() == []
    gate.touch()
    wait_for(outcome)
    [line] = news()
    assert line.endswith("completed, top-1 80.00 %")


def read_all(terminal):
    """What a program wrote to its terminal until it closed it."""
    text = b""
    while True:
        try:
            more = os.read(terminal, 4096)
        except OSError:  # Linux says so when the last writer is gone
            return text.decode()
        if not more:
            return text.decode()
        text += more


def test_a_terminal_has_a_live_table_that_ends(runs, local, tmp_path):
    gate = tmp_path / "gate"
    outcome = hold(runs, write_sweep(tmp_path, seeds="[0, 1]"), local, gate)
    until(lambda: all(started(run) for run in runs_of(outcome)))
    terminal, program_end = pty.openpty()
    watching = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "sweep", "small.yaml", "--watch"],
        stdin=program_end,
        stdout=program_end,
        stderr=program_end,
        cwd=tmp_path,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"},
    )
    os.close(program_end)
    try:
        first = b""
        while b"ETA" not in first:
            first += os.read(terminal, 4096)
        gate.touch()
        shown = first.decode() + read_all(terminal)
        assert watching.wait() == 0
    finally:
        watching.kill()
        os.close(terminal)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert re.search(r"trial +epoch +images/s +loss +top-1 % +ETA", plain)
    assert re.search(r"seed=0 .* 1\.0 +123 +- +50\.00 +30s", plain)
    assert "small: 2 completed" in plain
    assert "next: deit-report" in plain
