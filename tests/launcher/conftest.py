"""A runs folder whose processes are ended after the test, and its local backend."""

import pytest
from fake_slurm import backend, job_id, programs
from launch_support import FAKE_TRAINER, kill_everything

from launcher.backends.local import LocalBackend

__all__ = ["backend", "job_id", "programs"]


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("DEIT_LOCAL_CPUS", "2")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs"
    folder.mkdir()
    yield folder
    kill_everything(folder)


@pytest.fixture
def local(runs):
    return LocalBackend(runs, command=FAKE_TRAINER)
