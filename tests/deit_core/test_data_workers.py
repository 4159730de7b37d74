"""Loader processes: deaf to stop signals, gone with their parent, none left behind."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from deit_core.data.fetch import RawBatch
from deit_core.data.workers import default_workers, fetch_all

DEADLINE_S = 60


class Numbers:
    """Batches that hold their own number."""

    def __getitem__(self, number):
        return RawBatch(
            torch.full((2, 1, 4, 4), number % 256), *[torch.tensor([number] * 2)] * 2, ()
        )


def test_batches_come_in_order_and_no_process_stays():
    before = set(multiprocessing.active_children())
    made = list(fetch_all(Numbers(), range(20), workers=3))
    assert [int(batch.labels[0]) for batch in made] == list(range(20))
    assert set(multiprocessing.active_children()) == before


def test_a_reader_that_stops_early_leaves_no_process():
    before = set(multiprocessing.active_children())
    batches = fetch_all(Numbers(), range(1000), workers=2)
    next(batches)
    assert len(set(multiprocessing.active_children()) - before) == 2
    batches.close()
    assert set(multiprocessing.active_children()) == before


def test_the_training_process_hears_its_signals_as_before():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    batches = fetch_all(Numbers(), range(5), workers=1)
    next(batches)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    batches.close()


def test_default_workers_follow_the_cores_of_the_job(monkeypatch):
    for cores, expected in ((1, 1), (2, 1), (5, 4), (64, 8)):
        monkeypatch.setenv("OMP_NUM_THREADS", str(cores))
        assert default_workers(in_memory=False, img_size=32) == expected
        assert default_workers(in_memory=True, img_size=224) == expected
        assert default_workers(in_memory=True, img_size=32) == 0


SCRIPT = """
import os, signal, sys, time
from pathlib import Path
import torch
from deit_core.data.fetch import RawBatch
from deit_core.data.workers import fetch_all

class Slow:
    def __getitem__(self, number):
        return RawBatch(torch.full((2, 1, 4, 4), 1), *[torch.tensor([number, os.getpid()])] * 2, ())

mode, go = sys.argv[1], Path(sys.argv[2])
heard = []
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, lambda number, frame: heard.append(number))
total = 0
pids = set()
batches = fetch_all(Slow(), range(4000), workers=2)  # a name keeps it open after a crash
for batch in batches:
    number, pid = batch.labels.tolist()
    total += number
    pids.add(pid)
    if number == 3:
        print(*pids, flush=True)
        if mode == "crash":
            raise RuntimeError("in the middle")
        while not go.exists():
            time.sleep(0.01)
print(total, sorted(set(heard)), flush=True)
"""


@pytest.fixture
def start(tmp_path):
    """Start SCRIPT in its own process group: the process, its workers, the file it waits for."""
    started = []

    def start(mode):
        go = tmp_path / "go"
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, mode, str(go)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        pids = [int(pid) for pid in process.stdout.readline().split()]
        assert len(pids) == 2, process.stderr.read()
        return process, pids, go

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_until_gone(pids):
    deadline = time.monotonic() + DEADLINE_S
    while any(running(pid) for pid in pids):
        assert time.monotonic() < deadline, f"still running: {pids}"
        time.sleep(0.05)


def running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # nobody may be there to reap an orphan


def test_signals_to_the_whole_group_reach_the_trainer_and_no_worker(start):
    process, pids, go = start("signals")
    sent = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
    for number in sent:
        os.killpg(process.pid, number)
    go.touch()
    out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, err
    assert out == f"{sum(range(4000))} {sorted(map(int, sent))}\n"
    assert err == ""
    wait_until_gone(pids)


def test_workers_do_not_outlive_a_killed_trainer(start):
    process, pids, _ = start("kill")
    process.kill()
    wait_until_gone(pids)


def test_a_crash_in_the_trainer_ends_the_process_and_its_workers(start):
    process, pids, _ = start("crash")
    _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert "RuntimeError: in the middle" in err
    wait_until_gone(pids)


def test_numbers_survive_the_way_through_a_worker():
    batch = next(iter(fetch_all(Numbers(), range(1), workers=1)))
    assert np.array_equal(batch.images.numpy(), np.zeros((2, 1, 4, 4)))
    assert isinstance(batch, RawBatch)
