"""Run directories with a stand-in trainer, and the end of every process they started."""

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path

from deit_core.config import RunConfig, parse_run_config
from deit_core.identity import canonical, trial_and_group_id
from deit_core.records import TrialRecord
from deit_core.run_dir import RunDir
from launcher.backends.job_queue import JobQueue
from launcher.backends.local import LocalBackend, queue_folder

FAKE_TRAINER = (sys.executable, str(Path(__file__).with_name("fake_trainer.py")))


def until(condition, timeout_s=30.0):
    """Poll until the condition holds; returns its value."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return value


def digits_config(**sections) -> RunConfig:
    values = {"data": {"source": "digits"}, "train": {"global_batch_size": 16}}
    return canonical(parse_run_config(values | sections))


def make_trial(folder: Path, seed: int, **behaviour) -> RunDir:
    config = digits_config(seed=seed)
    trial_id, group_id = trial_and_group_id(config)
    run = RunDir(folder / trial_id)
    run.create(
        TrialRecord(trial_id=trial_id, group_id=group_id, name=f"seed={seed}", seed=seed), config
    )
    behave(run, **behaviour)
    return run


def submit(backend, job) -> str:
    """Submit one job; returns its id."""
    return backend.submit([job])[job.tag]


def reported(backend, job_id) -> str | None:
    """The state that the backend reports of a job."""
    report = backend.states([job_id]).get(job_id)
    return report.state if report else None


def is_gone(pid: int) -> bool:
    """Whether a process has ended, also if nobody has asked how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def behave(run: RunDir, **behaviour) -> None:
    (run.path / "behaviour.json").write_text(json.dumps(behaviour))


def starts(run: RunDir) -> list[str]:
    log = run.path / "starts.log"
    return log.read_text().splitlines() if log.exists() else []


def started(run: RunDir) -> int:
    return sum(line.startswith("start") for line in starts(run))


def others(run: RunDir) -> list[int]:
    """Process ids of the processes beside the first one, of all attempts."""
    log = run.path / "others.log"
    return [int(line.split()[0]) for line in log.read_text().splitlines()] if log.exists() else []


def moment(run: RunDir, what: str) -> float:
    """When the trial first started or ended."""
    return next(float(line.split()[2]) for line in starts(run) if line.startswith(what))


def runner_pid(runs: Path) -> int | None:
    with contextlib.suppress(FileNotFoundError, ValueError):
        return int(JobQueue(queue_folder(runs)).runner_lock.read_text())
    return None


def kill_everything(runs: Path) -> None:
    """End the runner and the jobs of this folder, by their process ids."""
    queue = JobQueue(queue_folder(runs))
    backend = LocalBackend(runs)

    def runner_is_gone() -> bool:
        pid = runner_pid(runs)  # of an earlier runner, until a new one has written its own
        with contextlib.suppress(OSError):
            if pid and str(runs).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
        return not backend.runner_is_alive()

    until(runner_is_gone)
    for tag in queue.tags():
        job = queue.pid(tag)
        if job:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(job, signal.SIGKILL)
