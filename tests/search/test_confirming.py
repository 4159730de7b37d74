"""What a search has found is trained again with fresh seeds: `--set` fixes what was searched."""

from search_support import write_search

from launcher.request import request_of
from launcher.sweep import load_sweep

SEARCH = "{method: tpe, trials: 9, pruner: {rungs: [0.3]}}"


def load(tmp_path, *options):
    file = write_search(tmp_path, SEARCH)
    return load_sweep(file, overrides=("optim.lr=0.002", "seeds=[1,2,3]", *options))


def test_a_sweep_with_nothing_left_to_search_trains_every_seed_to_its_end(tmp_path):
    sweep = load(tmp_path, "model.depth=4")
    request = request_of(sweep)
    assert [trial.seed for trial in request.expansion.trials] == [1, 2, 3]
    assert request.search is None
    assert request.pruner is None
    assert "nothing is left to search, so nothing is pruned" in sweep.notes


def test_a_search_of_what_is_left_is_pruned_still(tmp_path):
    sweep = load(tmp_path)
    request = request_of(sweep)
    assert request.search is not None
    assert request.search.space.fields == ("model.depth",)
    assert request.pruner is not None
