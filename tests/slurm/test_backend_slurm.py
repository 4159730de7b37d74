"""The SLURM backend keeps the contract of every backend, on a real cluster."""

import pytest
from backend_contract import BackendContract
from launch_support import FAKE_TRAINER

from launcher.backends.slurm.backend import SlurmBackend


@pytest.fixture
def backend(slurm_cluster, tmp_path):
    return SlurmBackend(tmp_path / "runs", command=FAKE_TRAINER)


@pytest.fixture
def folder(tmp_path):
    trials = tmp_path / "runs" / "a sweep" / "trials"
    trials.mkdir(parents=True)
    return trials


class TestSlurm(BackendContract):
    patience_s = 90.0

    @pytest.fixture
    def backend(self, backend):
        return backend

    @pytest.fixture
    def folder(self, folder):
        return folder
