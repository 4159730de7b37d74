"""Accuracy against speed: who is on the front, in the figure, the table and the sentences."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_parts import (
    column,
    columns,
    compiled,
    drawn,
    figure,
    has_section,
    section,
    table,
    texts,
    words,
)
from sweep_writer import SweepWriter
from throughput_writer import record, write_speed

from reports.figures.labels import overlap, place_labels
from reports.figures.pareto import ParetoPlot, x_ticks
from reports.report import Report

NAME, KIND, DEPTH = "model.name", "distill.kind", "model.depth"
Entry = tuple[dict[str, object], float, float | None]


def write(writer: SweepWriter, entries: Sequence[Entry], seeds: int = 3) -> Report:
    for swept, top1, rate in entries:
        outcomes = [top1 + 0.2 * (seed - (seeds - 1) / 2) for seed in range(seeds)]
        runs = writer.variant(swept, outcomes)
        if rate is not None:
            write_speed(runs, record(rate))
    return compiled(writer.finish())


SIZES: list[Entry] = [
    ({NAME: "tiny", DEPTH: 6}, 72.0, 4000.0),
    ({NAME: "tiny", DEPTH: 12}, 76.0, 2000.0),
    ({NAME: "small", DEPTH: 6}, 75.8, 1900.0),
    ({NAME: "small", DEPTH: 12}, 80.0, 900.0),
    ({NAME: "base", DEPTH: 6}, 74.0, 500.0),
]


def test_the_front_and_what_it_dominates(writer: SweepWriter) -> None:
    found = table(write(writer, SIZES), "pareto")
    standing = dict(zip(column(found, "variant"), column(found, "standing"), strict=True))
    assert standing == {
        "name=small, depth=12": "on the front",
        "name=tiny, depth=12": "on the front",
        "name=small, depth=6": "within noise of the front",
        "name=base, depth=6": "dominated by name=small, depth=12",
        "name=tiny, depth=6": "on the front",
    }
    assert column(found, "images/s")[:2] == ["900", "2,000"]
    assert column(found, "slowest to fastest block")[0] == "891 to 909"


def test_the_sentence_climbs_down_the_front(writer: SweepWriter) -> None:
    report = write(writer, SIZES)
    text = words(section(report, "pareto").blocks)
    assert text.startswith(
        "The highest mean is that of name=small, depth=12 (80.00 %, 900 images/s); for at least "
        "2,000 images/s that of name=tiny, depth=12 (76.00 %); for at least 4,000 images/s that of "
        "name=tiny, depth=6 (72.00 %)."
    )
    assert "A variant is dominated if" in text


def test_steps_to_an_equal_speed_are_no_steps(writer: SweepWriter) -> None:
    entries: list[Entry] = [({DEPTH: 2}, 80.0, 1000.0), ({DEPTH: 4}, 79.0, 1010.0),
                            ({DEPTH: 6}, 70.0, 2000.0)]  # fmt: skip
    text = words(section(write(writer, entries), "pareto").blocks)
    assert "for at least 1,010" not in text
    assert "for at least 2,000 images/s that of depth=6" in text


def test_one_variant_that_is_best_and_fastest(writer: SweepWriter) -> None:
    entries: list[Entry] = [({DEPTH: 2}, 80.0, 2000.0), ({DEPTH: 4}, 70.0, 1000.0)]
    text = words(section(write(writer, entries), "pareto").blocks)
    assert "which is also the fastest: nothing has to be given up." in text


def test_the_picture(writer: SweepWriter) -> None:
    report = write(writer, SIZES)
    found = figure(report, "pareto")
    root = drawn(found)
    shown = texts(root)
    assert {"tiny", "small", "base"} <= set(shown)  # the families
    assert {"depth=6", "depth=12"} <= set(shown)  # names beside points
    assert {"512", "1,024", "2,048", "4,096"} <= set(shown)
    assert "inference images/s (batch 256 on NVIDIA H100, fp32)" in shown
    ids = [one.get("id", "") for one in root.iter()]
    assert sum(name.startswith("pareto-point-") for name in ids) == 5
    tips = found.plot.tooltips().values()
    assert any("name=base, depth=6: 74.00 ± " in tip and "dominated by" in tip for tip in tips)


def test_families_have_a_colour_and_the_names_leave_them_out(writer: SweepWriter) -> None:
    plot = figure(write(writer, SIZES), "pareto").plot
    assert isinstance(plot, ParetoPlot)
    assert plot.tradeoff.families == ("tiny", "small", "base")
    assert {point.short_label for point in plot.drawn} == {"depth=6", "depth=12"}
    assert plot.drawn[0].label == "name=small, depth=12"  # named first: the best of the front


def test_single_seeds_have_no_interval_and_no_noise(writer: SweepWriter) -> None:
    found = table(write(writer, SIZES, seeds=1), "pareto")
    assert not any("within noise" in text for text in column(found, "standing"))
    assert "±" not in "".join(column(found, "top-1 % (± 95 %)"))


def test_another_machine_shares_no_axis(writer: SweepWriter) -> None:
    write(writer, SIZES)
    runs = writer.variant({NAME: "huge", DEPTH: 6}, [85.0, 85.1, 85.2])
    write_speed(runs, record(9000.0, under={"device_name": "NVIDIA A100"}))
    report = compiled(writer.finish())
    assert "name=huge, depth=6" not in column(table(report, "pareto"), "variant")
    text = words(section(report, "pareto").blocks)
    assert "name=huge, depth=6 was measured on another machine and left out" in text


def test_what_was_not_measured_is_counted(writer: SweepWriter) -> None:
    report = write(writer, [*SIZES, ({NAME: "huge", DEPTH: 6}, 85.0, None)])
    assert "1 finished variant has no known speed" in words(section(report, "pareto").blocks)


def test_without_speed_size_takes_its_place(writer: SweepWriter) -> None:
    for depth, parameters in ((2, 1_000_000), (4, 2_000_000)):
        writer.summary = {"parameters": parameters}
        writer.variant({DEPTH: depth}, [80.0 + depth, 80.5 + depth])
    report = compiled(writer.finish())
    found = section(report, "pareto")
    assert found.title == "Accuracy and size"
    text = words(found.blocks)
    assert "Throughput was not measured" in text
    assert "for at most 1.00 M parameters that of depth=2" in text
    assert "at least as small" in text
    assert "fast" not in text
    assert columns(table(report, "pareto"))[1] == "parameters (M)"
    drawn(figure(report, "pareto_size"))


def test_models_of_equal_speed_leave_no_choice(writer: SweepWriter) -> None:
    report = write(writer, [({KIND: "none"}, 80.0, 1000.0), ({KIND: "hard"}, 82.0, 1000.0)])
    assert "All measured variants are equally fast: 1,000 images/s" in words(
        section(report, "pareto").blocks
    )
    assert not [one for one in report.figures if one.name == "pareto"]


def test_nothing_finished(writer: SweepWriter) -> None:
    write_speed(writer.variant({DEPTH: 2}, ["running"]), record(1000.0))
    write_speed(writer.variant({DEPTH: 4}, ["failed"]), record(2000.0))
    text = words(section(compiled(writer.finish()), "pareto").blocks)
    assert "Fewer than two variants have both an accuracy and a speed" in text


def test_a_single_run_has_no_front(writer: SweepWriter) -> None:
    write_speed(writer.variant({}, [80.0]), record(1000.0))
    assert not has_section(compiled(writer.finish()), "pareto")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(250, 4100, [256, 512, 1024, 2048, 4096]), (900, 1100, [900, 950, 1000, 1050, 1100])],
)
def test_ticks(low: float, high: float, expected: list[float]) -> None:
    assert x_ticks(low, high) == expected


@given(
    st.lists(st.tuples(st.floats(10, 490), st.floats(10, 290)), min_size=1, max_size=25),
    st.floats(5, 120),
)
def test_names_never_cover_each_other(anchors: list[tuple[float, float]], width: float) -> None:
    frame = (0.0, 0.0, 500.0, 300.0)
    marks = [(x - 4, y - 4, x + 4, y + 4) for x, y in anchors]
    places = place_labels(anchors, [(width, 12.0)] * len(anchors), marks, frame, 7.0)
    boxes = [box for box in places if box]
    for number, box in enumerate(boxes):
        assert not any(overlap(box, other) for other in [*boxes[:number], *marks])
        assert box[0] >= 0
        assert box[1] >= 0
        assert box[2] <= 500
        assert box[3] <= 300
