"""The cost of whole plans, from run folders made by hand."""

import json
from dataclasses import replace

import pytest
from sweeps_for_tests import request_for, write_distillation, write_sweep

from deit_core.cores import cpu_name
from deit_core.records import EnvRecord, StatusRecord, SummaryRecord
from deit_core.run_dir import RunDir, write_json
from launcher.backends.base import Capacity
from launcher.cost import records
from launcher.cost.of_plan import with_cost
from launcher.cost.predict import predict
from launcher.cost.pricing import Site
from launcher.cost.records import read_records
from launcher.cost.words import cost_lines
from launcher.expand import Expansion
from launcher.observe import NOTHING, Observation, TrialJob
from launcher.plan import Situation, make_plan
from launcher.plan_text import plan_lines
from launcher.trial_dirs import trial_record

TWO_CORES = Capacity(cpus=2)


def plan_of(request, observations=None, capacity=TWO_CORES):
    situation = Situation(observations or {}, "local", capacity)
    return make_plan(request.name, request.expansion, request.resources, situation)


def cost_of(request, runs, observations=None, capacity=TWO_CORES):
    plan = plan_of(request, observations, capacity)
    return with_cost(plan, runs, request.expansion, request.resources, observations or {}).cost


def finish(runs, trials, *, train_s=10.0, sweep="2026-01-01_done_0000", **env):
    """Write run directories of a job that has finished, and return what a plan sees of them."""
    paths = [runs / sweep / "trials" / trial.trial_id for trial in trials]
    job = TrialJob(
        tag=trials[0].trial_id,
        backend="local",
        run_dirs=tuple(map(str, paths)),
        submitted_unix_s=1000.0,
    )
    for trial, path in zip(trials, paths, strict=True):
        run = RunDir(path)
        run.create(trial_record(trial), trial.config)
        facts = {"device": "cpu", "device_name": cpu_name(), "threads": 1} | env
        run.write_env(EnvRecord(python="3", platform="x", hostname="x", versions={}, **facts))
        run.write_status(
            StatusRecord(
                state="completed", attempt=1, started_unix_s=1004.0,
                finished_unix_s=1004.0 + train_s + 2.0,
            )
        )  # fmt: skip
        write_json(run.job_file, job.model_dump(mode="json"))
        run.write_summary(summary_of(trial, train_s, len(trials)))
    return {
        trial.trial_id: Observation(path, "completed")
        for trial, path in zip(trials, paths, strict=True)
    }


def summary_of(trial, train_s, size):
    measured = dict.fromkeys(["val_top1", "val_top5", "val_loss", "val_top1_cls", "train_loss"])
    return SummaryRecord(
        trial_id=trial.trial_id, epochs=2, steps=36, val_images=797, train_images=300,
        num_classes=10, parameters=1, cohort_size=size, train_s=train_s, finished_unix_s=2000.0,
        **measured,
    )  # fmt: skip


@pytest.fixture
def depths(tmp_path):
    return request_for(write_sweep(tmp_path, axes="model.depth: [1, 2, 4, 8]", seeds="[0, 1]"))


def test_without_runs_a_wide_interval_from_what_devices_do(depths, tmp_path):
    cost = cost_of(depths, tmp_path / "runs")
    assert {job.basis for job in cost.jobs} == {"data sheet"}
    assert cost.unit == "core-hours"
    assert cost.hours.high > 5 * cost.hours.low
    assert set(cost.trials) == {trial.trial_id for trial in depths.expansion.trials}
    assert cost.saved_hours.point == 0
    assert "as nothing has finished" in cost_lines(cost)[-1]


def test_deeper_trials_cost_more(depths, tmp_path):
    cost = cost_of(depths, tmp_path / "runs")
    by_depth = {t.config.model.depth: cost.trials[t.trial_id] for t in depths.expansion.trials}
    hours = [by_depth[depth].hours.point for depth in (1, 2, 4, 8)]
    disk = [by_depth[depth].disk_gib.point for depth in (1, 2, 4, 8)]
    assert hours == sorted(hours)
    assert disk == sorted(disk)
    assert sum(share.hours.point for share in cost.trials.values()) == pytest.approx(
        cost.hours.point
    )


def test_the_best_evidence_is_a_run_of_the_same_settings(depths, tmp_path):
    runs = tmp_path / "runs"
    first, second, *_ = depths.expansion.trials
    assert first.group_id == second.group_id
    wide = cost_of(depths, runs)
    seen = finish(runs, [first])
    cost = cost_of(depths, runs, seen)
    bases = [job.basis for job in cost.jobs]
    assert bases == ["same settings"] + ["same device"] * 6
    one = cost.trials[second.trial_id].hours * 3600
    # ten seconds of training, two of evaluation, four to start
    assert one.point == pytest.approx(16.0, rel=0.01)
    assert cost.hours.high / cost.hours.low < wide.hours.high / wide.hours.low
    text = "\n".join(cost_lines(cost))
    assert "finished runs of the same settings" in text
    assert "finished runs of other settings (1 jobs)" in text


@pytest.mark.parametrize(
    "elsewhere", [{"threads": 2}, {"device_name": "another"}, {"device": "cuda"}]
)
def test_runs_of_another_device_say_nothing(depths, tmp_path, elsewhere):
    runs = tmp_path / "runs"
    seen = finish(runs, depths.expansion.trials[:1], **elsewhere)
    assert {job.basis for job in cost_of(depths, runs, seen).jobs} == {"data sheet"}


def test_a_device_of_other_machines_is_that_of_the_newest_run(depths, tmp_path):
    runs = tmp_path / "runs"
    gpu = {"device": "cuda", "device_name": "NVIDIA H100 80GB HBM3", "threads": 8}
    finish(runs, depths.expansion.trials[:1], **gpu)
    job = replace(plan_of(depths).jobs[2], gpus=1, cpus=8)
    site = Site(slots=None, records=read_records(runs, []))
    cost = predict([job], depths.expansion.trials, site)
    assert cost.unit == "GPU-hours"
    assert cost.jobs[0].basis == "same device"
    assert "on NVIDIA H100 80GB HBM3, fp32" in cost.basis[0]
    unknown = predict([job], depths.expansion.trials, Site(slots=None))
    assert "on a GPU of unknown kind (between A100 and H200), fp32" in unknown.basis[0]


def test_a_cohort_is_one_record_and_saves_teacher_passes(tmp_path):
    request, runs = request_for(write_distillation(tmp_path, seeds="[0, 1]")), tmp_path / "runs"
    teacher, *students = request.expansion.trials
    of_first = [trial for trial in students if trial.seed == 0]
    seen = finish(runs, [teacher], train_s=5.0) | finish(runs, of_first, train_s=20.0)
    found = read_records(runs, [])
    assert sorted(len(record.groups) for record in found) == [1, 2]
    cohort = next(record for record in found if len(record.groups) == 2)
    assert cohort.step.seconds == pytest.approx(20.0 / 36 / 2)
    cost = cost_of(request, runs, seen, Capacity(1))
    [job] = cost.jobs
    assert job.basis == "same settings"
    assert job.seconds.point == pytest.approx(20.0 + 2.0 + 4.0, rel=0.05)
    assert cost.teacher_share > 0.3
    assert job.saved_seconds.point == pytest.approx(20.0 * cost.teacher_share + 4.0, rel=0.05)
    [line] = [line for line in cost_lines(cost) if line.startswith("cohorts")]
    assert "the teacher is asked in 1 job instead of 2" in line


def test_students_wait_for_their_teacher(tmp_path):
    request = request_for(write_distillation(tmp_path, seeds="[0, 1]"))
    cost = cost_of(request, tmp_path / "runs", capacity=Capacity(4))
    teacher, *students = (job.seconds for job in cost.jobs)
    longest = max(students, key=lambda seconds: seconds.point)
    assert cost.wall_seconds.point == pytest.approx(teacher.point + longest.point)


def test_what_is_done_already_is_not_paid_again(depths, tmp_path):
    trial = depths.expansion.trials[-1]
    half = StatusRecord(state="preempted", attempt=1, step=18, total_steps=36)
    seen = {trial.trial_id: Observation(tmp_path, "stopped", half)}
    whole = cost_of(depths, tmp_path / "runs").trials[trial.trial_id].hours.point
    rest = cost_of(depths, tmp_path / "runs", seen).trials[trial.trial_id].hours.point
    assert 0.4 * whole < rest < whole


def test_what_is_unknown_is_said_and_the_rest_is_priced(tmp_path):
    path = write_sweep(tmp_path, seeds="[0]", axes="model.depth: [1, 2]")
    request = request_for(path)
    odd, plain = request.expansion.trials
    model = odd.config.model.model_copy(update={"name": "maxvit_tiny_tf_224"})
    odd = replace(odd, config=odd.config.model_copy(update={"model": model}))
    request = replace(request, expansion=Expansion((odd, plain), ("model.depth",), 2, ()))
    cost = cost_of(request, tmp_path / "runs")
    assert set(cost.trials) == {plain.trial_id}
    assert cost.jobs[0] is None
    assert cost.wall_seconds is None
    lines = cost_lines(cost)
    assert lines[0] == "cost unknown for 1 trial: the size of maxvit_tiny_tf_224"
    assert "wall time: unknown" in lines


def test_notes_of_what_will_not_fit(depths):
    jobs = plan_of(depths).jobs
    site = Site(slots=2, cpu_name="x", free_gib=1e-6, mem_gb=0.1, time_limit_s=0.5)
    notes = "\n".join(predict(jobs, depths.expansion.trials, site).notes)
    assert "GiB of disk" in notes
    assert "resources.mem_gb gives 0.0931" in notes
    assert "8 of 8 jobs will take longer than resources.time" in notes
    roomy = Site(slots=2, cpu_name="x", free_gib=1e6, mem_gb=64.0, time_limit_s=1e6)
    assert predict(jobs, depths.expansion.trials, roomy).notes == ()


def test_few_cores_beside_a_gpu_are_said_to_be_the_limit(depths):
    small = depths.expansion.trials[0]
    files = {"source": "image_folder", "root": "/x", "train_images": 300, "val_images": 797}
    data = small.config.data.model_copy(update=files)
    read = replace(small, config=small.config.model_copy(update={"data": data}))
    job = replace(plan_of(depths).jobs[0], gpus=1, cpus=1)
    slow = predict([replace(job, trials=(read,))], (), Site(slots=1))
    fast = predict([replace(job, trials=(small,))], (), Site(slots=1))
    assert "reading images is predicted to be slower" in slow.notes[0]
    assert fast.notes == ()
    assert slow.hours.point > fast.hours.point


def test_damaged_and_unfinished_runs_are_passed_over(depths, tmp_path):
    runs = tmp_path / "runs"
    first, second, third, fourth, *_ = depths.expansion.trials
    finish(runs, [first])
    for trial, name in ((second, "env.json"), (third, "config.json"), (fourth, "summary.json")):
        finish(runs, [trial])
        (runs / "2026-01-01_done_0000" / "trials" / trial.trial_id / name).write_text("{")
    assert len(read_records(runs, [])) == 1
    assert read_records(tmp_path / "none", []) == []


def test_reading_earlier_runs_is_bounded(depths, tmp_path, monkeypatch):
    runs = tmp_path / "runs"
    for number, trial in enumerate(depths.expansion.trials):
        finish(runs, [trial], sweep=f"2026-01-0{number + 1}_done_0000")
    monkeypatch.setattr(records, "MOST_TRIALS", 3)
    newest = {trial.group_id for trial in depths.expansion.trials[-3:]}
    assert {group for record in read_records(runs, []) for group in record.groups} == newest
    oldest = depths.expansion.trials[0]
    path = runs / "2026-01-01_done_0000" / "trials" / oldest.trial_id
    found = read_records(runs, [path])
    assert len(found) == 3
    assert found[0].groups == {oldest.group_id}
    monkeypatch.setattr(records, "MOST_SWEEPS", 1)
    assert len(read_records(runs, [])) == 1


def test_a_plan_says_its_cost_in_a_few_lines_and_as_json(depths, tmp_path):
    plan = plan_of(depths)
    assert plan.cost is None
    plan = with_cost(plan, tmp_path, depths.expansion, depths.resources, {})
    starts = ("compute: ", "wall time: ", "disk: ", "based on: ")
    lines = [line for line in plan_lines(plan) if line.startswith(starts)]
    assert len(lines) == len(starts)
    values = json.loads(json.dumps(plan.cost.as_json()))
    assert values["hours"]["low"] < values["hours"]["point"] < values["hours"]["high"]


def test_a_plan_that_starts_nothing_costs_nothing(depths, tmp_path):
    done = {t.trial_id: replace(NOTHING, condition="completed") for t in depths.expansion.trials}
    assert cost_of(depths, tmp_path, done) is None
