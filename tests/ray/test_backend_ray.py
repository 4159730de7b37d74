"""The Ray backend keeps the contract of every backend, on a real cluster of four nodes."""

import pytest
from backend_contract import BackendContract
from launch_support import FAKE_TRAINER

from launcher.backends.ray.backend import RayBackend


class TestRay(BackendContract):
    patience_s = 120.0

    @pytest.fixture
    def backend(self, cluster, shared_runs):
        return RayBackend(shared_runs, cluster.address, command=FAKE_TRAINER)

    @pytest.fixture
    def folder(self, shared_runs, request):
        trials = shared_runs / request.node.name / "trials"
        trials.mkdir(parents=True)
        return trials
