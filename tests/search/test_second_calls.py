"""A search that is called again: with other settings, or after something of it is gone."""

import json
import shutil
import threading

import pytest
from launch_support import until
from search_support import (
    STUDENT,
    TestBackend,
    points_of,
    run_of,
    sweep,
    work_off,
    write_search,
)

from launcher.errors import LaunchError
from launcher.reconcile import reconcile, refill
from launcher.request import request_of
from launcher.search.lease import Lease
from launcher.search.records import SearchDir
from launcher.sweep import load_sweep

RANDOM = "{method: random, trials: 3}"


@pytest.fixture
def backend(runs):
    return TestBackend(runs)


def workers_of(sweep_dir):
    runs = [run_of(sweep_dir, point.trial_ids[0]) for point in points_of(sweep_dir)]
    return [run.read_config().data.workers for run in runs]


def test_settings_without_effect_are_those_of_the_latest_call(runs, backend, tmp_path):
    file = write_search(tmp_path, RANDOM)
    first = sweep(runs, file, backend)
    before = workers_of(first)
    backend.lose(backend.live()[0])
    (tmp_path / "student.yaml").write_text(STUDENT.replace("digits,", "digits, workers: 3,"))
    assert sweep(runs, file, backend).path == first.path
    assert workers_of(first) == [3, before[1]]  # the second one waits with what it was given
    work_off(first, backend)
    assert workers_of(first) == [3, before[1], 3]


def test_a_point_whose_values_make_another_trial_by_now_has_failed(runs, tmp_path):
    """As after an update that changed what a trial's id is made of."""
    backend = TestBackend(runs, slots=1)
    found = sweep(runs, write_search(tmp_path, RANDOM), backend)
    [point] = points_of(found)
    backend.lose(backend.live()[0])
    shutil.rmtree(run_of(found, point.trial_ids[0]).path)
    file = SearchDir(found).points / "000000.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "trial_ids": ["0123456789ab"]}))
    plan = json.loads(found.plan_file.read_text())
    found.plan_file.write_text(json.dumps({**plan, "trials": []}))
    refill(found, backend)
    work_off(found, backend)
    later = [point.trial_ids[0] for point in points_of(found)[1:]]
    assert [run_of(found, name).read_status().state for name in later] == ["completed"] * 2
    assert sorted(path.name for path in found.trials.iterdir()) == sorted(later)


# what it learns from other sweeps ---------------------------------------------------------------

DEPTHS = "{model.depth: [2, 3, 4, 5]}"


def grid(folder, name, axes):
    (folder / "student.yaml").write_text(STUDENT)
    path = folder / f"{name}.yaml"
    path.write_text(f"name: {name}\nbase: student.yaml\nseeds: [0]\naxes: {axes}\n")
    return path


def trained_grid(runs, folder, backend, axes):
    made = sweep(runs, grid(folder, "g", axes), backend)
    while backend.work():
        pass
    return made


def learnt(sweep_dir):
    return [warm.params["model.depth"] for warm in SearchDir(sweep_dir).read_search().warm]


def test_its_own_points_in_another_sweep_are_not_told_twice(runs, backend, tmp_path):
    search = "{method: random, trials: 2, warm_start: true}"
    file = write_search(tmp_path, search, space=DEPTHS)
    found = sweep(runs, file, backend)
    work_off(found, backend)
    trained_grid(runs, tmp_path, backend, "{model.depth: [2, 3, 4, 5]}")
    sweep(runs, file, backend)
    own = {point.params["model.depth"] for point in points_of(found)}
    assert sorted(learnt(found)) == sorted({2, 3, 4, 5} - own)


def test_what_was_learnt_stays_when_its_sweep_is_deleted(runs, backend, tmp_path):
    gone = trained_grid(runs, tmp_path, backend, "{model.depth: [2]}")
    search = "{method: random, trials: 2, warm_start: g}"
    file = write_search(tmp_path, search, space=DEPTHS)
    found = sweep(runs, file, backend)
    shutil.rmtree(gone.path)
    again = reconcile(runs, request_of(load_sweep(file)), backend)
    assert learnt(found) == [2]
    assert any("no sweep 'g' any more; what was learnt" in note for note in again.plan.notes)
    file.write_text(file.read_text().replace("warm_start: g", "warm_start: [g, h]"))
    with pytest.raises(LaunchError, match="there is no sweep 'h'"):
        sweep(runs, file, backend)


def test_a_lease_that_was_taken_over_is_not_kept_alive(tmp_path):
    """By who was stopped for a while: if the new holder dies, others must see that."""
    file = tmp_path / "lease"
    with Lease(file, renew_s=0.01).held():
        file.write_text("another")
        until(lambda: not any(thread.name == "lease" for thread in threading.enumerate()))
    assert file.read_text() == "another"


# what makes it the same search ------------------------------------------------------------------

SIZES = "{optim.lr: {low: 1.0e-4, high: 1.0e-2, log: true}, model.num_heads: [2, 4]}"
KINDS = "{optim.lr: {low: 1.0e-4, high: 1.0e-2, log: true}, distill.kind: [none, soft]}"


HEADS_3 = ("num_heads: 2", "num_heads: 3")  # 64 is no multiple: it is whole only with a point
WORKERS = ("digits,", "digits, workers: 3,")
DROP = ("in_chans: 1}", "in_chans: 1, drop_rate: 0.1}")
NONE = ("teacher:", "distill: {kind: none}\nteacher:")
ALPHA = ("none}", "none, alpha: 0.3}")  # of no effect there, and at half of the points


@pytest.mark.parametrize(
    ("space", "both", "change", "same"),
    [
        (SIZES, DROP, WORKERS, True),
        (SIZES, HEADS_3, WORKERS, True),
        (SIZES, HEADS_3, DROP, False),
        (KINDS, NONE, ALPHA, False),
        (KINDS, NONE, WORKERS, True),
    ],
)
def test_a_search_is_told_by_what_its_points_would_be(tmp_path, space, both, change, same):
    def digest(text):
        file = write_search(tmp_path, RANDOM, space=space)
        (tmp_path / "student.yaml").write_text(text)
        return request_of(load_sweep(file)).digest

    text = STUDENT.replace(*both)
    changed = text.replace(*change)
    assert (digest(text) == digest(changed)) == same
