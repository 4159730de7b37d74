"""A search on a real Ray cluster: each job that ends asks for the next one, through Tune."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "search"))

from launch_support import until
from search_support import SURROGATE, points_of, run_of, states_of, sweep, write_search

from deit_core.attempts import read_attempts
from deit_core.pruning import read_rungs
from launcher.backends.ray.backend import RayBackend
from launcher.search.records import SearchDir

PATIENCE_S = 200.0
SIX = "{method: tpe, trials: 6, pruner: {}}"
ONE_BY_ONE = "{cohort: false, gpus_per_node: 0, max_parallel: 2}"


def test_a_search_with_a_pruner_goes_on_by_itself(cluster, shared_runs, tmp_path):
    backend = RayBackend(shared_runs, cluster.address, command=SURROGATE)
    sweep_dir = sweep(shared_runs, write_search(tmp_path, SIX, resources=ONE_BY_ONE), backend)
    assert len(points_of(sweep_dir)) == 2

    until(lambda: SearchDir(sweep_dir).read_ended() is not None, PATIENCE_S)
    until(lambda: set(states_of(sweep_dir)) <= {"completed", "pruned"}, PATIENCE_S)

    trials = [run_of(sweep_dir, point.trial_ids[0]) for point in points_of(sweep_dir)]
    assert len(trials) == 6
    attempts = [read_attempts(run) for run in trials]
    assert [[one.backend for one in mine] for mine in attempts] == [["ray"]] * 6
    pruned = [run for run in trials if run.read_status().state == "pruned"]
    assert pruned
    assert all(read_rungs(run)[-1].decision == "prune" for run in pruned)
    assert not any(run.summary_file.exists() for run in pruned)
