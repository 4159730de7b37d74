"""Small trials on scikit-learn's digits, in run directories that a job can be started on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deit_core.config import parse_run_config
from deit_core.identity import resolve, trial_and_group_id
from deit_core.records import TrialRecord
from deit_core.run_dir import RunDir

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


def run_job(*runs: RunDir, check: int | None = 0) -> subprocess.CompletedProcess[str]:
    """`python -m deit_core` on these directories, on one thread."""
    command = [sys.executable, "-m", "deit_core", *(str(run.path) for run in runs)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    if check is not None:
        assert done.returncode == check, done.stdout + done.stderr
    return done


@pytest.fixture
def job() -> Callable[..., subprocess.CompletedProcess[str]]:
    return run_job
