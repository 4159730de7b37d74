"""The bench stage of a sweep: measured once, after its trials, and again only what is missing."""

import pytest
from launch_support import behave, moment, starts, until
from sweeps_for_tests import hold, runs_of, sweep_once, wait_for, write_sweep

from deit_core.run_dir import RunDir
from launcher.bench.bench_dir import bench_folder, bench_runs, read_bench
from launcher.observe import read_trial_job
from launcher.reconcile import preview

AXES = "model.depth: [1, 2]"


def write_benched(folder, bench="{fast: true}", **options):
    path = write_sweep(folder, **options)
    path.write_text(path.read_text() + f"bench: {bench}\n")
    return path


def measured(outcome):
    """Wait until each order is done; the bench directories."""
    runs = bench_runs(outcome.sweep_dir)
    for run in runs:
        until(lambda run=run: run.read_status().state == "completed")
    return runs


def targets(run):
    return [(one.label, [path[-64:] for path in one.run_dirs]) for one in read_bench(run).targets]


def test_models_are_measured_once_after_all_trials_ended(runs, local, tmp_path):
    gate = tmp_path / "gate"
    file = write_benched(tmp_path, seeds="[0, 1]", axes=AXES)
    outcome = hold(runs, file, local, gate)
    (run,) = bench_runs(outcome.sweep_dir)
    queued = local.queue.read(read_trial_job(run).tag)
    assert set(queued.after_any) == {str(trial.path) for trial in runs_of(outcome)}
    assert sweep_once(runs, file, local).benches == ()
    gate.touch()
    wait_for(outcome)
    measured(outcome)
    assert moment(run, "start") >= max(moment(trial, "end") for trial in runs_of(outcome))
    assert [len(one.run_dirs) for one in read_bench(run).targets] == [2, 2]
    for trial in runs_of(outcome):
        assert trial.read_throughput().speed("inference").fixed.images_per_s == 1234.0
    again = sweep_once(runs, file, local)
    assert again.benches == ()
    assert again.plan.bench.missing.measured == 2
    assert len(bench_runs(outcome.sweep_dir)) == 1


def test_the_plan_says_what_is_measured_and_for_how_long(runs, local, tmp_path):
    from launcher.plan_text import plan_lines
    from launcher.request import request_of
    from launcher.sweep import load_sweep

    file = write_benched(tmp_path, axes=AXES)
    plan = preview(runs, request_of(load_sweep(file)), local)
    # 2 models, 2 quantities: (2 + 11 smaller batch sizes at a fifth) x (2 s + 3 s)
    assert plan_lines(plan)[-1] == (
        "bench: 2 models to measure, about 1m 24s (alone on a machine, 2 cores, after the trials)"
    )
    assert list(runs.iterdir()) == []


def test_an_added_seed_takes_over_what_its_siblings_have(runs, local, tmp_path):
    outcome = sweep_once(runs, write_benched(tmp_path, seeds="[0]"), local)
    wait_for(outcome)
    measured(outcome)
    (first,) = runs_of(outcome)
    more = sweep_once(runs, write_benched(tmp_path, seeds="[0, 1]"), local)
    assert more.benches == ()
    assert [run.read_throughput() for run in runs_of(more)] == [first.read_throughput()] * 2
    wait_for(more)


def test_a_new_model_is_measured_and_a_known_one_is_not(runs, local, tmp_path):
    outcome = sweep_once(runs, write_benched(tmp_path, seeds="[0]", axes="model.depth: [1]"), local)
    wait_for(outcome)
    measured(outcome)
    file = write_benched(tmp_path, seeds="[0]", axes=AXES)
    more = sweep_once(runs, file, local)
    wait_for(more)
    (run,) = measured(more)
    assert [one.config["model"]["depth"] for one in read_bench(run).targets] == [2]


def test_another_protocol_is_measured_anew(runs, local, tmp_path):
    outcome = sweep_once(runs, write_benched(tmp_path, seeds="[0]"), local)
    wait_for(outcome)
    measured(outcome)
    again = sweep_once(runs, write_benched(tmp_path, "{timed_s: 1}", seeds="[0]"), local)
    assert len(again.benches) == 1
    measured(again)
    (trial,) = runs_of(again)
    assert trial.read_throughput().protocol.timed_s == 1


def test_failed_trials_do_not_stop_it(runs, local, tmp_path):
    file = write_benched(tmp_path, seeds="[0]", axes=AXES)
    gate = tmp_path / "gate"
    outcome = hold(runs, file, local, gate)
    for trial in runs_of(outcome):
        behave(trial, diverge=True)
    gate.touch()
    wait_for(outcome, "failed")
    (run,) = measured(outcome)
    assert len(read_bench(run).targets) == 2


def test_alone_measures_and_trains_nothing(runs, local, tmp_path):
    file = write_benched(tmp_path, "{when: alone, fast: true}", seeds="[0, 1]", axes=AXES)
    outcome = sweep_once(runs, file, local)
    (run,) = measured(outcome)
    assert len(read_bench(run).targets) == 2
    assert [starts(trial) for trial in runs_of(outcome)] == [[]] * 4
    assert all(trial.read_throughput() for trial in runs_of(outcome))


def hold_bench(sweep_dir, **behaviour):
    bench_folder(sweep_dir).mkdir(parents=True, exist_ok=True)
    behave(RunDir(bench_folder(sweep_dir)), **behaviour)


def held_bench(runs, local, file, **behaviour):
    """Start a sweep whose measurement does as it is told; returns it and the bench directory."""
    from launcher.request import request_of
    from launcher.sweep import load_sweep
    from launcher.sweep_dir import choose_folder

    request = request_of(load_sweep(file))
    hold_bench(choose_folder(runs, request.name, request.digest), **behaviour)
    outcome = sweep_once(runs, file, local)
    (run,) = bench_runs(outcome.sweep_dir)
    return outcome, run


def test_a_crash_is_tried_again_by_the_policy_of_jobs(runs, local, tmp_path):
    outcome, run = held_bench(runs, local, write_benched(tmp_path, seeds="[0]"), crash=2)
    measured(outcome)
    assert run.read_status().attempt == 3


def test_a_failed_measurement_is_left_to_the_user(runs, local, tmp_path):
    file = write_benched(tmp_path, seeds="[0]")
    _, run = held_bench(runs, local, file, refuse=True)
    until(lambda: run.read_status().state == "failed")
    again = sweep_once(runs, file, local)
    assert again.benches == ()
    assert again.plan.bench.failed.run.path == run.path


def test_a_launcher_that_died_before_it_submitted(runs, local, tmp_path, monkeypatch):
    """The order is there, its job is not: the next call submits the same order."""
    file = write_benched(tmp_path, "{when: alone}", seeds="[0]")
    with monkeypatch.context() as patch:
        patch.setattr(type(local), "submit", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            sweep_once(runs, file, local)
    outcome = sweep_once(runs, file, local)
    (run,) = measured(outcome)
    assert outcome.benches == (run.path,)


def test_half_an_order_is_no_order(runs, local, tmp_path):
    file = write_benched(tmp_path, "{when: alone}", seeds="[0]")
    outcome = sweep_once(runs, file, local)
    (run,) = measured(outcome)
    for trial in runs_of(outcome):
        trial.throughput_file.unlink()
    half = bench_folder(outcome.sweep_dir) / "0007"
    half.mkdir()
    (half / "bench.json").write_text(run.bench_file.read_text())
    again = sweep_once(runs, file, local)
    assert [path.name for path in again.benches] == ["0008"]
    measured(again)


def test_a_damaged_record_is_measured_again(runs, local, tmp_path):
    file = write_benched(tmp_path, "{when: alone}", seeds="[0]")
    outcome = sweep_once(runs, file, local)
    measured(outcome)
    (trial,) = runs_of(outcome)
    trial.throughput_file.write_text('{"schema_version": 1')
    assert len(sweep_once(runs, file, local).benches) == 1
    until(lambda: trial.throughput_file.read_text().endswith("}\n"))


def test_what_could_not_be_measured_is_not_tried_again_unasked(runs, local, tmp_path):
    file = write_benched(tmp_path, "{when: alone}", seeds="[0]")
    _, run = held_bench(runs, local, file, error="out of memory at batch 1")
    until(lambda: run.read_status().state == "completed")
    again = sweep_once(runs, file, local)
    assert (again.benches, again.plan.bench.missing.measured) == ((), 1)


def test_other_jobs_do_not_run_beside(runs, local, tmp_path):
    """The job asks for all cores of the queue, so a trial of another sweep waits for its end."""
    gate = tmp_path / "gate"
    file = write_benched(tmp_path, "{when: alone}", seeds="[0]")
    outcome, run = held_bench(runs, local, file, gate=str(gate))
    until(lambda: run.read_status().state == "running")
    assert local.queue.read(read_trial_job(run).tag).cpus == local.capacity().cpus == 2
    other = sweep_once(runs, write_sweep(tmp_path, name="other", seeds="[5]"), local)
    gate.touch()
    wait_for(other)
    measured(outcome)
    (trial,) = runs_of(other)
    assert moment(trial, "start") >= moment(run, "end")


def test_a_search_is_measured_when_it_has_asked_for_all_points(runs, local, tmp_path):
    """Nobody calls again: whoever finishes a trial sees to it."""
    file = write_benched(tmp_path, seeds="[0]")
    file.write_text(
        f"{file.read_text()}axes: {{search: {{model.depth: [1, 2, 3, 4]}}}}\n"
        f"search: {{method: random, trials: 4}}\n"
    )
    outcome = sweep_once(runs, file, local)
    assert outcome.plan.bench.later
    assert outcome.benches == ()
    (run,) = until(lambda: bench_runs(outcome.sweep_dir), 60)
    until(lambda: run.read_status().state == "completed")
    until(lambda: not local.queue.tags() and not local.runner_is_alive())
    trials = [RunDir(path) for path in outcome.sweep_dir.trials.iterdir()]
    assert len(trials) == 4
    assert all(trial.read_throughput() for trial in trials)
    assert len(bench_runs(outcome.sweep_dir)) == 1
    assert moment(run, "start") >= max(moment(trial, "end") for trial in trials)
