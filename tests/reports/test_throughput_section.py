"""Throughput in detail: tables of speed, lines by batch size, conditions."""

from __future__ import annotations

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
)
from sweep_writer import KindsWriter, SweepWriter
from throughput_writer import record, write_speed

from reports.document import Details, Facts
from reports.figures.batch import BatchPlot
from reports.report import Report

DEPTH, KIND = "model.depth", "distill.kind"


def depths(writer: SweepWriter, count: int) -> Report:
    for depth in range(1, count + 1):
        runs = writer.variant({DEPTH: depth}, [80.0 + depth, 80.2 + depth])
        measured = record(4000.0 / depth, training=1200.0 / depth, key=f"{depth:012d}")
        write_speed(runs, measured)
    return compiled(writer.finish())


def test_one_table_for_each_quantity(writer: SweepWriter) -> None:
    report = depths(writer, 2)
    inference = table(report, "throughput_inference")
    assert column(inference, "images/s") == ["2,000", "4,000"]
    assert column(inference, "slowest to fastest block")[0] == "1,980 to 2,020"
    assert column(inference, "images/s, largest batch") == ["2,200", "4,400"]
    assert column(inference, "largest batch") == ["1,024", "1,024"]
    assert column(inference, "MFU (%)") == ["40.0", "40.0"]
    assert column(inference, "latency p99 (ms)") == ["6.00", "6.00"]
    training = table(report, "throughput_training")
    assert column(training, "images/s") == ["600", "1,200"]
    assert not any("latency" in title for title in columns(training))
    assert "throughput_training_with_data" not in [one.name for one in report.tables]


def test_lines_by_batch_size(writer: SweepWriter) -> None:
    report = depths(writer, 2)
    speed, memory = figure(report, "batch_speed"), figure(report, "batch_memory")
    assert {"depth=1", "depth=2", "batch size", "256"} <= set(texts(drawn(speed)))
    assert isinstance(speed.plot, BatchPlot)
    assert [line.name for line in speed.plot.lines] == ["depth=2", "depth=1"]
    assert speed.plot.lines[0].points == ((1, 20.0), (16, 400.0), (256, 2000.0), (1024, 2200.0))
    assert column(speed.table, "batch 256") == ["2,000", "4,000"]
    assert column(memory.table, "batch 1,024") == ["6.00", "6.00"]
    assert "depth=2 reaches its most, 2,200 images/s, at batch 1,024." in speed.description
    drawn(memory)


def test_more_than_eight_models_are_cut_and_it_is_said(writer: SweepWriter) -> None:
    report = depths(writer, 11)
    found = figure(report, "batch_speed")
    assert isinstance(found.plot, BatchPlot)
    names = [line.name for line in found.plot.lines]
    assert len(names) == 8
    assert "depth=1" in names  # the baseline, although its mean is the lowest
    assert "Drawn: the baseline and the highest means, 8 of 11 models." in found.caption
    assert len(table(report, "throughput_inference").rows) == 11
    drawn(found)


def test_variants_that_share_a_measurement_share_a_line(writer: SweepWriter) -> None:
    shared = record(1000.0)
    for kind, top1 in (("soft", 81.0), ("hard", 82.0)):
        write_speed(writer.variant({KIND: kind}, [top1, top1 + 0.2]), shared)
    report = compiled(writer.finish())
    assert column(table(report, "throughput_inference"), "model") == ["kind=hard (and 1 alike)"]


def test_conditions_are_stated(writer: SweepWriter) -> None:
    details = section(depths(writer, 2), "throughput").blocks[-1]
    assert isinstance(details, Details)
    facts = details.blocks[0]
    assert isinstance(facts, Facts)
    found = dict(facts.rows)
    assert found["device"] == "NVIDIA H100"
    assert found["power limit"] == "700 W"
    assert found["timed"] == "10 s and 30 iterations, in 5 blocks"


def test_nothing_measured_has_no_section(kinds: KindsWriter) -> None:
    assert not has_section(compiled(kinds(none=[80.0], hard=[82.0])), "throughput")


def test_a_single_run_that_was_measured(writer: SweepWriter) -> None:
    write_speed(writer.variant({}, [80.0]), record(1000.0))
    report = compiled(writer.finish())
    assert column(table(report, "throughput_inference"), "images/s") == ["1,000"]
    assert "It has 5.72 M parameters" in " ".join(report.context.answer)
    drawn(figure(report, "batch_speed"))
