"""`python -m deit_core BENCH_DIR`: records in the run directories, whatever happens on the way."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from deit_core.bench import peak
from deit_core.bench.work import InferenceWork
from deit_core.distill.teacher import Teacher
from deit_core.models import build_model
from deit_core.run_dir import RunDir, write_json
from deit_core.throughput_key import throughput_key
from deit_core.throughput_records import BenchProtocol, BenchRecord, BenchTarget, ThroughputRecord
from deit_core.train.learner import Learner
from tests.deit_core.bench_dying import die
from tests.deit_core.bench_fakes import OUT_OF_MEMORY
from tests.deit_core.conftest import JobResult, RunFactory

Job = Callable[..., JobResult]

SHORT = BenchProtocol(
    fixed_batch_size=4,
    largest_batch_size=8,
    warmup_s=0.0,
    warmup_iterations=1,
    timed_s=0.0,
    timed_iterations=4,
    blocks=2,
    latency_calls=3,
)
TEACHER = {
    "model": {"name": "resnet10t", "img_size": 8, "in_chans": 1},
    "train": {"duration": "1ep"},
}

UNKNOWN_ARGUMENT = {"name": "resnet18", "img_size": 8, "in_chans": 1,
                    "kwargs": {"no_such_argument": 1}}  # fmt: skip


@pytest.fixture(autouse=True)
def small_matrix_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak, "_SIDES", {"cpu": (64,), "cuda": (64,)})


def target_of(label: str, *runs: RunDir) -> BenchTarget:
    config = runs[0].read_config()
    return BenchTarget(
        key=throughput_key(config),
        label=label,
        config=config.model_dump(mode="json"),
        run_dirs=tuple(str(run.path) for run in runs),
    )


def order(bench: RunDir, targets: Sequence[BenchTarget], **protocol: Any) -> RunDir:
    record = BenchRecord(protocol=SHORT.model_copy(update=protocol), targets=tuple(targets))
    write_json(bench.bench_file, record.model_dump(mode="json"))
    return bench


def record_of(run: RunDir) -> ThroughputRecord:
    record = run.read_throughput()
    assert record is not None
    return record


def test_a_record_says_everything(make_run: RunFactory, job: Job) -> None:
    run, other = make_run("run"), make_run("other", model={"depth": 3})
    bench = order(make_run("bench"), [target_of("two blocks", run), target_of("three", other)])
    printed = job(bench).stdout
    record = record_of(run)
    assert record.error is None
    assert record.interleaved_with == 1
    assert (record.img_size, record.protocol) == (8, SHORT)
    found = record.conditions
    assert found is not None
    assert (found.device, found.precision, found.threads) == ("cpu", "fp32", 1)
    assert (found.attention, found.compiled, found.channels_last) == ("flash", False, False)
    assert found.matmul_peak_tflops is not None
    assert found.device_name
    assert found.hostname
    assert [speed.quantity for speed in record.speeds] == ["inference", "training"]
    for speed, sizes in zip(record.speeds, ([1, 2, 4, 8], [2, 4, 8]), strict=True):
        assert [point.batch_size for point in speed.batch_sweep] == sizes
        assert speed.fixed in speed.batch_sweep
        assert speed.largest in speed.batch_sweep
        for point in speed.batch_sweep:
            assert point.images_per_s is not None
            assert point.images_per_s_min is not None
            assert point.images_per_s_max is not None
            assert 0 < point.images_per_s_min <= point.images_per_s <= point.images_per_s_max
            assert (point.peak_gib or 0) > 0
            assert (point.mfu or 0) > 0
            assert point.blocks >= 2
        for reported in (speed.fixed, speed.largest):
            assert reported is not None
            assert reported.iterations >= 4
    assert record.latency is not None
    assert record.latency.calls == 3
    assert record.latency.p50_ms <= record.latency.p90_ms <= record.latency.p99_ms
    assert "NaN" not in run.throughput_file.read_text()
    assert printed.splitlines()[0].startswith("two blocks: inference ")
    status = bench.read_status()
    assert (status.state, status.reason, status.step, status.total_steps) == (
        "completed",
        None,
        2,
        2,
    )
    assert run.read_status().state == "pending"  # measuring is not training


@pytest.mark.parametrize(
    "model",
    [{}, {"name": "resnet10t", "img_size": 8, "in_chans": 1, "kwargs": {"stem_width": 24}}],
    ids=["by formula", "no formula knows it"],
)
def test_size_and_arithmetic_are_the_models_own(
    make_run: RunFactory, job: Job, model: dict[str, Any]
) -> None:
    run = make_run("run", model=model)
    job(order(make_run("bench"), [target_of("it", run)], quantities=("inference",)))
    built = build_model(run.read_config().model, num_classes=10, seed=0).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        built.to("meta")(torch.zeros(1, 1, 8, 8, device="meta"))
    record = record_of(run)
    assert record.macs_per_image == counter.get_total_flops() // 2
    assert record.parameters == sum(parameter.numel() for parameter in built.parameters())


@pytest.mark.parametrize("trained", [True, False])
def test_a_training_step_is_the_trainers_and_includes_the_teacher(
    make_run: RunFactory, job: Job, monkeypatch: pytest.MonkeyPatch, trained: bool
) -> None:
    teacher = make_run("teacher", **TEACHER)
    if trained:
        job(teacher)
    named = teacher.path.rename(teacher.path.with_name("0123456789ab"))
    run = make_run("run", distill={"kind": "hard"}, teacher={"trial": named.name})
    alone = make_run("alone")
    calls: list[tuple[str, int]] = []
    step, answer = Learner.step, Teacher.__call__

    def counted_step(self: Learner, number: int, batch: Any, *rest: Any) -> Any:
        calls.append(("step", len(batch.images)))
        return step(self, number, batch, *rest)

    def counted_answer(self: Teacher, images: torch.Tensor) -> torch.Tensor:
        calls.append(("teacher", len(images)))
        return answer(self, images)

    monkeypatch.setattr(Learner, "step", counted_step)
    monkeypatch.setattr(Teacher, "__call__", counted_answer)
    targets = [target_of("taught", run), target_of("alone", alone)]
    job(order(make_run("bench"), targets, quantities=("training",)))
    taught, plain = record_of(run).speed("training"), record_of(alone).speed("training")
    assert taught is not None
    assert plain is not None
    assert (taught.teacher, plain.teacher) == ("trial 0123456789ab", None)
    answered = [size for what, size in calls if what == "teacher" and size > 1]
    stepped = [size for what, size in calls if what == "step"]
    assert 2 * len(answered) == len(stepped)  # the two models have equally many steps
    followed = [after for before, after in itertools.pairwise(calls)
                if before[0] == "teacher" and before[1] > 1]  # fmt: skip
    assert {what for what, _ in followed} == {"step"}


def test_the_loader_feeds_whole_batches(make_run: RunFactory, job: Job) -> None:
    run = make_run("run", data={"workers": 1})
    wide = make_run("wide", model={"embed_dim": 32}, data={"workers": 1})
    targets = [target_of("narrow", run), target_of("wide", wide)]
    quantities = ("training", "training_with_data")
    sizes = {"fixed_batch_size": 128, "largest_batch_size": 128}
    bench = make_run("bench")
    job(order(bench, targets, quantities=quantities, blocks=1, timed_iterations=1, **sizes))
    speed = record_of(run).speed("training_with_data")
    assert speed is not None
    assert speed.fixed is not None
    assert speed.fixed.batch_size == 64  # of 80 training images
    assert speed.largest is None
    resident = record_of(run).speed("training")
    assert resident is not None
    assert resident.fixed is not None
    assert resident.fixed.batch_size == 128


def test_a_batch_that_does_not_fit_ends_the_search(
    make_run: RunFactory, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = InferenceWork.load

    def small_device(self: InferenceWork, batch_size: int) -> None:
        if batch_size > 2:
            raise OUT_OF_MEMORY
        load(self, batch_size)

    monkeypatch.setattr(InferenceWork, "load", small_device)
    run = make_run("run")
    job(order(make_run("bench"), [target_of("it", run)]))
    record = record_of(run)
    speed = record.speed("inference")
    assert record.error is None
    assert speed is not None
    assert speed.fixed == speed.largest
    assert {point.batch_size: bool(point.images_per_s) for point in speed.batch_sweep} == {
        1: True, 2: True, 4: False
    }  # fmt: skip


def test_one_model_that_fails_leaves_the_others(
    make_run: RunFactory, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = make_run("good")
    unknown = make_run("unknown", model=UNKNOWN_ARGUMENT)
    huge = make_run("huge", model={"depth": 3})
    step = InferenceWork.step

    def too_large(self: InferenceWork) -> None:
        if self.model.spec.depth == 3:
            raise OUT_OF_MEMORY
        step(self)

    monkeypatch.setattr(InferenceWork, "step", too_large)
    bench = make_run("bench")
    targets = [target_of(run.path.name, run) for run in (unknown, huge, good)]
    job(order(bench, targets))
    assert record_of(good).error is None
    error = record_of(unknown).error
    assert error is not None
    assert "no_such_argument" in error
    assert "\n" not in error
    assert record_of(unknown).speeds == ()
    assert "out of memory" in str(record_of(huge).error)
    assert [speed.quantity for speed in record_of(huge).speeds] == ["training"]
    status = bench.read_status()
    assert status.state == "completed"
    assert "2 of 3 models could not be measured in full" in str(status.reason)


@pytest.mark.parametrize(
    ("model", "code", "failure"),
    [
        (UNKNOWN_ARGUMENT, 2, "user_error"),
        ({}, 1, "crashed"),
    ],
)
def test_where_nothing_can_be_measured_the_job_fails(
    make_run: RunFactory,
    job: Job,
    monkeypatch: pytest.MonkeyPatch,
    model: dict[str, Any],
    code: int,
    failure: str,
) -> None:
    def broken(self: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(InferenceWork, "step", broken)
    bench = make_run("bench")
    target = target_of("it", make_run("run", model=model))
    job(order(bench, [target], quantities=("inference",)), check=code)
    status = bench.read_status()
    assert (status.state, status.failure) == ("failed", failure)


def test_what_is_measured_is_not_measured_again(make_run: RunFactory, job: Job) -> None:
    run, seed1 = make_run("run"), make_run("seed1", seed=1)
    bench = order(make_run("bench"), [target_of("it", run)], quantities=("inference",))
    job(bench)
    first = run.throughput_file.stat().st_mtime_ns
    assert job(bench).stdout == "it: already measured\n"
    order(bench, [target_of("it", run, seed1)], quantities=("inference",))
    assert job(bench).stdout == "it: already measured\n"  # its other seed shares the record
    assert record_of(seed1) == record_of(run)
    assert run.throughput_file.stat().st_mtime_ns == first
    order(bench, [target_of("it", run, seed1)], quantities=("inference",), latency_calls=4)
    assert "already" not in job(bench).stdout
    assert record_of(seed1).protocol.latency_calls == 4
    assert bench.read_status().state == "completed"


def test_a_damaged_or_failed_record_is_measured_again(make_run: RunFactory, job: Job) -> None:
    run = make_run("run")
    bench = order(make_run("bench"), [target_of("it", run)], quantities=("inference",))
    run.throughput_file.write_text("{")
    job(bench)
    run.write_throughput(record_of(run).model_copy(update={"error": "training: no"}))
    job(bench)
    assert record_of(run).error is None


def test_a_run_directory_that_is_gone_is_not_made_anew(make_run: RunFactory, job: Job) -> None:
    run = make_run("run")
    gone = target_of("it", run).model_copy(update={"run_dirs": (str(run.path), "/no/such/run")})
    job(order(make_run("bench"), [gone], quantities=("inference",)))
    assert record_of(run).speeds
    assert not Path("/no/such").exists()


def test_mistakes_are_said_in_one_line(make_run: RunFactory, job: Job) -> None:
    run = make_run("run")
    bench = order(make_run("bench"), [target_of("it", run)])
    said = job(bench, run, check=2).stderr
    assert "needs a job of its own" in said
    bench.bench_file.write_text('{"targets": [{"key": 3}]}')
    said = job(bench, check=2).stderr
    assert said.startswith("error: ")
    assert "bench.json is damaged" in said
    assert said.count("\n") == 1
    assert (bench.read_status().state, bench.read_status().failure) == ("failed", "user_error")


def test_fresh_processes_add_their_blocks(make_run: RunFactory, job: Job) -> None:
    run = make_run("run")
    targets = [target_of("it", run)]
    job(order(make_run("bench"), targets, quantities=("inference",), processes=2))
    speed = record_of(run).speed("inference")
    latency = record_of(run).latency
    assert speed is not None
    assert speed.fixed is not None
    assert latency is not None
    assert (speed.fixed.blocks, latency.calls) == (4, 6)


def test_a_process_that_dies_is_an_error_of_its_models(
    make_run: RunFactory, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deit_core.bench.processes._child", die)
    run, bench = make_run("run"), make_run("bench")
    job(order(bench, [target_of("it", run)], processes=2), check=1)
    assert "exit code 7 and no answer" in str(record_of(run).error)


def assert_stopped(run: RunDir, bench: RunDir, done: int, of_all: int) -> None:
    status = json.loads(bench.status_file.read_text())
    said = f"stopped by SIGTERM after {done} of {of_all} models"
    assert (status["state"], status["reason"]) == ("preempted", said)
    assert not run.throughput_file.exists()
    assert not list(run.path.glob(".throughput*"))


def test_a_stop_ends_it_and_the_next_job_goes_on(
    make_run: RunFactory, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, bench = (
        make_run("first"),
        make_run("second", model={"depth": 3}),
        make_run("bench"),
    )
    targets = [target_of("first", first), target_of("second", second)]
    order(bench, targets, quantities=("inference",), interleaved=1)
    step = InferenceWork.step

    def stopped_in_the_second(self: InferenceWork) -> None:
        if self.model.spec.depth == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        step(self)

    with monkeypatch.context() as patched:
        patched.setattr(InferenceWork, "step", stopped_in_the_second)
        job(bench, check=85)
    assert_stopped(second, bench, 1, 2)
    assert record_of(first).error is None
    printed = job(bench).stdout.splitlines()
    assert printed[0] == "first: already measured"
    assert record_of(second).error is None


def test_what_a_stop_signal_breaks_is_no_failure(
    make_run: RunFactory, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scheduler signals compilers, too."""

    def broken_by_the_signal(self: InferenceWork) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        raise RuntimeError("the compiler was killed")

    monkeypatch.setattr(InferenceWork, "step", broken_by_the_signal)
    run, bench = make_run("run"), make_run("bench")
    job(order(bench, [target_of("it", run)], quantities=("inference",)), check=85)
    assert_stopped(run, bench, 0, 1)


def test_a_stop_reaches_the_measuring_process(make_run: RunFactory) -> None:
    run, bench = make_run("run"), make_run("bench")
    order(bench, [target_of("it", run)], warmup_s=600.0, processes=2)
    command = [sys.executable, "-m", "deit_core", str(bench.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        deadline = time.monotonic() + 120
        while bench.read_status().total_steps is None:
            assert process.poll() is None
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 85
        assert process.stdout is not None
        assert b"Traceback" not in process.stdout.read()  # at its end: the child has gone too
    assert_stopped(run, bench, 0, 1)
