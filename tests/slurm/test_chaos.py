"""Every fault once, on a sweep of thirteen trials: the results are those of a sweep in peace."""

from __future__ import annotations

import pytest
from chaos.run import options_of, run_in_chaos, run_quietly, table_of
from slurm_cluster.cluster import SlurmCluster

SEED = 5
FAULTS = 17


@pytest.mark.chaos
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_whatever_fails_every_trial_completes_once_with_the_same_results(
    require_slurm, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("chaos")
    with SlurmCluster(folder / "cluster", options_of(SEED)) as cluster:
        quiet = run_quietly(cluster, folder)
        report = run_in_chaos(cluster, folder, quiet, SEED, FAULTS)
    print(table_of([report]))  # noqa: T201
    assert report.faults.total() == FAULTS
    assert (report.findings.lost, report.findings.twice, report.findings.differ) == ([], [], [])
    assert report.failures == []
