"""Tests against a real Ray cluster: its fixtures, and the marker `ray` on each of them."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "launcher"))  # stand-ins for trainers

from ray_cluster import RayCluster
from ray_queue import kill_driver

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.ray)


@pytest.fixture(scope="session")
def cluster():
    """Four nodes, once for all tests; a test that kills one adds another."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed")
    running = RayCluster()
    patch = pytest.MonkeyPatch()
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        patch.delenv(name)
    for name, value in running.environ.items():
        patch.setenv(name, value)
    try:
        running.start(4)
        yield running
    finally:
        running.stop()
        patch.undo()


@pytest.fixture(scope="session")
def shared_runs(cluster, tmp_path_factory):
    """One queue for many tests: its driver stays for the next one."""
    folder = tmp_path_factory.mktemp("ray") / "runs"
    folder.mkdir()
    yield folder
    kill_driver(folder)


@pytest.fixture
def runs(cluster, tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    yield folder
    kill_driver(folder)
