"""Tests against a real SLURM: its fixtures, and the marker `slurm` on each of them."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package slurm_cluster
sys.path.insert(0, str(Path(__file__).parents[1] / "launcher"))  # stand-ins for trainers
sys.path.insert(0, str(Path(__file__).parents[1] / "search"))  # small searches

from slurm_cluster.fixtures import make_cluster, require_slurm, shared_cluster, slurm_cluster

__all__ = ["make_cluster", "require_slurm", "shared_cluster", "slurm_cluster"]

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slurm)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows what its cluster was doing."""
    report = yield
    cluster = getattr(item, "funcargs", {}).get("slurm_cluster")
    if report.when == "call" and report.failed and cluster is not None:
        report.sections.append(("SLURM cluster", cluster.diagnose()))
    return report
