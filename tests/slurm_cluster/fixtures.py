"""Pytest fixtures of a running cluster; `tests/slurm/conftest.py` hands them to its tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from slurm_cluster import system
from slurm_cluster.cluster import SlurmCluster
from slurm_cluster.options import ClusterOptions

PROGRAMS = ("slurmctld", "slurmd", "slurmdbd", "srun", "munged", "mariadbd", "mariadb-install-db")

MakeCluster = Callable[[ClusterOptions], SlurmCluster]


def why_not() -> str | None:
    """Why no cluster can be started on this machine; None if one can."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=system.PATH) is None]
    if missing:
        return f"SLURM is not installed: no {', '.join(missing)} (docs/slurm_testing.md says how)"
    if os.geteuid() != 0:
        return "a SLURM cluster needs root, who alone can make the files that stand for GPUs"
    return None


def skip_or_fail() -> None:
    """Skip where there can be no cluster; in continuous integration there has to be one: fail."""
    reason = why_not()
    if reason is None:
        return
    if os.environ.get("CI") or os.environ.get("DEIT_REQUIRE_SLURM"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def require_slurm() -> None:
    """Only where a cluster can be started."""
    skip_or_fail()


@pytest.fixture(scope="session")
def shared_cluster(
    require_slurm: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SlurmCluster]:
    """One cluster for the whole session, started by the first test that asks for it."""
    with SlurmCluster(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


@pytest.fixture
def slurm_cluster(
    shared_cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SlurmCluster]:
    """The session's cluster, healthy and empty, with `os.environ` pointing at it."""
    use(shared_cluster, monkeypatch)
    yield shared_cluster
    shared_cluster.recover()


@pytest.fixture
def make_cluster(
    require_slurm: None,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[MakeCluster]:
    """Start further clusters with options of their own; `os.environ` points at the newest."""
    with ExitStack() as stack:

        def make(options: ClusterOptions) -> SlurmCluster:
            cluster = SlurmCluster(tmp_path_factory.mktemp("slurm"), options)
            stack.enter_context(cluster)
            use(cluster, monkeypatch)
            return cluster

        yield make


def use(cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process, and what it starts, talk to a cluster."""
    wanted = cluster.environ
    for name in set(os.environ) - set(wanted):
        monkeypatch.delenv(name)
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            monkeypatch.setenv(name, value)


__all__ = ["make_cluster", "require_slurm", "shared_cluster", "slurm_cluster"]
