"""Two sweeps that want the same trial: one trains it, unless it would not do for the other."""

import pytest
from search_support import (
    STUDENT,
    TestBackend,
    points_of,
    run_of,
    states_of,
    sweep,
    work_off,
    write_search,
)

from launcher.live_jobs import observe_sweep
from launcher.monitor import Monitor
from launcher.request import read_request
from launcher.search.outcomes import outcome_of
from launcher.search.records import SearchDir

LRS = "{optim.lr: [1.0e-3, 1.0e-1]}"


@pytest.fixture
def backend(runs):
    return TestBackend(runs)


def grid(folder, name, axes=LRS, *, resources="{cohort: false}", pruner=False):
    (folder / "student.yaml").write_text(STUDENT)
    path = folder / f"{name}.yaml"
    search = "search: {pruner: {}}\n" if pruner else ""
    path.write_text(
        f"name: {name}\nbase: student.yaml\nresources: {resources}\n{search}axes: {axes}\n"
    )
    return path


def links(sweep_dir):
    return [path.is_symlink() for path in sweep_dir.trials.iterdir()]


def test_a_sweep_that_prunes_leaves_the_unfinished_trials_of_others_alone(runs, backend, tmp_path):
    plain = sweep(runs, grid(tmp_path, "plain"), backend)
    for tag in backend.live():
        backend.lose(tag)
    pruned = sweep(runs, grid(tmp_path, "pruned", pruner=True), backend)
    assert links(pruned) == [False, False]
    while backend.work():
        pass
    assert Monitor(pruned, backend).look().counts() == {"completed": 1, "pruned": 1}
    sweep(runs, grid(tmp_path, "plain"), backend)
    while backend.work():
        pass
    assert Monitor(plain, backend).look().counts() == {"completed": 2}


def test_a_linked_trial_that_the_other_sweep_prunes_is_trained_here(runs, backend, tmp_path):
    first = sweep(runs, grid(tmp_path, "first"), backend)
    second = sweep(runs, grid(tmp_path, "second"), backend)
    assert links(second) == [True, True]
    for tag in backend.live():
        backend.lose(tag)
    sweep(runs, grid(tmp_path, "first", pruner=True), backend)  # it stops trials from now on
    while backend.work():
        pass
    assert Monitor(second, backend).look().counts() == {"completed": 1, "pruned": 1}
    sweep(runs, grid(tmp_path, "second"), backend)
    while backend.work():
        pass
    assert sorted(links(second)) == [False, True]
    assert Monitor(second, backend).look().counts() == {"completed": 2}
    assert Monitor(first, backend).look().counts() == {"completed": 1, "pruned": 1}


@pytest.mark.parametrize("finished", [True, False])
def test_where_speed_is_measured_a_cohort_elsewhere_does_not_count(
    runs, backend, tmp_path, finished
):
    axes = "{optim.lr: [1.0e-3, 2.0e-3]}"
    sweep(runs, grid(tmp_path, "g", axes, resources="{cohort: 2, max_parallel: 1}"), backend)
    assert len(backend.live()) == 1
    if finished:
        backend.work()
    search = "{method: random, trials: 2, objective: [val_top1, train_images_per_s]}"
    found = sweep(runs, write_search(tmp_path, search, space=axes), backend)
    work_off(found, backend)
    assert states_of(found) == ["completed"] * 2
    assert links(found) == [False, False]
    request = read_request(found)
    seen = observe_sweep(found, request, backend)
    trials = {trial.trial_id: trial for trial in request.expansion.trials}
    outcomes = [outcome_of(request.search, point, trials, seen) for point in points_of(found)]
    assert [one.state for one in outcomes] == ["completed"] * 2
    assert run_of(found, points_of(found)[0].trial_ids[0]).read_summary().cohort_size == 1


def test_a_warm_start_passes_over_values_between_the_steps(runs, backend, tmp_path):
    sweep(runs, grid(tmp_path, "g", "{augment.strength: [0.75, 0.6]}"), backend)
    while backend.work():
        pass
    space = "{augment.strength: {low: 0.2, high: 1.0, step: 0.2}}"
    search = "{method: tpe, trials: 3, warm_start: true}"
    found = sweep(runs, write_search(tmp_path, search, space=space), backend)
    [warm] = SearchDir(found).read_search().warm
    assert warm.params == {"augment.strength": 0.6}
    assert work_off(found, backend) == 3


def test_trials_that_another_sweep_trains_take_no_slot_of_a_search(runs, backend, tmp_path):
    sweep(runs, write_search(tmp_path, "{method: random, trials: 12}", name="one"), backend)
    second = sweep(
        runs, write_search(tmp_path, "{method: random, trials: 12}", name="two"), backend
    )
    assert sorted(links(second)) == [False, True, True]
    assert work_off(second, backend) >= 10
    assert states_of(second) == ["completed"] * 12
