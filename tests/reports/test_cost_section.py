"""The account of costs: nothing is counted twice, and what was lost is called that."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweep_writer import SweepWriter
from training_writer import write_attempts

from deit_core.run_dir import RunDir
from reports.cost import CostAccount, account
from reports.load import load_sweep
from reports.report import compile_report
from reports.sections.cost import cost_sentences


def _account(folder: Path) -> CostAccount:
    found = account(load_sweep(folder))
    assert found is not None
    return found


def _said(folder: Path) -> str:
    return " ".join(cost_sentences(_account(folder)))


def test_hours_are_those_of_attempts_times_devices(writer: SweepWriter) -> None:
    writer.env = {"device": "cuda", "device_name": "H100"}
    (run,) = writer.variant({"distill.kind": "none"}, [80.0])
    write_attempts(run, {"start": 0, "end": 7200, "processes": 4, "last_step": 720,
                         "cause": "completed"})  # fmt: skip
    found = _account(writer.finish())
    assert found.total("GPU-hours") == pytest.approx(8.0)
    assert found.wall_s == 7200
    assert "1 trial took 8 GPU-hours, in 2 h from the first start" in _said(writer.path)


def test_cpu_runs_are_counted_by_threads(writer: SweepWriter) -> None:
    writer.env = {"threads": 2}
    (run,) = writer.variant({"distill.kind": "none"}, [80.0])
    write_attempts(run, {"start": 0, "end": 3600, "last_step": 720, "cause": "completed"})
    assert _account(writer.finish()).total("core-hours") == pytest.approx(2.0)


def test_the_trials_of_a_cohort_share_their_job(writer: SweepWriter) -> None:
    writer.summary = {"cohort_size": 3}
    for run in writer.variant({"distill.kind": "none"}, [80.0, 81.0, 82.0]):
        write_attempts(run, {"start": 0, "end": 3600, "tag": "job", "last_step": 720,
                             "cause": "completed"})  # fmt: skip
    found = _account(writer.finish())
    assert found.total("core-hours") == pytest.approx(1.0)
    assert "1 job trained several trials side by side" in _said(writer.path)


def test_work_that_was_lost_is_part_of_the_hours_and_named(writer: SweepWriter) -> None:
    (run,) = writer.variant({"distill.kind": "none"}, [80.0])  # 720 steps in 9.25 s
    write_attempts(
        run,
        {"start": 0, "end": 1000, "last_step": 400, "cause": "node_failure"},
        {"start": 1600, "end": 1700, "first_step": 400, "last_step": 400, "cause": "crashed"},
        {"start": 1700, "end": 2700, "first_step": 300, "last_step": 720, "cause": "completed"},
    )
    found = _account(writer.finish())
    assert found.total("core-hours") == pytest.approx(2100 / 3600)
    # 100 steps again at 9.25 s / 720, and the attempt that came no further
    assert found.lost("core-hours") == pytest.approx((100 * 9.25 / 720 + 100) / 3600)
    assert found.waiting_s == 600
    said = _said(writer.path)
    assert "3 attempts; 2 had to be followed by another one: 1 crashed and 1 lost with" in said
    assert "Lost to failures: 0.0281 core-hours (4.8 %)" in said
    assert "waited 10 min" in said


def test_steps_that_status_counts_are_lost_too(writer: SweepWriter) -> None:
    (run,) = writer.variant({"distill.kind": "none"}, [80.0])
    _update(run, repeated_steps=360)
    write_attempts(run, {"start": 0, "end": 100, "last_step": 720, "cause": "completed"})
    assert _account(writer.finish()).lost("core-hours") == pytest.approx(9.25 / 2 / 3600)


def _update(run: RunDir, **fields: object) -> None:
    run.write_status(run.read_status().model_copy(update=fields))


def test_every_outcome_has_its_own_row(writer: SweepWriter) -> None:
    writer.teacher(85.0)
    for outcome in (80.0, "pruned", "failed", "running"):
        run = writer.trial({"distill.kind": str(outcome)}, 0, outcome)
        end = None if outcome == "running" else 3600
        write_attempts(run, {"start": 0, "end": end, "last_step": 120})
    write_attempts(
        RunDir(writer.path / "trials" / writer.planned[0].trial_id), {"start": 0, "end": 3600}
    )
    found = _account(writer.finish())
    assert set(found.rows) == {"completed", "pruned", "failed", "open", "teacher"}
    assert found.rows["teacher"].hours == {"core-hours": pytest.approx(1.0)}
    assert found.rows["open"].hours == {"core-hours": 0.0}  # no sign of life since its start
    said = _said(writer.path)
    assert "1 core-hours went into 1 teacher" in said
    assert "1 attempt was counted up to the last sign of life" in said
    assert "failed for good took 1 core-hours" in said


def test_pruning_is_no_failure_and_its_saving_is_told(writer: SweepWriter) -> None:
    writer.trial({"distill.kind": "none"}, 0, 80.0)
    run = writer.trial({"distill.kind": "soft"}, 0, "pruned")
    _update(run, step=180, epoch=10.0, train_images_per_s=16.0)  # a step of 16 images: 1 s
    write_attempts(run, {"start": 0, "end": 200, "last_step": 180, "cause": "pruned"})
    found = _account(writer.finish())
    assert found.saved_epochs == pytest.approx(30.0)
    assert found.saved_hours == {"core-hours": pytest.approx(540 / 3600)}
    assert found.lost("core-hours") == 0
    assert (
        "Pruning stopped 1 trial early, on purpose, and left out 30 of 80 scheduled epochs (38 %), "
        "about 0.15 core-hours at their own speed." in _said(writer.path)
    )


def test_energy_is_summed_and_its_source_told(writer: SweepWriter) -> None:
    for run, joules in zip(writer.variant({"distill.kind": "none"}, [80.0, 81.0]), (1.8e6, 9e5),
                           strict=True):  # fmt: skip
        _update(run, energy_j=joules, energy_source="rapl")
        write_attempts(run, {"start": 0, "end": 3600})
    writer.trial({"distill.kind": "soft"}, 0, 82.0)
    found = _account(writer.finish())
    assert found.kwh == pytest.approx(0.75)
    said = _said(writer.path)
    assert "Energy drawn while training: 750 Wh, measured for 2 of them" in said
    assert "which count all that ran on those machines" in said


def test_runs_without_attempts_are_counted_by_their_training(writer: SweepWriter) -> None:
    writer.summary = {"train_s": 3600.0}
    writer.variant({"distill.kind": "none"}, [80.0])
    found = _account(writer.finish())
    assert found.total("core-hours") == pytest.approx(1.0)
    assert found.wall_s is None


def test_trials_of_an_earlier_sweep_do_not_stretch_the_wall_time(writer: SweepWriter) -> None:
    new, old = writer.variant({"distill.kind": "none"}, [80.0, 81.0])
    write_attempts(old, {"start": -9_000_000, "end": -8_990_000, "cause": "completed"})
    write_attempts(new, {"start": 900_000, "end": 900_060, "cause": "completed"})
    folder = writer.finish()
    found = _account(folder)
    assert (found.wall_s, found.earlier) == (60.0, 1)
    assert "had been trained by an earlier sweep" in _said(folder)


def test_nothing_is_said_before_anything_has_begun(writer: SweepWriter) -> None:
    writer.variant({"distill.kind": "none"}, ["pending", "missing"])
    folder = writer.finish()
    assert account(load_sweep(folder)) is None
    assert "cost" not in {section.id for section in compile_report(load_sweep(folder)).sections}


def test_a_run_of_unknown_devices_costs_an_unknown_amount(writer: SweepWriter) -> None:
    (run,) = writer.variant({"distill.kind": "none"}, [80.0])
    run.env_file.unlink()
    assert "Device time is not known" in _said(writer.finish())
