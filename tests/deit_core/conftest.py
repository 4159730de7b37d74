"""Small trials on scikit-learn's digits, in run directories that a job can be started on."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deit_core.__main__ import main
from deit_core.config import parse_run_config
from deit_core.identity import resolve, trial_and_group_id
from deit_core.records import TrialRecord
from deit_core.run_dir import RunDir
from deit_core.train.signals import STOP_SIGNALS

MICRO: dict[str, dict[str, Any]] = {
    "data": {"source": "digits", "train_images": 80, "val_images": 50},
    "model": {
        "name": "deit_tiny_distilled_patch16_224",
        "img_size": 8,
        "patch_size": 4,
        "in_chans": 1,
        "embed_dim": 16,
        "depth": 2,
        "num_heads": 2,
        "init": "fan_in",
        "drop_path_rate": 0.2,
        "drop_rate": 0.1,
    },
    "augment": {"strength": 0.5, "hflip_probability": 0.0},
    "optim": {"lr": 1e-3, "lr_reference_batch_size": None, "warmup": "1ep"},
    "train": {
        "duration": "4ep",
        "global_batch_size": 16,
        "ema_decay": 0.9,
        "threads": 1,
        "device": "cpu",
    },
    "eval": {"batch_size": 16},
    "logging": {"every_steps": 3, "tensorboard": False},
}

RunFactory = Callable[..., RunDir]


def micro_values(**sections: Any) -> dict[str, Any]:
    """MICRO with sections merged over it; a section that brings a `name` replaces MICRO's."""
    values: dict[str, Any] = json.loads(json.dumps(MICRO))
    for key, value in sections.items():
        merged = isinstance(values.get(key), dict) and "name" not in value
        values[key] = {**values[key], **value} if merged else value
    return values


@pytest.fixture
def make_run(tmp_path: Path) -> RunFactory:
    """Create a run directory: `make_run("folder", distill={...}, seed=1)`."""

    def make(folder: str, swept: dict[str, Any] | None = None, **sections: Any) -> RunDir:
        config = resolve(parse_run_config(micro_values(**sections)))
        trial_id, group_id = trial_and_group_id(config)
        trial = TrialRecord(
            trial_id=trial_id,
            group_id=group_id,
            name=folder.replace("/", "-"),
            seed=config.seed,
            swept=swept or {},
        )
        run = RunDir(tmp_path / folder)
        run.create(trial, config)
        return run

    return make


@dataclass(frozen=True)
class JobResult:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., JobResult]]:
    """`python -m deit_core` on run directories, in this process: starting torch takes seconds."""
    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}

    def run(*runs: RunDir, check: int = 0) -> JobResult:
        monkeypatch.setattr(sys, "argv", ["deit_core", *(str(run.path) for run in runs)])
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = main()
        assert code == check, out.getvalue() + err.getvalue()
        return JobResult(code, out.getvalue(), err.getvalue())

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("cannot mount a small file system here (needs root)")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def own_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache for Hugging Face's `datasets` that is this test's alone."""
    import datasets

    datasets.disable_progress_bars()
    folder = tmp_path / "hub cache"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder)
    return folder
