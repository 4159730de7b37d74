"""The report of a search: what won, what was stopped on purpose, and what a winner is worth."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from scipy import stats as reference
from sweep_writer import Outcome, SweepWriter
from training_writer import write_curve, write_search

from reports.context import Options
from reports.document import Bullets, Figure, Paragraph, Section, Table
from reports.figures.draw import draw
from reports.load import load_sweep
from reports.report import Report, compile_report
from reports.search.results import SearchResults, read_results
from reports.stats.importance import importance


def _search(writer: SweepWriter, outcomes: Sequence[Outcome], **search: Any) -> Path:
    """Points lr = 0, 1, ... of one seed each."""
    points = []
    for index, outcome in enumerate(outcomes):
        params = {"optim.lr": index / 100}
        run = writer.trial(params, 0, outcome)
        points.append((params, [run.path.name]))
    folder = writer.finish()
    write_search(folder, points, **search)
    return folder


def _results(folder: Path) -> SearchResults:
    found = read_results(load_sweep(folder))
    assert found is not None
    return found


def _report(folder: Path) -> Report:
    return compile_report(load_sweep(folder))


def _section(folder: Path) -> Section:
    return next(one for one in _report(folder).sections if one.id == "search")


def _answer(folder: Path) -> str:
    return " ".join(_report(folder).context.answer)


def test_the_answer_says_that_it_is_a_search_and_that_its_winner_was_picked(
    writer: SweepWriter,
) -> None:
    said = _answer(_search(writer, [70.0, 75.0, "pruned", "failed", 72.0]))
    assert "This is a search for high val_top1, no comparison of chosen variants" in said
    assert "3 completed, 1 pruned (stopped early on purpose) and 1 failed" in said
    assert "The best is lr=0.01 with val_top1 75 %." in said
    assert "the best of 3 completed points, of 1 seed each" in said
    assert "flattered by chance" in said
    assert "`deit-launch best` prints the command" in said


def test_nothing_is_compared_unless_a_baseline_is_named(writer: SweepWriter) -> None:
    folder = _search(writer, [70.0, 75.0, 72.0])
    analysis = _report(folder).context.analysis
    assert analysis.comparisons == {}
    assert analysis.baseline.groups == ()
    caveats = next(section for section in _report(folder).sections if section.id == "caveats")
    assert "No baseline has the same settings" not in str(caveats)
    named = compile_report(load_sweep(folder), Options(baseline="lr=0.0"))
    assert len(named.context.analysis.comparisons) == 2


def test_the_best_so_far_grows_in_the_order_of_asking(writer: SweepWriter) -> None:
    found = _results(_search(writer, [70.0, 68.0, "failed", 75.0, "running", 74.0]))
    assert found.best_so_far == ((0, 70.0), (3, 75.0))
    assert [point.state for point in found.points] == [
        "completed", "completed", "failed", "completed", "open", "completed",
    ]  # fmt: skip


def test_less_is_better_where_the_objective_is_a_loss(writer: SweepWriter) -> None:
    points = []
    for index, loss in enumerate([0.5, 0.3, 0.4]):
        writer.summary = {"val_loss": loss}
        params = {"optim.lr": index / 100}
        points.append((params, [writer.trial(params, 0, 80.0).path.name]))
    folder = writer.finish()
    write_search(folder, points, objective=["val_loss"])
    assert _results(folder).best_so_far == ((0, 0.5), (1, 0.3))
    assert "This is a search for low val_loss" in _answer(folder)
    assert "with val_loss 0.3." in _answer(folder)


def test_a_point_that_breaks_a_constraint_cannot_win(writer: SweepWriter) -> None:
    points = []
    for index, (top1, size) in enumerate([(70.0, 900), (80.0, 2000), (75.0, 1000)]):
        writer.summary = {"parameters": size}
        params = {"optim.lr": index / 100}
        points.append((params, [writer.trial(params, 0, top1).path.name]))
    folder = writer.finish()
    write_search(folder, points, constraints=["parameters <= 1000"])
    found = _results(folder)
    assert found.winner is not None
    assert found.winner.number == 2
    assert [point.number for point in found.front()] == [2]
    assert found.points[1].broken == ("parameters <= 1000",)
    text = " ".join(_sentences(_section(folder)))
    assert "1 completed point broke a constraint and cannot win" in text


def _sentences(section: Section) -> tuple[str, ...]:
    return next(block for block in section.blocks if isinstance(block, Bullets)).items


def test_two_objectives_have_a_front_of_points_that_none_beats(writer: SweepWriter) -> None:
    points = []
    for index, (top1, size) in enumerate([(70.0, 100), (80.0, 300), (75.0, 200), (74.0, 250)]):
        writer.summary = {"parameters": size}
        params = {"optim.lr": index / 100}
        points.append((params, [writer.trial(params, 0, top1).path.name]))
    folder = writer.finish()
    write_search(folder, points, objective=["val_top1", "parameters"])
    assert [point.number for point in _results(folder).front()] == [1, 2, 0]
    assert "3 points are trade-offs that no other one beats in all objectives" in _answer(folder)
    figures = [block for block in _section(folder).blocks if isinstance(block, Figure)]
    assert [figure.name for figure in figures] == ["search_history", "search_front"]
    assert "point 1: val_top1 80, parameters 300 (lr=0.01)" in draw(figures[1]).standalone


def test_a_pruned_point_shows_how_far_it_got_and_has_no_result(writer: SweepWriter) -> None:
    params: list[dict[str, Any]] = [{"optim.lr": 0.1}, {"optim.lr": 0.2}]
    done, pruned = writer.trial(params[0], 0, 70.0), writer.trial(params[1], 0, "pruned")
    write_curve(pruned, [41.5])
    pruned.write_status(pruned.read_status().model_copy(update={"step": 180, "epoch": 10.0}))
    folder = writer.finish()
    write_search(folder, [(params[0], [done.path.name]), (params[1], [pruned.path.name])])
    point = _results(folder).points[1]
    assert (point.state, point.values, point.last_seen) == ("pruned", (), 41.5)
    section = _section(folder)
    assert "Pruning left out 30 of 80 scheduled epochs (38 %)" in " ".join(_sentences(section))
    figure = next(block for block in section.blocks if isinstance(block, Figure))
    assert "point 1: pruned at 41.5 (lr=0.2)" in draw(figure).standalone


def test_importance_is_not_told_from_few_points(writer: SweepWriter) -> None:
    section = _section(_search(writer, [60.0 + index for index in range(19)]))
    text = " ".join(block.text for block in section.blocks if isinstance(block, Paragraph))
    assert "not estimated from 19 completed points: below 20" in text
    assert not [block for block in section.blocks if isinstance(block, Table)]


def test_importance_names_the_field_that_decides(writer: SweepWriter) -> None:
    section = _section(_search(writer, [60.0 + index for index in range(24)]))
    text = " ".join(block.text for block in section.blocks if isinstance(block, Paragraph))
    assert "The order of the completed points goes with optim.lr (93 %)." in text
    table = next(block for block in section.blocks if isinstance(block, Table))
    assert [cell.text for cell in table.rows[0]][:1] == ["optim.lr"]


def test_importance_agrees_with_kruskal_and_wallis() -> None:
    draw_ = random.Random(0)
    kinds = [draw_.choice("abc") for _ in range(60)]
    values = [draw_.gauss(1.0 if kind == "a" else 0.0, 1.0) for kind in kinds]
    (found,) = importance([{"kind": kind} for kind in kinds], values, ["kind"])
    groups = [[v for k, v in zip(kinds, values, strict=True) if k == kind] for kind in "abc"]
    expected = reference.kruskal(*groups)
    assert found.p == pytest.approx(expected.pvalue)
    epsilon_squared = (expected.statistic - 2) / (60 - 3)  # the same, from Kruskal and Wallis' H
    assert found.share == pytest.approx(epsilon_squared)


def test_importance_sees_an_optimum_in_the_middle() -> None:
    params = [{"lr": index / 40} for index in range(40)]
    values = [-((index - 20) ** 2) for index in range(40)]
    (found,) = importance(params, values, ["lr"])
    assert found.share > 0.5
    assert found.p < 0.001


def test_fields_that_do_nothing_rarely_seem_to_matter() -> None:
    draw_ = random.Random(1)
    fields = [f"field{index}" for index in range(4)]
    false = 0
    for _ in range(400):
        params = [{field: draw_.random() for field in fields} for _ in range(30)]
        found = importance(params, [draw_.random() for _ in range(30)], fields)
        false += min(one.p for one in found) < 0.05
    assert false <= 30  # 5 % of 400 is 20, with a standard error of 4.4


def test_a_field_that_varies_in_few_points_is_not_judged() -> None:
    params: list[dict[str, Any]] = [
        {"kind": "soft" if index % 2 else "none", **({"t": index} if index % 2 else {})}
        for index in range(30)
    ]
    found = importance(params, list(range(30)), ["kind", "t"])
    assert [one.field for one in found] == ["kind"]


def test_a_search_without_a_finished_point_is_told_so(writer: SweepWriter) -> None:
    said = _answer(_search(writer, ["running", "pruned", "pending"]))
    assert "Preliminary: 2 points of the search have no result yet." in said
    assert "No point has completed, so nothing has won yet." in said


def test_damaged_search_files_do_not_stop_the_report(writer: SweepWriter) -> None:
    folder = _search(writer, [70.0, 75.0])
    (folder / "search" / "points" / "000001.json").write_text('{"number": 1')
    assert "1 point could not be read and was left out" in " ".join(_sentences(_section(folder)))
    (folder / "search" / "search.json").write_text('{"search": {"objective": 3}}')
    (block,) = _section(folder).blocks
    assert isinstance(block, Paragraph)
    assert "is not as this version writes it" in block.text


def _caveats(folder: Path) -> str:
    section = next(one for one in _report(folder).sections if one.id == "caveats")
    return " ".join(block for one in section.blocks for block in getattr(one, "items", ()))


def test_a_mean_over_the_seeds_that_were_not_pruned_is_called_flattered(
    writer: SweepWriter,
) -> None:
    writer.variant({"distill.kind": "none"}, [80.0, 81.0])
    writer.variant({"distill.kind": "soft"}, [82.0, "pruned"])
    writer.variant({"distill.kind": "hard"}, ["pruned", "pruned"])
    said = _caveats(writer.finish())
    assert "the mean over the others is flattered: kind=soft (1 of 2)." in said
    assert "1 variant has no result, as every seed was stopped early on purpose" in said


def test_a_search_is_not_warned_of_what_it_pruned(writer: SweepWriter) -> None:
    assert "stopped early on purpose" not in _caveats(_search(writer, [70.0, "pruned"]))
