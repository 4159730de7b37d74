"""`deit-launch bench`, and what other commands say of a measurement."""

import json
import re

import pytest
from launch_support import FAKE_TRAINER, starts, until
from sweeps_for_tests import (
    hold,
    runs_of,
    sweep_once,
    wait_for,
    write_distillation,
    write_sweep,
)
from test_bench_stage import AXES, held_bench, hold_bench, write_benched
from test_launch_cli import call

from deit_core.run_dir import RunDir
from launcher.backends import queue_backend
from launcher.bench.bench_dir import bench_runs, read_bench
from launcher.sweep_dir import SweepDir


@pytest.fixture(autouse=True)
def stand_in(runs, monkeypatch):
    monkeypatch.setattr(queue_backend, "TRAINER", FAKE_TRAINER)
    monkeypatch.delenv("DEIT_RUNS", raising=False)


@pytest.fixture
def trained(runs, local, tmp_path):
    outcome = sweep_once(runs, write_sweep(tmp_path, seeds="[0, 1]", axes=AXES), local)
    wait_for(outcome)
    return outcome


def test_a_trained_sweep_is_measured_once(trained):
    folder = trained.sweep_dir.path
    code, out, _ = call("bench", folder, "--fast")
    assert code == 0
    assert "bench: 2 models to measure, about 1m 24s (alone on a machine, 2 cores)" in out
    assert "bench: 2 models, measured\n" in out
    row = r"^depth=1 +5\.70 +1\.25 +1,234 \(256\) +1,234 \(256\) +- +2\.50$"
    assert re.search(row, out, re.MULTILINE)
    assert "measured on x, fp32, torch 0; warm-up 2 s, timed 3 s in 5 blocks" in out
    assert re.search(r"^records: .*/trials/TRIAL/throughput\.json$", out, re.MULTILINE)
    code, again, _ = call("bench", folder, "--fast")
    assert code == 0
    assert "bench: 2 measured\n" in again
    assert "depth=2" in again
    assert len(bench_runs(trained.sweep_dir)) == 1


def test_options_are_the_protocol(trained):
    options = ["--batch-size", 64, "--largest-batch-size", 128, "--processes", 3]
    assert call("bench", trained.sweep_dir.path, *options, "--no-training", "--fast")[0] == 0
    protocol = read_bench(bench_runs(trained.sweep_dir)[-1]).protocol
    assert (protocol.fixed_batch_size, protocol.largest_batch_size, protocol.processes) == (
        *(64, 128, 3),
    )
    assert (protocol.warmup_s, protocol.timed_s) == (2.0, 3.0)
    assert protocol.quantities == ("inference",)
    assert call("bench", trained.sweep_dir.path, "--with-data")[0] == 0
    protocol = read_bench(bench_runs(trained.sweep_dir)[-1]).protocol
    assert protocol.quantities == ("inference", "training", "training_with_data")
    assert (protocol.warmup_s, protocol.timed_s) == (10.0, 10.0)


def test_the_sweeps_own_protocol_is_the_default(runs, local, tmp_path):
    file = write_benched(tmp_path, "{timed_s: 7, blocks: 9}", seeds="[0]")
    outcome = sweep_once(runs, file, local)
    wait_for(outcome)
    assert call("bench", outcome.sweep_dir.path)[0] == 0
    (run,) = bench_runs(outcome.sweep_dir)
    assert (read_bench(run).protocol.timed_s, read_bench(run).protocol.blocks) == (7, 9)


def test_one_run_directory(trained):
    first, _, third, _ = runs_of(trained)
    assert call("bench", third.path)[0] == 0
    (run,) = bench_runs(trained.sweep_dir)
    (target,) = read_bench(run).targets
    assert target.run_dirs == (str(third.path),)
    assert first.read_throughput() is None


def test_a_sweep_file_is_measured_without_training(runs, tmp_path):
    file = write_distillation(tmp_path)
    code, out, _ = call("bench", file, "--fast")
    assert code == 0
    assert "kind=soft" in out
    sweep_dir = SweepDir((tmp_path / "reports" / "latest").resolve())
    trials = [RunDir(path) for path in sweep_dir.trials.iterdir()]
    assert len(trials) == 5
    assert [starts(trial) for trial in trials] == [[]] * 5
    assert sum(trial.read_throughput() is not None for trial in trials) == 4, "not the teacher"
    assert "bench: 2 measured" in call("bench", file, "--fast")[1]
    assert call("sweep", file, "--watch")[0] == 0, "it is trained when that is asked for"


def test_it_waits_for_trials_unless_told_otherwise(runs, local, tmp_path):
    gate = tmp_path / "gate"
    outcome = hold(runs, write_sweep(tmp_path, seeds="[0]"), local, gate)
    folder = outcome.sweep_dir.path
    code, out, _ = call("bench", folder, "--detach")
    assert code == 0
    assert "after the trials" in out
    assert f"to watch: deit-launch status {folder.relative_to(tmp_path)}, or the same" in out
    status = json.loads(call("status", folder, "--json")[1])
    assert status["bench"]["state"] == "queued"
    out = call("bench", folder, "--detach", "--now", "--fast")[1]
    assert "after the trials" not in out
    gate.touch()
    wait_for(outcome)
    assert call("status", folder, "--watch")[0] == 0
    assert [run.read_status().state for run in bench_runs(outcome.sweep_dir)] == ["completed"] * 2


def test_a_sweep_that_is_watched_is_watched_until_it_is_measured(runs, tmp_path):
    code, out, _ = call("sweep", write_benched(tmp_path, seeds="[0]"), "--watch")
    assert code == 0
    assert out.index("completed, top-1") < out.index("bench: 1 model, measured\n")
    assert "bench: 1 model, measured" in call("status")[1]


def test_a_sweep_that_is_measured_alone_completes(runs, tmp_path):
    file = write_benched(tmp_path, "{when: alone}", seeds="[0]")
    assert call("sweep", file, "--watch")[0] == 0


def test_a_measurement_that_failed_is_exit_3_and_tried_again_by_name(runs, local, tmp_path):
    file = write_benched(tmp_path, seeds="[0]")
    outcome, run = held_bench(runs, local, file, refuse=True)
    folder = outcome.sweep_dir.path
    wait_for(outcome)
    until(lambda: run.read_status().state == "failed")
    assert call("status", folder, "--watch")[0] == 3
    why = "failed: this order is refused; to try again: deit-launch bench"
    assert f"bench: 1 model, {why}" in call("status", folder)[1]
    assert "bench: failed, not tried again: this order is refused" in call("sweep", file)[1]
    code, out, _ = call("bench", folder)
    assert code == 3
    assert "not measured: small" in out
    assert "its log: runs/" in out
    hold_bench(outcome.sweep_dir)
    assert call("bench", folder)[0] == 0
    assert call("status", folder, "--watch")[0] == 0


def test_what_could_not_be_measured_is_said(runs, local, trained):
    hold_bench(trained.sweep_dir, error="out of memory\nat batch 1")
    code, out, _ = call("bench", trained.sweep_dir.path)
    assert code == 3
    assert "incomplete: depth=1: out of memory at batch 1\n" in out
    hold_bench(trained.sweep_dir)
    assert call("bench", trained.sweep_dir.path)[0] == 0


def test_cancel_stops_it_and_the_next_call_goes_on(runs, local, tmp_path):
    file = write_benched(tmp_path, "{when: alone}", seeds="[0]")
    outcome, run = held_bench(runs, local, file, gate=str(tmp_path / "gate"))
    folder = outcome.sweep_dir.path
    until(lambda: run.read_status().state == "running")
    code, out, _ = call("cancel", "bench", "--sweep", folder)
    assert code == 0
    assert "cancelled: bench 0001\nto continue: deit-launch bench, or the same" in out
    assert "bench: 1 model, stopped: cancelled by the user" in call("status", folder)[1]
    again = sweep_once(runs, file, local)
    assert again.benches == (run.path,)
    until(lambda: run.read_status().state == "running")
    assert "cancelled: bench 0001" in call("cancel", "--all", "--sweep", folder)[1]
    assert "nothing to cancel" in call("cancel", "bench", "--sweep", folder)[1]
    (tmp_path / "gate").touch()
    assert call("bench", folder)[0] == 0
    assert read_bench(run).targets == read_bench(bench_runs(outcome.sweep_dir)[-1]).targets


def test_ctrl_c_leaves_it_running(runs, trained, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("launcher.bench.follow.follow_benches", interrupted)
    code, out, _ = call("bench", trained.sweep_dir.path)
    assert code == 130
    assert "the measurement continues; see: deit-launch status" in out
    (run,) = bench_runs(trained.sweep_dir)
    until(lambda: run.read_status().state == "completed")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], r"there is no sweep at reports/latest"),
        (["nowhere"], r"there is no sweep at nowhere"),
        (["."], r"\. is neither a sweep folder, nor a run directory in one, nor a sweep file"),
        (["student.yaml"], r"student\.yaml:1:1: data: belongs to a training config"),
        (["small.yaml", "--batch-size", "0"], r"invalid value for '--batch-size'"),
        (["small.yaml", "--processes", "-1"], r"invalid value for '--processes'"),
        (["small.yaml", "--profile", "x"], r"there is no such profile"),
        (["small.yaml", "--backend", "slrum"], r"no backend 'slrum'"),
        (["small.yaml", "--set", "resources.gpus_per_node=1"], r"this machine grants no GPU"),
        (["searched.yaml"], r"searched\.yaml is a search, whose models come to be while it runs"),
    ],
)
def test_mistakes_are_one_line(runs, tmp_path, arguments, message):
    text = write_sweep(tmp_path, seeds="[0]").read_text()
    (tmp_path / "searched.yaml").write_text(
        f"{text}axes: {{search: {{optim.lr: {{low: 1e-4, high: 1e-2}}}}}}\nsearch: {{trials: 4}}\n"
    )
    code, _, error = call("bench", *arguments)
    assert code == 2
    assert re.search(message, error)
    assert list(runs.glob("*/bench")) == []


def test_folders_that_hold_nothing_to_measure(trained, local):
    folder = trained.sweep_dir.path
    assert "--set is for a sweep file" in call("bench", folder, "--set", "optim.lr=1")[2]
    for run in runs_of(trained):
        run.summary_file.unlink()
        failed = {"state": "failed", "failure": "diverged", "reason": "loss is nan at step 3"}
        run.write_status(run.read_status().model_copy(update=failed))
    assert "has no model to measure: its 4 trials have failed" in call("bench", folder)[2]
    (folder / "trials" / "stray").mkdir()
    assert "stray is no trial of" in call("bench", folder / "trials" / "stray")[2]
