"""From a sweep file to a report, with real training in between."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from deit_core.run_dir import RunDir

Shell = Callable[..., subprocess.CompletedProcess[str]]
SHORT = "--set train.duration=3ep --set eval.every=1ep --set optim.warmup=1ep --set model.depth=1"


def newest_sweep(folder: Path) -> Path:
    return (folder / "reports" / "latest").resolve()


def rows_of(sweep: Path) -> list[dict[str, str]]:
    with open(sweep / "report" / "results.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_quickstart_in_short(shell: Shell, tmp_path: Path) -> None:
    """The demo with three epochs and two seeds: every number of the report is one a run wrote."""
    command = f"deit-launch sweep sweeps/quickstart.yaml {SHORT} --set seeds=[0,1] --watch"
    shell(command)
    sweep = newest_sweep(tmp_path)
    printed = shell("deit-report reports/latest").stdout
    rows = rows_of(sweep)
    assert len(rows) == 7
    for row in rows:
        summary = RunDir(sweep / "trials" / row["trial_id"]).read_summary()
        assert summary is not None
        assert row["state"] == "completed"
        assert float(row["val_top1"]) == summary.val_top1
        assert int(row["val_images"]) == summary.val_images == 797
    students = [row for row in rows if row["role"] == "student"]
    assert {row["distill.kind"] for row in students} == {"none", "soft", "hard"}
    assert all(kind in printed for kind in ("none", "soft", "hard"))
    results = json.loads((sweep / "report" / "results.json").read_text(encoding="utf-8"))
    for variant in results["variants"]:
        mine = [row for row in students if row["group_id"] == variant["group_id"]]
        tops = [float(row["val_top1"]) for row in mine]
        assert variant["mean"] == pytest.approx(sum(tops) / 2)
    page = (sweep / "report" / "index.html").read_text(encoding="utf-8")
    assert all(row["trial_id"] in page for row in rows)

    before = {path: path.stat().st_mtime_ns for path in sweep.glob("trials/*/*.json*")}
    again = shell(command)
    assert newest_sweep(tmp_path) == sweep
    assert {path: path.stat().st_mtime_ns for path in sweep.glob("trials/*/*.json*")} == before
    assert "7 done" in again.stdout or "nothing" in again.stdout.lower(), again.stdout
    status = json.loads(shell("deit-launch status --json").stdout)
    assert {trial["state"] for trial in status["trials"]} == {"completed"}
    assert {trial["attempt"] for trial in status["trials"]} == {1}


@pytest.mark.slow
def test_a_student_that_diverges_is_shown_not_hidden(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "lr.yaml").write_text(
        "name: lr\nbase: sweeps/recipes/deit_micro_digits.yaml\n"
        "set: {data.train_images: 100, train.duration: 2ep, optim.warmup: 0ep, model.depth: 1}\n"
        "axes: {optim.lr: [1e-3, 1e30]}\nseeds: [0]\n"
    )
    shell("deit-launch sweep lr.yaml --watch", check=3)
    shell("deit-report")
    states = {row["optim.lr"]: row for row in rows_of(newest_sweep(tmp_path))}
    assert states["0.001"]["state"] == "completed"
    assert states["1e+30"]["state"] == "failed"
    assert "the training loss became" in states["1e+30"]["reason"]
    report = (newest_sweep(tmp_path) / "report" / "report.md").read_text(encoding="utf-8")
    assert "the training loss became" in report
