"""Every method asks only for points of its space, and knows nothing but the files of the search."""

import dataclasses
import math

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from search_support import STUDENT
from surrogate_trainer import images_per_s, top1

from launcher.request import request_of
from launcher.search.ask import Asker
from launcher.search.config import Range, Search
from launcher.search.outcomes import PointOutcome
from launcher.search.samplers import make_sampler
from launcher.search.space import Parameter, Space
from launcher.search.study import rebuild
from launcher.sweep import load_sweep

METHODS = ["tpe", "gp", "cmaes", "nsga2", "qmc", "random"]
FIELDS = {
    "optim.lr": "{low: 1.0e-5, high: 1.0e-1, log: true}",
    "augment.strength": "{low: 0, high: 2, step: 0.25}",
    "model.depth": "{low: 1, high: 8, int: true}",
    "distill.kind": "[none, soft, hard]",
    "distill.temperature": "{low: 1, high: 9, when: {distill.kind: soft}}",
    "distill.alpha": "{values: [0.25, 0.5], when: {distill.kind: [soft, hard]}}",
}


def record_of(folder, search, fields=tuple(FIELDS)):
    (folder / "student.yaml").write_text(STUDENT)
    space = ", ".join(f"{field}: {FIELDS[field]}" for field in fields)
    path = folder / "s.yaml"
    path.write_text(
        f"name: s\nbase: student.yaml\nsearch: {search}\naxes: {{search: {{{space}}}}}\n"
    )
    return request_of(load_sweep(path)).search


def length_of(method):
    """Points of a test: enough to leave the random start, few where each takes long."""
    return 5 if method == "gp" else 14


def outcome(record, point, state="completed"):
    """What the formula says of a point."""
    config = {key: dict(value) for key, value in BASE.items()}
    for field, value in point.params.items():
        section, name = field.split(".")
        config[section][name] = value
    config["seed"] = 0
    known = {"val_top1": top1(config), "train_images_per_s": images_per_s(config)}
    values = tuple(known[metric] for metric in record.search.objective)
    broken = {str(b): b.violation(known[b.metric]) for b in record.search.bounds}
    if state == "completed":
        return PointOutcome(point, state, values, broken)
    return PointOutcome(point, state, intermediate={1: values[0]} if state == "pruned" else {})


BASE = {
    "model": {"depth": 2, "embed_dim": 64},
    "optim": {"lr": 1e-3},
    "augment": {"strength": 1.0},
    "distill": {"kind": "none", "temperature": 3.0, "alpha": 0.5},
}


def ask(record, outcomes):
    asked = Asker(record, outcomes).ask()
    return None if asked is None else asked.point


def told(record, count, states=("completed",)):
    """A search of so many points, each told before the next is asked for."""
    outcomes = []
    for number in range(count):
        point = ask(record, outcomes)
        outcomes.append(outcome(record, point, states[number % len(states)]))
    return outcomes


def same(one, other):
    """Whether two points are equal but for when and by whom they were asked."""
    return one.model_dump(exclude={"asked_unix_s", "asked_by"}) == other.model_dump(
        exclude={"asked_unix_s", "asked_by"}
    )


@pytest.mark.parametrize("method", METHODS)
def test_what_is_asked_depends_on_nothing_but_the_files(tmp_path, method):
    record = record_of(tmp_path, f"{{method: {method}, trials: 10, seed: 3}}")
    states = ("completed", "completed", "completed", "pruned", "diverged", "failed", "completed")
    outcomes = told(record, length_of(method), states)
    for length in (1, len(outcomes) // 2, len(outcomes) - 1):
        # Through JSON, and read in any order.
        points = [
            type(one.point).model_validate_json(one.point.model_dump_json()) for one in outcomes
        ]
        files = [
            dataclasses.replace(one, point=point)
            for one, point in zip(outcomes, points, strict=True)
        ]
        assert same(ask(record, files[:length]), outcomes[length].point)


@pytest.mark.parametrize("method", METHODS)
def test_points_lie_in_the_space_and_vary_what_they_may(tmp_path, method):
    record = record_of(tmp_path, f"{{method: {method}, trials: 10}}")
    by_field = {parameter.field: parameter for parameter in record.space.parameters}
    points = [one.point for one in told(record, length_of(method))]
    for point in points:
        kind = point.params["distill.kind"]
        assert ("distill.temperature" in point.params) == (kind == "soft")
        assert ("distill.alpha" in point.params) == (kind != "none")
        for field, value in point.params.items():
            assert by_field[field].holds(value), (field, value)
        assert point.params["augment.strength"] % 0.25 == 0
        assert isinstance(point.params["model.depth"], int)
    assert len({point.trial_ids for point in points}) == len(points)
    assert len({point.params["distill.kind"] for point in points}) >= 2


@pytest.mark.parametrize("state", ["pruned", "diverged", "failed"])
def test_a_point_without_a_result_does_not_stop_a_gaussian_process(tmp_path, state):
    """It knows of results alone, and would ask for the very same point for ever."""
    record = record_of(tmp_path, "{method: gp, trials: 8}", ("optim.lr", "augment.strength"))
    outcomes = told(record, 4, ("completed", "completed", state, state))
    assert len({one.point.trial_ids for one in outcomes}) == 4
    assert ask(record, outcomes) is not None


@pytest.mark.parametrize("method", METHODS)
def test_points_that_are_asked_before_others_are_told_differ(tmp_path, method):
    record = record_of(tmp_path, f"{{method: {method}, trials: 40}}", ("optim.lr", "model.depth"))
    outcomes = told(record, 6)
    for _ in range(6):
        outcomes.append(PointOutcome(ask(record, outcomes), "open"))
    assert len({one.point.trial_ids for one in outcomes}) == 12


@pytest.mark.parametrize("method", ["tpe", "gp", "nsga2", "random"])
def test_two_objectives_and_a_constraint(tmp_path, method):
    search = (
        f"{{method: {method}, trials: 10, objective: [val_top1, train_images_per_s], "
        "constraints: train_images_per_s >= 10000}"
    )
    record = record_of(tmp_path, search, ("optim.lr", "model.depth"))
    outcomes = told(record, length_of(method))
    assert same(ask(record, outcomes[:-1]), outcomes[-1].point)
    study = rebuilt(record, outcomes)
    assert [trial.values for trial in study.trials] == [list(one.values) for one in outcomes]
    for one, trial in zip(outcomes, study.trials, strict=True):
        assert one.feasible == (one.values[1] >= 10000) == all(c <= 0 for c in kept(trial))


def kept(trial):
    """What Optuna knows of a trial's constraints."""
    return [value for name, value in trial.system_attrs.items() if name.startswith("constraints:")]


def rebuilt(record, outcomes):
    return rebuild(record, outcomes, optuna.storages.InMemoryStorage())


def test_cma_es_goes_through_its_generations(tmp_path):
    record = record_of(tmp_path, "{method: cmaes, trials: 60}", ("optim.lr", "augment.strength"))
    outcomes = told(record, 26)
    generations = [
        value
        for one in outcomes
        for key, value in one.point.attrs.items()
        if key.endswith("generation")
    ]
    assert max(generations) >= 2
    values = [one.values[0] for one in outcomes]
    assert sum(values[-8:]) > sum(values[:8])


def test_a_quasi_random_sequence_does_not_start_anew(tmp_path):
    record = record_of(tmp_path, "{method: qmc, trials: 40}", ("optim.lr", "augment.strength"))
    outcomes = told(record, 9)
    quarters = [int(math.log10(one.point.params["optim.lr"]) + 5) for one in outcomes[1:]]
    assert sorted(quarters) == [0, 0, 1, 1, 2, 2, 3, 3]  # balanced, as such a sequence is
    assert len({one.point.params["optim.lr"] for one in outcomes}) == 9


@pytest.mark.parametrize("method", [one for one in METHODS if one != "cmaes"])
def test_of_a_small_space_every_point_is_found_before_it_ends(tmp_path, method):
    record = record_of(
        tmp_path, f"{{method: {method}, trials: 99}}", ("distill.kind", "distill.alpha")
    )
    outcomes = []
    while (point := ask(record, outcomes)) is not None:
        outcomes.append(outcome(record, point))
    params = {tuple(sorted(one.point.params.items())) for one in outcomes}
    assert len(params) == len(outcomes) == 5


RANGES = st.tuples(
    st.integers(1, 50), st.integers(1, 60), st.sampled_from(["int", "log", "plain", "step"])
)


@given(RANGES, st.sampled_from(METHODS))
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_range_is_kept_to(bounds, method):
    low, width, kind = bounds
    spec = Range(
        low=low,
        high=low + width,
        log=kind == "log",
        int=kind == "int",
        step=0.5 if kind == "step" else None,
    )
    parameter = Parameter(field="model.depth", range=spec)
    space = Space(parameters=(parameter,))
    study = rebuilt_empty(space, method)
    values = [parameter.suggest(study.ask()) for _ in range(4)]
    assert all(parameter.holds(value) for value in values)
    assert spec.options() is None or set(values) <= set(spec.options())


@pytest.mark.parametrize(
    ("low", "high", "step"),
    [(0.1, 0.9, 0.03333), (0.001, 0.002, 0.00012345), (0.1, 0.7, 0.2), (1000, 1001, 0.125)],
)
def test_steps_between_rounded_numbers_are_found_again(low, high, step):
    parameter = Parameter(field="optim.lr", range=Range(low=low, high=high, step=step))
    known = parameter.distribution()
    for value in parameter.range.options():
        assert parameter.holds(value)
        told = parameter.suggestion_of(value)
        assert known._contains(told)
        assert parameter.value_of(told) == value
    assert parameter.value_of(known.high) == parameter.range.options()[-1]
    assert not parameter.holds(low + 0.4 * step)


def rebuilt_empty(space, method):
    return optuna.create_study(sampler=make_sampler(Search(method=method), space, 0))
