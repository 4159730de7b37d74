"""Learning curves: what mean and range are of, how far lines go, and what is left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sweep_writer import SweepWriter
from training_writer import write_attempts, write_curve

from reports.analysis import analyse
from reports.document import Figure, Section, Table
from reports.figures.draw import draw
from reports.figures.line_names import spread
from reports.learning import VariantCurves, choose_variants, learning_curves, mean_at
from reports.load import load_sweep
from reports.report import compile_report


def _curves(folder: Path) -> list[VariantCurves]:
    sweep = load_sweep(folder)
    return learning_curves(choose_variants(analyse(sweep)), sweep.trials)


def _section(folder: Path) -> Section | None:
    sections = compile_report(load_sweep(folder)).sections
    return next((section for section in sections if section.id == "curves"), None)


def _figures(folder: Path) -> list[Figure]:
    section = _section(folder)
    assert section is not None
    return [block for block in section.blocks if isinstance(block, Figure)]


def _row(table: Table, name: str) -> list[str]:
    return next([cell.text for cell in row] for row in table.rows if row[0].text == name)


def test_mean_and_range_are_of_seeds_at_equal_epochs(writer: SweepWriter) -> None:
    first, second = writer.variant({"distill.kind": "none"}, [80.0, 84.0])
    write_curve(first, [50.0, 60.0, 90.0, 80.0])
    write_curve(second, [54.0, 70.0, 78.0, 84.0])
    (curves,) = _curves(writer.finish())
    band = curves.by_epoch()
    assert (list(band.x), list(band.mean)) == ([10, 20, 30, 40], [52, 65, 84, 82])
    assert (list(band.low), list(band.high)) == ([50, 60, 78, 80], [54, 70, 90, 84])
    # 90 % in the middle is nobody's result
    assert mean_at(curves, 1.0) == (82.0, 2)


def test_a_pruned_seed_is_drawn_as_far_as_it_got_and_leaves_the_mean_alone(
    writer: SweepWriter,
) -> None:
    done, pruned = writer.variant({"distill.kind": "none"}, [80.0, "pruned"])
    write_curve(done, [50.0, 60.0, 70.0, 80.0])
    write_curve(pruned, [10.0])
    (curves,) = _curves(writer.finish())
    assert list(curves.by_epoch().mean) == [50, 60, 70, 80]
    assert [len(seed.epochs) for seed in curves.seeds] == [4, 1]
    assert mean_at(curves, 0.25) == (30.0, 2)
    assert mean_at(curves, 0.5) == (60.0, 1)
    figure = _figures(writer.path)[0]
    assert _row(figure.table, "kind=none")[3] == "60.0 (n=1)"
    assert "Bar: pruned, stopped early on purpose." in figure.caption


def test_without_a_completed_seed_the_mean_goes_as_far_as_the_shortest(
    writer: SweepWriter,
) -> None:
    first, second = writer.variant({"distill.kind": "none"}, ["running", "failed"])
    write_curve(first, [50.0, 60.0, 70.0])
    write_curve(second, [40.0, 50.0])
    (curves,) = _curves(writer.finish())
    band = curves.by_epoch()
    assert (list(band.x), list(band.mean)) == ([10, 20], [45, 55])
    assert {seed.end for seed in curves.seeds} == {"running", "failed"}
    assert mean_at(curves, 1.0) is None


def test_seeds_that_were_evaluated_at_other_epochs_are_met_half_way(writer: SweepWriter) -> None:
    first, second = writer.variant({"distill.kind": "none"}, [80.0, 80.0])
    write_curve(first, [40.0, 60.0, 70.0, 80.0])
    write_curve(second, [50.0, 80.0], epochs_apart=20.0)
    band = _curves(writer.finish())[0].by_epoch()
    assert list(band.x) == [20, 30, 40]
    assert list(band.mean) == [55, 67.5, 80]


def test_hours_are_training_seconds_of_all_devices_shared_by_a_cohort(
    writer: SweepWriter,
) -> None:
    writer.env = {"device": "cuda"}
    writer.summary = {"train_s": 7200.0, "world_size": 8, "cohort_size": 2}
    (run,) = writer.variant({"distill.kind": "none"}, [80.0])
    write_curve(run, [50.0, 60.0, 70.0, 80.0])
    (curves,) = _curves(writer.finish())
    assert curves.hours_unit == "GPU-hours"
    assert curves.seeds[0].hours is not None
    assert np.allclose(curves.seeds[0].hours, [2, 4, 6, 8])


def test_unfinished_trials_are_timed_by_their_status(writer: SweepWriter) -> None:
    (run,) = writer.variant({"distill.kind": "none"}, ["running"])
    write_curve(run, [50.0])
    write_attempts(run, {"start": 0, "processes": 3})
    speed = {"train_images_per_s": 16.0}  # a step of 16 images: 1 s
    run.write_status(run.read_status().model_copy(update=speed))
    seed = _curves(writer.finish())[0].seeds[0]
    assert seed.hours is not None
    assert seed.hours[0] == pytest.approx(3 * 180 / 3600)


def test_gpu_and_cpu_hours_share_no_axis(writer: SweepWriter) -> None:
    for kind, device in (("none", "cpu"), ("soft", "cuda")):
        writer.env = {"device": device}
        (run,) = writer.variant({"distill.kind": kind}, [80.0])
        write_curve(run, [50.0, 80.0], epochs_apart=20.0)
    assert [figure.name for figure in _figures(writer.finish())] == ["curves_by_epoch"]


def test_of_many_variants_the_baseline_and_the_best_are_drawn_and_it_says_so(
    writer: SweepWriter,
) -> None:
    for index in range(12):
        (run,) = writer.variant({"model.depth": index}, [50.0 + index])
        write_curve(run, [50.0 + index], epochs_apart=40.0)
    figure = _figures(writer.finish())[0]
    drawn = [row[0].text for row in figure.table.rows]
    assert drawn == [f"depth={index}" for index in (11, 10, 9, 8, 7, 6, 5, 0)]
    assert "8 of 12 variants" in figure.caption
    assert "8 of 12 variants" in figure.description


def test_long_curves_are_thinned_for_the_picture_and_keep_their_end(writer: SweepWriter) -> None:
    (run,) = writer.variant({"distill.kind": "none"}, [80.0])
    write_curve(run, [*np.linspace(10, 79, 399), 80.0], epochs_apart=0.1)
    seed = _curves(writer.finish())[0].seeds[0]
    assert len(seed.top1) == 80
    assert seed.top1[-1] == 80.0


def test_the_picture_can_be_drawn_and_names_its_lines(writer: SweepWriter) -> None:
    for kind in ("none", "<b>&"):
        for run in writer.variant({"distill.kind": kind}, [80.0, "failed"]):
            write_curve(run, [50.0, 80.0], epochs_apart=20.0)
    for figure in _figures(writer.finish()):
        svg = draw(figure).standalone
        assert "kind=none" in svg
        assert "kind=&lt;b&gt;&amp;" in svg
        assert "seed 1: 80.00 % after 40 epochs, failed" in svg


def test_no_section_without_an_evaluation(writer: SweepWriter) -> None:
    writer.variant({"distill.kind": "none"}, [80.0, "failed", "pending"])
    assert _section(writer.finish()) is None


def test_names_move_apart_and_no_further() -> None:
    assert spread([1.0, 5.0], 1.0) == [1.0, 5.0]
    assert spread([3.0, 3.0], 1.0) in ([2.5, 3.5], [3.5, 2.5])
    places = spread([0.0, 0.1, 0.2, 5.0], 1.0)
    assert sorted(places) == places
    assert min(np.diff(places)) == pytest.approx(1.0)
    assert places[3] == 5.0
