"""Speed and size in the main table, the legend, the answer and the caveats."""

from __future__ import annotations

import pytest
from report_parts import column, columns, compiled, section, table, words
from sweep_writer import KindsWriter, SweepWriter
from throughput_writer import record, speed, write_speed

from deit_core.throughput_records import ThroughputRecord
from reports.caveats import find_caveats
from reports.report import Report
from reports.speed.throughput import COMMAND, significant, speeds_of
from reports.text import NOTHING
from reports.variants import group_variants

DEPTH = "model.depth"


def depths(writer: SweepWriter, *records: ThroughputRecord | None) -> Report:
    """Depths 2, 4, ...; one point better each."""
    for number, measured in enumerate(records):
        top1 = [80.0 + number, 80.2 + number, 80.4 + number]
        runs = writer.variant({DEPTH: 2 * number + 2}, top1)
        if measured is not None:
            write_speed(runs, measured)
    return compiled(writer.finish())


def caveats(report: Report) -> dict[str, str]:
    found = find_caveats(report.context.sweep, report.context.analysis)
    return {caveat.code: caveat.text for caveat in found}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12_345.6, "12,300"), (999.6, "1,000"), (85.44, "85.4"), (5.717, "5.72"),
        (0.001234, "0.00123"), (10.0, "10.0"), (0.0, "0"), (None, NOTHING), (9.999, "10.0"),
    ],
)  # fmt: skip
def test_three_significant_digits(value: float | None, text: str) -> None:
    assert significant(value) == text


def test_columns_of_speed_stand_beside_those_of_size(writer: SweepWriter) -> None:
    report = depths(writer, record(2000.0, training=600.0), record(1000.0, training=300.0, gib=2.5))
    found = table(report, "variants")
    assert column(found, "inference images/s") == ["1,000", "2,000"]
    assert column(found, "training images/s") == ["300", "600"]
    assert column(found, "training peak GiB") == ["2.50", "1.50"]
    assert column(found, "latency p50 (ms)") == ["4.00", "4.00"]
    assert column(found, "parameters (M)") == ["5.72", "5.72"]
    assert column(found, "GMACs") == ["1.26", "1.26"]
    assert "resolution" not in columns(found)  # all alike


def test_without_a_measurement_no_column_speaks_of_speed(writer: SweepWriter) -> None:
    report = depths(writer, None, None)
    assert [c for c in columns(table(report, "variants")) if "/s" in c or "GiB" in c] == []
    assert column(table(report, "variants"), "parameters (M)") == ["0.201", "0.201"]
    method = section(report, "method").blocks[0]
    assert COMMAND in " ".join(method.items)  # type: ignore[union-attr]
    assert COMMAND in words(section(report, "pareto").blocks)


def test_the_resolution_is_shown_where_it_differs(writer: SweepWriter) -> None:
    report = depths(writer, record(2000.0), record(1000.0, img_size=384))
    assert column(table(report, "variants"), "resolution") == ["384", "224"]


def test_best_and_second_of_a_column_are_marked(writer: SweepWriter) -> None:
    report = depths(writer, record(2000.0), record(1500.0), record(1000.0))
    found = table(report, "variants")
    index = columns(found).index("inference images/s")
    cells = [row[index] for row in found.rows]
    assert [(cell.strong, cell.second) for cell in cells] == [
        (False, False), (False, True), (True, False),
    ]  # fmt: skip
    assert [cell.value for cell in cells] == [1000.0, 1500.0, 2000.0]
    top1 = [row[columns(found).index("top-1")] for row in found.rows]
    assert [(cell.strong, cell.second) for cell in top1] == [
        (True, False), (False, True), (False, False),
    ]  # fmt: skip


def test_speeds_within_the_range_of_their_blocks_are_both_the_best(writer: SweepWriter) -> None:
    report = depths(writer, record(2000.0), record(1985.0), record(1000.0))
    found = table(report, "variants")
    index = columns(found).index("inference images/s")
    assert [row[index].strong for row in found.rows] == [False, True, True]


def test_nothing_is_the_best_where_all_are_alike(writer: SweepWriter) -> None:
    found = table(depths(writer, record(2000.0), record(2000.0)), "variants")
    index = columns(found).index("inference images/s")
    assert not any(row[index].strong or row[index].second for row in found.rows)


def test_seeds_measured_apart_give_the_median(writer: SweepWriter) -> None:
    runs = writer.variant({DEPTH: 2}, [80.0, 80.2, 80.4])
    for number, (run, found) in enumerate(zip(runs, (1000.0, 1100.0, 1500.0), strict=True)):
        run.write_throughput(record(found, finished_unix_s=1e9 + number))
    writer.variant({DEPTH: 4}, [81.0, 81.2, 81.4])
    speeds = speeds_of(group_variants(compiled(writer.finish()).context.sweep))
    (measured,) = speeds.measured
    rate = measured.rates["inference"]
    assert (measured.records, rate.images_per_s) == (3, 1100.0)
    assert (rate.low, rate.high) == (990.0, 1515.0)


def test_rows_under_other_conditions_are_marked_and_named(writer: SweepWriter) -> None:
    usual = record(2000.0)
    other = record(3000.0, under={"precision": "fp32 weights, bf16 autocast"}, key="b" * 12)
    report = depths(writer, usual, usual, other)
    assert column(table(report, "variants"), "inference images/s") == ["3,000 †", "2,000", "2,000"]
    text = caveats(report)["unlike_speeds"]
    assert "precision fp32 weights, bf16 autocast instead of fp32 (depth=6)" in text
    assert (
        "depth=6 (trained in fp32, speed in fp32 weights, bf16 autocast)"
        in (caveats(report)["unlike_precision"])
    )


def test_equal_conditions_are_worth_no_caveat(writer: SweepWriter) -> None:
    report = depths(writer, record(2000.0), record(1000.0))
    assert caveats(report).keys() & {"unlike_speeds", "unlike_precision", "loader_bound",
                                     "disturbed_speeds"} == set()  # fmt: skip


def test_training_that_waits_for_the_loader_is_a_caveat(writer: SweepWriter) -> None:
    speeds = (speed("training", 600.0), speed("training_with_data", 240.0))
    measured = record().model_copy(update={"speeds": speeds})
    assert "depth=2 (40 %)" in caveats(depths(writer, measured, None))["loader_bound"]


def test_others_on_the_machine_are_a_caveat(writer: SweepWriter) -> None:
    cpu = {"device": "cpu", "device_name": "CPU", "other_load_cores": 1.5}
    text = caveats(depths(writer, record(20.0, under=cpu), record(10.0)))["disturbed_speeds"]
    assert "depth=2 (1.5 cores busy)" in text


def test_a_failed_measurement_is_no_speed(writer: SweepWriter) -> None:
    failed = record(conditions=None, latency=None, error="out of memory at batch 1")
    report = depths(writer, failed, None)
    assert "inference images/s" not in columns(table(report, "variants"))
    bullets = section(report, "throughput").blocks[0]
    assert "depth=2: out of memory at batch 1" in bullets.items[0]  # type: ignore[union-attr]


# the answer --------------------------------------------------------------------------------


def test_the_answer_says_what_the_winner_costs(writer: SweepWriter) -> None:
    answer = " ".join(depths(writer, record(2000.0), record(1000.0)).context.answer)
    assert (
        "The variant with the highest mean, depth=4, has 5.72 M parameters and 1.26 GMACs, and "
        "runs at 1,000 images/s in inference (batch 256 on NVIDIA H100, fp32)."
    ) in answer
    assert "Every variant that is faster is distinguishable from it." in answer


def test_the_answer_names_the_fastest_that_is_as_good(
    kinds: KindsWriter, writer: SweepWriter
) -> None:
    for depth, top1, rate in ((2, 80.0, 4000.0), (4, 84.0, 2000.0), (6, 84.1, 1000.0)):
        runs = writer.variant({DEPTH: depth}, [top1 - 0.4, top1, top1 + 0.4])
        write_speed(runs, record(rate))
    answer = " ".join(compiled(writer.finish()).context.answer)
    # sd 0.4, df 6, se 0.327, Dunnett for two: 2.86
    assert (
        "The fastest variant that is not distinguishable from it is depth=4: 2 times as fast "
        "(2,000 images/s), -0.10 points (95 % simultaneous interval -1.03 to +0.83)."
    ) in answer


def test_a_single_seed_is_not_called_as_good(writer: SweepWriter) -> None:
    for depth, rate in ((2, 4000.0), (4, 2000.0)):
        write_speed(writer.variant({DEPTH: depth}, [80.0 + depth]), record(rate))
    answer = " ".join(compiled(writer.finish()).context.answer)
    assert "distinguishable" not in answer
    assert "runs at 2,000 images/s" in answer


def test_without_speed_the_answer_is_silent_about_it(kinds: KindsWriter) -> None:
    answer = " ".join(compiled(kinds(none=[80.0, 80.5], hard=[82.0, 82.5])).context.answer)
    assert "images/s" not in answer
    assert "parameters" not in answer
