"""Effects by field, interactions, one-change lists: figure, tables and sentences agree."""

from __future__ import annotations

from typing import Any

import pytest
from report_parts import column, compiled, drawn, figure, has_section, section, table, texts, words
from sweep_writer import KindsWriter, SweepWriter

from reports.figures.forest import ForestPlot
from reports.report import Report

KIND, DEPTH, LR, EMA = "distill.kind", "model.depth", "optim.lr", "train.ema"


def around(mean: float, sd: float = 0.2) -> list[float]:
    return [mean - sd, mean, mean + sd]


def grid(writer: SweepWriter, means: dict[tuple[str, int], float]) -> Report:
    for (kind, depth), mean in means.items():
        writer.variant({KIND: kind, DEPTH: depth}, around(mean))
    return compiled(writer.finish())


CROSSED = {("none", 2): 80.0, ("none", 4): 81.0, ("hard", 2): 80.5, ("hard", 4): 85.0}


def test_every_level_against_its_reference(writer: SweepWriter) -> None:
    found = table(grid(writer, CROSSED), "effects")
    assert column(found, "field") == ["kind", "depth"]
    assert column(found, "level") == ["hard", "4"]
    assert column(found, "against") == ["none", "2"]
    assert column(found, "difference") == ["+2.25", "+2.75"]
    assert column(found, "verdict") == ["better", "better"]
    assert column(found, "settings averaged") == ["2", "2"]


def test_the_forest_draws_the_table(writer: SweepWriter) -> None:
    found = figure(grid(writer, CROSSED), "effects")
    root = drawn(found)
    assert {"kind (against none)", "hard", "depth (against 2)", "4"} <= set(texts(root))
    plot = found.plot
    assert isinstance(plot, ForestPlot)
    rows = [row for row in plot.rows if row.delta is not None]
    assert [round(row.delta or 0, 9) for row in rows] == [2.25, 2.75]
    for row in rows:
        assert row.interval is not None
        assert row.interval.low < (row.delta or 0) < row.interval.high
    assert "kind: hard against none: better, +2.25 points" in found.description


def test_kinds_keep_the_interval_of_the_answer(writer: SweepWriter) -> None:
    report = grid(writer, CROSSED)
    shown = column(table(report, "effects"), "95 % interval")[0]
    assert f"interval {shown})" in " ".join(report.context.answer)


def test_interactions_are_contrasts_of_cells(writer: SweepWriter) -> None:
    report = grid(writer, CROSSED)
    found = table(report, "interactions")
    assert column(found, "beyond the sum") == ["+3.50"]  # (85 - 80.5) - (81 - 80)
    assert column(found, "verdict") == ["more than the sum"]
    text = words(section(report, "effects").blocks)
    assert "Together, kind=hard with depth=4 gives more than the sum (+3.50 points)." in text


def test_no_interaction_is_not_called_absent(writer: SweepWriter) -> None:
    means = {("none", 2): 80.0, ("none", 4): 81.0, ("hard", 2): 80.5, ("hard", 4): 81.5}
    text = words(section(grid(writer, means), "effects").blocks)
    assert "That the effect of one field depends on another is not shown." in text


def test_two_fields_make_a_grid_of_means(writer: SweepWriter) -> None:
    del (means := dict(CROSSED))["hard", 2]
    report = grid(writer, means)
    found = table(report, "grid")
    assert column(found, "kind") == ["none", "hard"]
    assert column(found, "depth=4")[1].startswith("85.00 ± ")
    assert column(found, "depth=4")[1].endswith("(n=3)")
    assert column(found, "depth=2")[1] == "–"  # noqa: RUF001
    assert {"80.00", "85.00"} <= set(texts(drawn(figure(report, "grid"))))


def test_three_fields_make_none(writer: SweepWriter) -> None:
    for (kind, depth), mean in CROSSED.items():
        for rate in (0.1, 0.2):
            writer.variant({KIND: kind, DEPTH: depth, LR: rate}, around(mean))
    assert "grid" not in [one.name for one in compiled(writer.finish()).figures]


def test_one_field_keeps_the_intervals_of_the_main_table(kinds: KindsWriter) -> None:
    report = compiled(kinds(none=around(80.0), soft=around(80.3), hard=around(82.0)))
    effects, variants = table(report, "effects"), table(report, "variants")
    main = dict(zip(column(variants, "kind"), column(variants, "95 % interval"), strict=True))
    own = dict(zip(column(effects, "level"), column(effects, "95 % interval"), strict=True))
    assert own == {kind: main[kind] for kind in ("soft", "hard")}


ONE_BY_ONE: list[tuple[dict[str, Any], float]] = [
    ({DEPTH: 4, LR: 0.1, EMA: True}, 80.0),
    ({DEPTH: 6, LR: 0.1, EMA: True}, 82.0),
    ({DEPTH: 4, LR: 0.2, EMA: True}, 80.1),
    ({DEPTH: 4, LR: 0.1, EMA: False}, 78.0),
]


def test_one_change_at_a_time_is_an_ablation(writer: SweepWriter) -> None:
    for swept, mean in ONE_BY_ONE:
        writer.variant(swept, around(mean))
    report = compiled(writer.finish())
    found = table(report, "ablation")
    assert column(found, "ema") == ["✓", "✓", "✓", "✕"]
    assert [[cell.strong for cell in row[:3]] for row in found.rows] == [
        [False, False, False], [True, False, False], [False, True, False], [False, False, True],
    ]  # fmt: skip
    assert column(found, "verdict") == [
        "baseline", "better", "not distinguishable", "baseline better",
    ]  # fmt: skip
    variants = table(report, "variants")
    main = set(column(variants, "95 % interval"))
    assert set(column(found, "95 % interval")[1:]) <= main
    assert set(column(table(report, "effects"), "95 % interval")) <= main


def test_a_crossed_sweep_is_no_ablation(writer: SweepWriter) -> None:
    assert "ablation" not in [one.name for one in grid(writer, CROSSED).tables]


def test_single_seeds_are_not_tested(writer: SweepWriter) -> None:
    for (kind, depth), mean in CROSSED.items():
        writer.variant({KIND: kind, DEPTH: depth}, [mean])
    report = compiled(writer.finish())
    assert set(column(table(report, "effects"), "verdict")) == {"not tested"}
    text = words(section(report, "effects").blocks)
    assert "kind: hard against none, +2.2 points, not tested." in text
    assert "Whether fields depend on each other is not tested" in text
    assert "better" not in text.partition("Together")[0]


@pytest.mark.parametrize("outcome", ["running", "failed"])
def test_nothing_finished_has_no_effects(kinds: KindsWriter, outcome: str) -> None:
    assert not has_section(compiled(kinds(none=[outcome], hard=[outcome])), "effects")


def test_a_single_run_has_no_effects(writer: SweepWriter) -> None:
    writer.variant({}, [80.0])
    assert not has_section(compiled(writer.finish()), "effects")
