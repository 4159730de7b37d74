"""Two sweeps against each other: who is matched with whom, differences, exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from scipy import stats as scipy_stats
from sweep_writer import CONFIG, SweepWriter

from deit_core.config import parse_run_config
from reports import cli
from reports.diff.report import DiffReport, compile_diff, diff_values
from reports.load import load_sweep
from reports.render.markdown import render_markdown

NONE, HARD = (80.1, 81.3, 79.7), (82.9, 83.5, 82.1)


def write(path: Path, *, name: str = "quick", **kinds: Sequence[float | str]) -> Path:
    writer = SweepWriter(path, name)
    for kind, outcomes in kinds.items():
        writer.variant({"distill.kind": kind}, outcomes)
    return writer.finish()


def shifted(values: Sequence[float], by: float) -> list[float]:
    """Other seeds' worth of values: the same spread around another mean, in another order."""
    return [value + by for value in reversed(values)]


def compared(a: Path, b: Path) -> DiffReport:
    return compile_diff(load_sweep(a), load_sweep(b))


def test_a_sweep_against_itself_is_identical(tmp_path: Path) -> None:
    a = write(tmp_path / "a", none=NONE, hard=HARD)
    report = compared(a, a)
    assert [(one.word, one.delta, one.interval) for one in report.difference.accuracy] == [
        ("identical", 0.0, None)
    ] * 2
    assert "Identical results: all 2 variants" in render_markdown(report)
    assert "are equal in both sweeps" in render_markdown(report)
    assert not report.difference.worse


def test_differences_hold_together_and_are_pooled_over_both(tmp_path: Path) -> None:
    a = write(tmp_path / "a", none=NONE, hard=HARD)
    b = write(tmp_path / "b", none=shifted(NONE, -6.0), hard=shifted(HARD, 0.1))
    report = compared(a, b)
    none, hard = report.difference.accuracy
    assert (none.word, hard.word) == ("worse in B", "not distinguishable")
    assert none.delta == pytest.approx(-6.0)
    variances = [scipy_stats.tvar(values) for values in (NONE, HARD)]
    error = (sum(variances) / 2 * 2 / 3) ** 0.5  # four groups, two of each variance
    assert none.interval is not None
    alone = scipy_stats.t.ppf(0.975, 8) * error
    bonferroni = scipy_stats.t.ppf(1 - 0.025 / 2, 8) * error
    assert 1.05 * alone < none.interval.half_width <= bonferroni
    assert report.difference.worse == (none,)
    assert none.paired is not None
    assert none.paired.seeds == 3


def test_matching_by_values_where_the_configs_differ(tmp_path: Path) -> None:
    a = write(tmp_path / "a", none=NONE, hard=HARD)
    writer = SweepWriter(tmp_path / "b")
    config: dict[str, Any] = CONFIG | {"optim": {"weight_decay": 0.1}}
    for kind, outcomes in (("none", NONE), ("soft", HARD)):
        runs = writer.variant({"distill.kind": kind, "optim.weight_decay": 0.1}, outcomes)
        for run in runs:
            run.create(run.read_trial(), parse_run_config(config))
    writer.finish(["distill.kind"])
    report = compared(a, tmp_path / "b")
    # weight_decay is no axis of A: its configs say 0.05, so nothing has equal values.
    assert [pair.how for pair in report.matching.pairs] == []
    assert len(report.matching.only_a) == len(report.matching.only_b) == 2
    assert "nothing is compared" in render_markdown(report)


def test_a_changed_setting_that_is_not_swept_is_named(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    for path, decay in ((a, 0.05), (b, 0.1)):
        writer = SweepWriter(path, env={"versions": {"torch": f"2.{path.name}"}})
        config: dict[str, Any] = CONFIG | {"optim": {"weight_decay": decay}}
        for kind, values in (("none", NONE), ("hard", HARD)):
            runs = writer.variant({"distill.kind": kind}, values)
            for run in runs:
                run.create(run.read_trial(), parse_run_config(config))
        writer.finish()
        plan = json.loads((path / "plan.json").read_text())
        for trial in plan["trials"]:  # another config means another id
            trial["group_id"] += path.name
        (path / "plan.json").write_text(json.dumps(plan))
    report = compared(a, b)
    assert [pair.how for pair in report.matching.pairs] == ["equal swept values"] * 2
    changed = {row[0]: row[1:] for row in report.changed}
    assert changed["optim.weight_decay"] == ("0.05", "0.1", "all variants")
    assert changed["torch"] == ("2.a", "2.b", "sweep")
    assert "The sweeps differ in optim.weight\\_decay and torch" in render_markdown(report)


def test_a_run_in_both_sweeps_counts_once(tmp_path: Path) -> None:
    a = write(tmp_path / "a", none=NONE)
    b = write(tmp_path / "b", none=[*NONE, 80.0, 80.4])
    report = compared(a, b)
    (one,) = report.difference.accuracy
    assert (one.shared_runs, one.n_a, one.n_b) == (3, 3, 5)
    everything = [*NONE, 80.0, 80.4]
    assert one.delta == pytest.approx(sum(everything) / 5 - sum(NONE) / 3)
    assert one.interval is not None
    # Weights: 1/5 - 1/3 of the three in both, 1/5 of the two new ones.
    sd_a, sd_new = scipy_stats.tstd(NONE), scipy_stats.tstd([80.0, 80.4])
    pooled = ((2 * sd_a**2 + sd_new**2) / 3) ** 0.5
    error = pooled * (3 * (1 / 5 - 1 / 3) ** 2 + 2 / 25) ** 0.5
    assert one.interval.half_width == pytest.approx(scipy_stats.t.ppf(0.975, 3) * error)
    assert one.paired is None


@pytest.mark.parametrize(
    ("a", "b", "word"),
    [
        ((80.0,), (70.0,), "not tested"),
        (("failed", "failed"), NONE, "not tested"),
        (NONE, ("missing", "pending"), "not tested"),
        ((80.0, 80.0), (80.0, 80.0), "identical"),
    ],
)
def test_what_cannot_be_tested(
    tmp_path: Path, a: Sequence[Any], b: Sequence[Any], word: str
) -> None:
    report = compared(write(tmp_path / "a", none=a), write(tmp_path / "b", none=b))
    (one,) = report.difference.accuracy
    assert (one.word, one.interval) == (word, None)
    json.dumps(diff_values(report), allow_nan=False)


def call(monkeypatch: pytest.MonkeyPatch, *args: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["deit-report", *map(str, args)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0)


def test_the_command_writes_the_comparison_and_fails_on_a_regression(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a = write(tmp_path / "a", none=NONE, hard=HARD)
    b = write(tmp_path / "b", none=shifted(NONE, -6.0), hard=shifted(HARD, 0.1))
    assert call(monkeypatch, "diff", a, b, "--output", tmp_path / "out") == 0
    out = capsys.readouterr().out
    assert "Worse in B: kind=none." in out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "diff.json", "index.html", "report.md",
    ]  # fmt: skip
    page = (tmp_path / "out/index.html").read_text(encoding="utf-8")
    assert 'href="diff.json"' in page
    assert "results.csv" not in page
    values = json.loads((tmp_path / "out/diff.json").read_text(encoding="utf-8"))
    assert [one["verdict"] for one in values["variants"]] == ["worse in B", "not distinguishable"]
    assert call(monkeypatch, "diff", a, b, "--fail-on-regression") == 4
    assert "regression: kind=none is worse in B than in A" in capsys.readouterr().err
    assert call(monkeypatch, "diff", b, a, "--fail-on-regression") == 0


def test_a_results_json_stands_for_its_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a = write(tmp_path / "a", none=NONE, hard=HARD)
    assert call(monkeypatch, a, "--format", "json") == 0
    assert call(monkeypatch, "diff", a / "report", a) == 0
    assert "Identical results" in capsys.readouterr().out


def test_what_is_no_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a = write(tmp_path / "a", none=NONE)
    assert call(monkeypatch, "diff", a, tmp_path / "nothing") == 2
    err = capsys.readouterr().err
    assert err.startswith("error: there is no sweep folder")
    assert err.count("\n") == 1


def test_a_report_below_the_published_number_fails_on_demand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images = {"val_images": 50_000, "train_images": 1_281_167, "num_classes": 1000}
    writer = SweepWriter(tmp_path / "a", summary=images)
    config = {
        "data": {"source": "imagenet", "root": "/data"},
        "model": {"name": "deit_tiny_patch16_224"},
    }
    for run in writer.variant({"distill.kind": "none"}, [70.1, 70.3, 70.2]):
        run.create(run.read_trial(), parse_run_config(config))
    a = writer.finish()
    options = ("--reference", "deit", "--format", "json,md")
    assert call(monkeypatch, a, *options) == 0
    capsys.readouterr()
    assert call(monkeypatch, a, *options, "--fail-on-regression") == 4
    assert capsys.readouterr().err == (
        "regression: kind=none, top-1: -2.00 points against DeiT-Ti (72.2 %)\n"
    )
    again = call(monkeypatch, "--from", a / "report/results.json", "--output", tmp_path / "again",
                 "--format", "json,md", "--fail-on-regression")  # fmt: skip
    assert again == 4
    for name in ("results.json", "report.md"):
        assert (tmp_path / "again" / name).read_bytes() == (a / "report" / name).read_bytes()
    capsys.readouterr()
    assert call(monkeypatch, write(tmp_path / "b", none=NONE), "--fail-on-regression") == 2
    assert "add --reference" in capsys.readouterr().err
